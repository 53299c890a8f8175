"""The library asks the CUDA runtime about memory and devices. A question that fails leaves an
error behind, which the program would take for its own; here every one of them fails."""

import re
import subprocess

import pytest
from conftest import LIBRARY, clean_environment
from reading import Trace

# A runtime of host memory, with the thread's last error. It is a driver too, and PyTorch's part
# for CUDA, by the functions that tell: so the library asks what it asks when a run begins.
RUNTIME = r"""
#include <stdlib.h>
#include <string.h>
static _Thread_local int last;
static size_t used;
int asked, fails;
int cuInit(unsigned flags) { return 0; }
int _ZN3c104cuda12device_countEv(void) { return 1; }
static int error(int code) { if (code) last = code; return code; }
static int answer(void) { asked++; return fails ? error(46) : 0; }
int cudaGetLastError(void) { int code = last; last = 0; return code; }
int cudaPeekAtLastError(void) { return last; }
int cudaGetDevice(int *device) { *device = 0; return answer(); }
int cudaSetDevice(int device) { return error(device ? 101 : 0); }
int cudaGetDeviceProperties(char *name, int device) { strcpy(name, "a card"); return answer(); }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return answer(); }
int cudaDriverGetVersion(int *version) { *version = 13000; return answer(); }
int cudaMemGetInfo(size_t *unused, size_t *total)
{
	*unused = (*total = 1 << 30) - used;
	return answer();
}
int cudaDeviceGetMemPool(void **pool, int device) { *pool = &used; return answer(); }
int cudaMemPoolGetAttribute(void *pool, int which, unsigned long long *value)
{
	*value = used;
	return answer();
}
int cudaMalloc(void **p, size_t bytes)
{
	if (bytes > 1 << 30)
		return error(2);
	used += bytes;
	return !(*p = malloc(16));
}
int cudaFree(void *p) { free(p); return 0; }
int cudaMallocAsync(void **p, size_t bytes, void *stream) { return cudaMalloc(p, bytes); }
int cudaFreeAsync(void *p, void *stream) { return cudaFree(p); }
"""
PROGRAM = r"""
#include <stdio.h>
int cudaMalloc(void **, size_t), cudaFree(void *), cudaSetDevice(int), cudaGetLastError(void);
int cudaMallocAsync(void **, size_t, void *), cudaFreeAsync(void *, void *);
extern int asked, fails;
static void say(const char *what, int pending, int code)
{
	int left = cudaGetLastError();
	printf("%s: returned %d, left %d and then %d\n", what, code, left, cudaGetLastError());
	if (pending)
		cudaSetDevice(7);
}
int main(int argc, char **argv)
{
	if (argc > 1) /* an error waits already when the run begins */
		cudaSetDevice(7);
	for (int pending = 0; pending < 2; pending++) {
		void *a, *b;
		fails = 1;
		say("cudaMalloc", pending, cudaMalloc(&a, 10001));
		say("cudaMallocAsync", pending, cudaMallocAsync(&b, 20002, 0));
		say("cudaFree", pending, cudaFree(a));
		say("cudaFreeAsync", pending, cudaFreeAsync(b, 0));
		say("too much", pending, cudaMalloc(&a, (size_t)1 << 40));
		say("too much at once", pending, cudaMallocAsync(&b, (size_t)1 << 40, 0));
	}
	fprintf(stderr, "asked %d\n", asked);
	return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtime")
    (folder / "runtime.c").write_text(RUNTIME)
    (folder / "program.c").write_text(PROGRAM)
    for words in (["-shared", "-fPIC", "-Wl,-soname,libcudart.so.13",
                   "runtime.c", "-o", "libcudart.so.13"],
                  ["program.c", "./libcudart.so.13", "-Wl,-rpath,$ORIGIN", "-o", "program"]):
        if subprocess.run(["cc", "-w", *words], cwd=folder).returncode:
            pytest.skip("no C compiler")
    return folder / "program"


@pytest.mark.parametrize("words", [[], ["with an error"]], ids=["clean", "with an error"])
@pytest.mark.parametrize("allocator", ["native", "cudaMallocAsync"])
def test_a_question_that_fails_leaves_the_programs_last_error_as_it_was(
        program, tmp_path, allocator, words):
    def run(**env):
        done = subprocess.run(
            [program, *words], text=True, capture_output=True, timeout=60, cwd=tmp_path,
            env=clean_environment(PYTORCH_CUDA_ALLOC_CONF=f"backend:{allocator}", **env))
        assert done.returncode == 0, done.stderr
        return done.stdout, int(re.search(r"asked (\d+)\n", done.stderr)[1])

    plain, asked = run()
    assert asked == 0 and "cudaFree: returned 0, left 101 and then 0\n" in plain
    traced, asked = run(LD_PRELOAD=LIBRARY, TIDEMARK_OUT=tmp_path / "x.db")
    assert traced == plain
    assert asked >= 10, "the library does not ask this runtime"
    trace = Trace(tmp_path / "x.db")
    assert trace.one("SELECT count(*) FROM segment") >= 2
