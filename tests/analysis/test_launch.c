/* test_launch.c - what `tidemark run` sets up, and what it knows of programs. */
#include "launch.h"
#include "object.h"
#include "../test.h"

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
	CHECK(launch_wait("/bin/sh", exits) == 7);
	CHECK(launch_wait("/bin/sh", dies) == 128 + 15);
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
