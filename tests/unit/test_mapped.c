/* test_mapped.c - a SIGBUS of our pages is met, and any other goes where it went before. Each test
 * is a process of its own: the handler is installed once. */
#include "../test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapped.h"
#include "temp.h"

enum { PAGE = 4096, PAGES = 4 };
static atomic_bool gone;
static atomic_int called;

static char *mapped_file(const char *name)
{
	int fd = open(temp_path(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0);
	CHECK(ftruncate(fd, PAGES * PAGE) == 0);
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	close(fd);
	return p;
}

static void cut(const char *name)
{
	CHECK(truncate(temp_path(name), PAGE) == 0);
}

/* How a child ends that does `what`. */
static int end_of(void (*what)(void))
{
	int status = 0;
	pid_t child = fork();
	if (!child) {
		signal(SIGBUS,
		       SIG_DFL); /* a sanitizer's report is not what is asked for */
		what();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	return status;
}

TEST("pages that are taken away are empty, and it is said")
{
	char *p = mapped_file("ours");
	volatile char *late = p + 2 * PAGE;
	*late = 7;
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	cut("ours");
	CHECK(!atomic_load(&gone));
	CHECK(*late == 0);
	CHECK(atomic_load(&gone));
	*late = 8; /* memory like any other */
	CHECK(*late == 8);
	tmk_mapped_forget(p);
	munmap(p, PAGES * PAGE);
}

static void touch_a_foreign_page(void)
{
	char *ours = mapped_file("ours"), *other = mapped_file("other");
	tmk_mapped_note(ours, PAGES * PAGE, &gone);
	cut("other");
	*(volatile char *)(other + 2 * PAGE) = 1;
}

TEST("a page of somebody else ends the program as before")
{
	int status = end_of(touch_a_foreign_page);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void touch_what_was_forgotten(void)
{
	char *p = mapped_file("ours");
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	tmk_mapped_forget(p);
	cut("ours");
	*(volatile char *)(p + 2 * PAGE) = 1;
}

TEST("a mapping that was forgotten is nobody's")
{
	int status = end_of(touch_what_was_forgotten);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void leave_with_3(int signal)
{
	(void)signal;
	_exit(3);
}

static void touch_with_a_handler(void)
{
	signal(SIGBUS, leave_with_3);
	touch_a_foreign_page();
}

static void have_a_signal_sent(void)
{
	char *p = mapped_file("ours");
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	raise(SIGBUS);
}

static void have_it_sent_to_a_handler(void)
{
	signal(SIGBUS, leave_with_3);
	have_a_signal_sent();
}

static void have_it_sent_ignored(void)
{
	signal(SIGBUS, SIG_IGN);
	have_a_signal_sent();
}

TEST("the handler that was there is called, for a page as for a signal that is sent")
{
	int status = end_of(touch_with_a_handler);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	status = end_of(have_it_sent_to_a_handler);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	status = end_of(have_a_signal_sent);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	status = end_of(have_it_sent_ignored);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- what the program says later, as wrap_signal.c hands it on ------------------------- */

static struct sigaction with(void (*handler)(int), int flags)
{
	struct sigaction s = {.sa_handler = handler, .sa_flags = flags};
	sigemptyset(&s.sa_mask);
	return s;
}

static void touch_ours_then_a_foreign_page(void)
{
	const struct sigaction late = with(leave_with_3, SA_RESTART);
	struct sigaction before, now;
	char *ours = mapped_file("ours"), *other = mapped_file("other");
	tmk_mapped_note(ours, PAGES * PAGE, &gone);
	CHECK(tmk_mapped_guards());
	tmk_mapped_asks(&late, &before);
	CHECK(before.sa_handler == SIG_DFL);
	tmk_mapped_asks(NULL, &now);
	CHECK(now.sa_handler == leave_with_3 && now.sa_flags == SA_RESTART);
	cut("ours");
	*(volatile char *)(ours + 2 * PAGE) = 1;
	CHECK(atomic_load(&gone));
	cut("other");
	*(volatile char *)(other + 2 * PAGE) = 1;
}

static void count_calls(int signal)
{
	(void)signal;
	atomic_fetch_add(&called, 1);
}

static void have_a_handler_once(void)
{
	const struct sigaction once = with(count_calls, (int)SA_RESETHAND);
	char *p = mapped_file("ours");
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	tmk_mapped_asks(&once, NULL);
	raise(SIGBUS);
	CHECK(atomic_load(&called) == 1);
	raise(SIGBUS);
}

/* As faulthandler does: what was there is put back in its handler, and the signal raised again. */
static struct sigaction at_first;

static void put_back_and_raise(int signal)
{
	atomic_fetch_add(&called, 1);
	tmk_mapped_asks(&at_first, NULL);
	raise(signal);
}

static void have_a_handler_that_gives_up(void)
{
	const struct sigaction late = with(put_back_and_raise, SA_NODEFER);
	char *p = mapped_file("ours");
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	tmk_mapped_asks(&late, &at_first);
	touch_a_foreign_page();
}

static void ask_in_another_process(void)
{
	char *p = mapped_file("ours");
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	pid_t child = vfork();
	if (!child)
		_exit(tmk_mapped_guards());
	int status;
	CHECK(waitpid(child, &status, 0) == child && !status);
	child = fork();
	if (!child) {
		CHECK(!tmk_mapped_guards());
		tmk_mapped_forked();
		_exit(tmk_mapped_guards() ? 0 : 1);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
}

TEST("a handler that comes later has every SIGBUS but our pages'")
{
	int status = end_of(touch_ours_then_a_foreign_page);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	status = end_of(have_a_handler_once);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	status = end_of(have_a_handler_that_gives_up);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

TEST("a forked child keeps the handler, a vforked one is left alone")
{
	int status = end_of(ask_in_another_process);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *writer(void *page)
{
	tmk_mapped_heed();
	atomic_store(&called, 1);
	while (atomic_load(&called) == 1)
		usleep(1000);
	*(volatile char *)page = 1;
	return NULL;
}

/* All threads but ours block it, and one waits: that one is to have it. */
static void wait_for_a_signal(void)
{
	sigset_t bus;
	pthread_t thread;
	const struct timespec patience = {.tv_sec = 60};
	char *p = mapped_file("ours");
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &bus, NULL);
	CHECK(!pthread_create(&thread, NULL, writer, p + 2 * PAGE));
	while (!atomic_load(&called))
		usleep(1000);
	kill(getpid(), SIGBUS);
	CHECK(sigtimedwait(&bus, NULL, &patience) == SIGBUS);
	atomic_store(&called, 2);
	pthread_join(thread, NULL);
	_exit(5);
}

TEST("a signal that somebody sends is never our thread's")
{
	int status = end_of(wait_for_a_signal);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

static void *touch_as_our_thread(void *page)
{
	tmk_mapped_heed();
	*(volatile char *)page = 1;
	return NULL;
}

TEST("our thread, which blocks all signals, meets its pages' too")
{
	sigset_t all, old;
	pthread_t thread;
	char *p = mapped_file("ours");
	tmk_mapped_note(p, PAGES * PAGE, &gone);
	cut("ours");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	CHECK(!pthread_create(&thread, NULL, touch_as_our_thread, p + 2 * PAGE));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_join(thread, NULL);
	CHECK(atomic_load(&gone));
}

TEST_MAIN
