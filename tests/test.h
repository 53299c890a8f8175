/* test.h - C unit tests that read as sentences.
 *
 *	TEST("a folded step has its pattern's events") { CHECK(count == 3); }
 *	TEST_MAIN
 *
 * Each case runs in a process of its own with three minutes to live, so that a crash is
 *one failure among others. --list names the cases, --run NAME runs one. A case that
 *can't run here calls SKIP("why"); a program of which every case is skipped ends
 *with 77. */
#ifndef TIDEMARK_TEST_H
#define TIDEMARK_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct test_case {
	const char *name;
	void (*run)(void);
};

#define TEST_JOIN2(a, b) a##b
#define TEST_JOIN(a, b)  TEST_JOIN2(a, b)
#define TEST(sentence)   TEST_CASE(sentence, TEST_JOIN(test_, __LINE__))
#define TEST_CASE(sentence, id)                                                          \
	static void id(void);                                                            \
	/* A section of pointers: the linker lays them side by side, without padding.  \
	 */ \
	static const struct test_case TEST_JOIN(id, _case) = {sentence, id};             \
	static const struct test_case *const TEST_JOIN(id, _entry)                       \
	        __attribute__((used, section("tmk_tests"))) = &TEST_JOIN(id, _case);     \
	static void id(void)

#define CHECK(condition)                                                               \
	do {                                                                           \
		if (!(condition)) {                                                    \
			fprintf(stderr, "  %s:%d: %s\n", __FILE__, __LINE__,           \
			        #condition);                                           \
			_exit(1);                                                      \
		}                                                                      \
	} while (0)

#define CHECK_TEXT(got, expected)                                                      \
	do {                                                                           \
		const char *test_got = (got), *test_want = (expected);                 \
		if (!test_got || strcmp(test_got, test_want) != 0) {                   \
			fprintf(stderr, "  %s:%d: got '%s', expected '%s'\n",          \
			        __FILE__, __LINE__, test_got ? test_got : "NULL",      \
			        test_want);                                            \
			_exit(1);                                                      \
		}                                                                      \
	} while (0)

#define SKIP(why)                                                                      \
	do {                                                                           \
		fprintf(stderr, "  skipped: %s\n", why);                               \
		_exit(77);                                                             \
	} while (0)

extern const struct test_case *const __start_tmk_tests[], *const __stop_tmk_tests[];

/* 0 passed, 77 skipped, anything else failed. */
static inline int test_run(const struct test_case *test)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (!child) {
		alarm(180);
		test->run();
		exit(0); /* not _exit: leak checkers report at exit */
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 1;
	if (WIFSIGNALED(status))
		fprintf(stderr, "  ended by %s\n", strsignal(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static inline int test_main(int argc, char **argv)
{
	const char *only = argc == 3 && !strcmp(argv[1], "--run") ? argv[2] : NULL;
	int count = 0, failed = 0, skipped = 0;

	for (const struct test_case *const *at = __start_tmk_tests;
	     at < __stop_tmk_tests; at++) {
		int status;
		if (argc == 2 && !strcmp(argv[1], "--list")) {
			puts((*at)->name);
			continue;
		}
		if (only && strcmp(only, (*at)->name) != 0)
			continue;
		status = test_run(*at);
		count++;
		failed += status != 0 && status != 77;
		skipped += status == 77;
		printf("%s  %s\n",
		       !status        ? "ok  "
		       : status == 77 ? "skip"
		                      : "FAIL",
		       (*at)->name);
	}
	if (only && !count) {
		fprintf(stderr, "no test '%s'\n", only);
		return 2;
	}
	return failed ? 1 : count && skipped == count ? 77 : 0;
}

#define TEST_MAIN                                                                      \
	int main(int argc, char **argv)                                                \
	{                                                                              \
		return test_main(argc, argv);                                          \
	}

#endif
