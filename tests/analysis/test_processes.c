/* test_processes.c - who is on the device, read from PyTorch's words. */
#include "processes.h"
#include "../test.h"

#include <string.h>

TEST("the traced process and the others are told from each other")
{
	struct processes found =
	        processes_named("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 "
	                        "has a total capacity of "
	                        "23.65 GiB of which 398.00 MiB is free. Process 4711 "
	                        "has 3.00 GiB memory in "
	                        "use. Including non-PyTorch memory, this process has "
	                        "1.50 GiB memory in use. "
	                        "Process 12 has 512 bytes memory in use. Of the "
	                        "allocated memory 700.00 MiB is "
	                        "allocated by PyTorch, and 0 bytes is reserved by "
	                        "PyTorch but unallocated.");
	CHECK(found.count == 3);
	CHECK(found.of[0].pid == 4711);
	CHECK(found.of[0].bytes == (int64_t)3 << 30);
	CHECK(found.of[1].pid == -1);
	CHECK(found.of[1].bytes == (int64_t)3 << 29);
	CHECK(found.of[2].pid == 12);
	CHECK(found.of[2].bytes == 512);
	CHECK(found.here);
	CHECK(found.others == ((int64_t)3 << 30) + 512);
}

TEST("without the traced process nobody is known to be another")
{
	/* in a container: the host's numbers, ours not among them */
	struct processes found =
	        processes_named("Process 4711 has 3.00 GiB memory in use. ");
	CHECK(found.count == 1);
	CHECK(!found.here);
	CHECK(found.others == -1);
}

TEST("other words, odd numbers and too many processes do no harm")
{
	static const char *const none[] = {
	        "",
	        " has ",
	        " has 3.00 GiB memory in use.",
	        "Process has 3.00 GiB memory in use.",
	        "Process 1 has nan GiB memory in use.",
	        "Process 1 has -3 GiB memory in use.",
	        "Process 1 has 3.00 TiB memory in use.",
	        "Process 99999999999999999999 has 3.00 GiB memory in use.",
	        "Process 1 has 3.00 GiB memory in",
	};
	char many[40 * 40] = "";
	CHECK(processes_named(NULL).count == 0);
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		CHECK(processes_named(none[i]).count == 0);
	for (int i = 0; i < 40; i++)
		strcat(many, "Process 1 has 1 MiB memory in use. ");
	CHECK(processes_named(many).count == PROCESSES_MOST);
}

TEST_MAIN
