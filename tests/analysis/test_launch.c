/* test_launch.c - what `tidemark run` sets up, and what it knows of programs. */
#include "launch.h"
#include "object.h"
#include "../test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char *preload(const char *library, const char *already)
{
	static char *text;
	free(text);
	return text = launch_preload(library, already);
}

TEST("the library comes before what was preloaded already")
{
	CHECK_TEXT(preload("/l/libtidemark.so", NULL), "/l/libtidemark.so");
	CHECK_TEXT(preload("/l/libtidemark.so", "/x/libjemalloc.so.2 /y/b.so"),
	           "/l/libtidemark.so:/x/libjemalloc.so.2:/y/b.so");
}

TEST("a sanitizer's runtime stays first, as it insists")
{
	CHECK_TEXT(preload("/l/libtidemark.so", "/y/b.so:/u/lib/libasan.so.8"),
	           "/u/lib/libasan.so.8:/l/libtidemark.so:/y/b.so");
	CHECK_TEXT(preload("/l/libtidemark.so", "libclang_rt.asan-x86_64.so"),
	           "libclang_rt.asan-x86_64.so:/l/libtidemark.so");
}

TEST("the library is not preloaded twice")
{
	CHECK_TEXT(preload("/l/libtidemark.so", "/l/libtidemark.so:/y/b.so"),
	           "/l/libtidemark.so:/y/b.so");
}

TEST("a program is found as a shell would find it")
{
	int status;
	char *path = launch_lookup("sh", &status);
	CHECK(path && path[0] == '/');
	free(path);
	CHECK(!launch_lookup("no-such-program", &status) && status == NOT_FOUND);
	CHECK(!launch_lookup("/etc/passwd", &status) && status == CANNOT_RUN);
	CHECK(!launch_lookup("/etc", &status) && status == CANNOT_RUN);
}

TEST("exit status and signals come back as a shell says them")
{
	char *exits[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"exit 7"}, NULL};
	char *dies[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"kill -TERM $$"},
	                NULL};
	CHECK(launch_wait("/bin/sh", exits, 0) == 7);
	CHECK(launch_wait("/bin/sh", dies, 0) == 128 + 15);
}

/* What the program leaves in a pipe while the process that started it is killed: "told" when
 * it got the signal, "lives" when it waited in vain. */
static const char *killed_beside(int orphaned)
{
	static char said[16];
	char *script[] = {
	        (char[]){"sh"}, (char[]){"-c"},
	        (char[]){"trap 'echo told; exit' TERM; echo up; "
	                 "for i in 1 2 3 4 5; do sleep 0.2; done; echo lives"},
	        NULL};
	int ends[2], at = 0;
	ssize_t n;

	if (pipe(ends))
		return "no pipe";
	pid_t child = fork();
	if (!child) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		_exit(launch_wait("/bin/sh", script, orphaned));
	}
	close(ends[1]);
	if (read(ends[0], said, 3) == 3) /* "up\n": its trap is set */
		kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	while ((n = read(ends[0], said + at, sizeof(said) - 1 - (size_t)at)) > 0)
		at += (int)n;
	close(ends[0]);
	said[at] = 0;
	return said;
}

TEST("a program outlives the command that was killed, or is told to end")
{
	CHECK_TEXT(killed_beside(0), "lives\n");
	CHECK_TEXT(killed_beside(SIGTERM), "told\n");
}

TEST("symbols that a shared object only needs are not counted as its own")
{
	struct symbols *symbols = symbols_open("/lib/x86_64-linux-gnu/libc.so.6");
	if (!symbols)
		SKIP("no /lib/x86_64-linux-gnu/libc.so.6 here");
	CHECK(symbols_define(symbols, "malloc"));
	CHECK(!symbols_define(symbols, "__tls_get_addr"));
	CHECK(!symbols_define(symbols, "tidemark_recover"));
	symbols_close(symbols);
	CHECK(!symbols_open("/etc/passwd"));
	CHECK(!symbols_open("/no/such/file"));
}

TEST("a dynamic program is told from a script and from nothing")
{
	CHECK(program_kind("/bin/sh") == PROGRAM_DYNAMIC);
	CHECK(program_kind("/etc/passwd") == PROGRAM_UNKNOWN);
	CHECK(program_kind("/no/such/file") == PROGRAM_UNKNOWN);
}

TEST_MAIN
