"""Two threads begin at once: one creates the files, and the other does not wait for it for long."""
import subprocess

import pytest

from conftest import execute

#: a disk that does not answer the creation of the trace before the program's other thread is done
SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
static int slow(const char *name, const char *path, int flags, va_list rest)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    size_t n = strlen(path);
    if (flags & O_CREAT && n > 3 && !strcmp(path + n - 3, ".db") && !access("armed", F_OK)) {
        close(real("waits", O_CREAT | O_WRONLY, 0600));
        for (int i = 0; i < 3000 && access("other", F_OK); i++) usleep(20000);
    }
    return real(path, flags, mode);
}
#define OPEN(name) int name(const char *path, int flags, ...) \
    { va_list a; va_start(a, flags); int fd = slow(#name, path, flags, a); va_end(a); return fd; }
OPEN(open) OPEN(open64)
"""

TWO = """
import os, threading, time, torch
open("armed", "w").close()
over = []
def first():
    x = torch.empty(2003)
    over.append("first")
    return x
def other():
    while not os.path.exists("waits") and not over: time.sleep(0.01)
    kept = [torch.empty(1001) for _ in range(10)]
    print("other,", over, flush=True)
    open("other", "w").close()
    threads[0].join()
    kept += [torch.empty(3001) for _ in range(7)]
threads = [threading.Thread(target=first), threading.Thread(target=other)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def test_a_thread_waits_no_longer_than_its_part_for_anothers_start(tmp_path):
    (tmp_path / "slow.c").write_text(SLOW)
    built = subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", tmp_path / "slow.so",
                            tmp_path / "slow.c", "-ldl"])
    if built.returncode:
        pytest.skip("no C compiler")
    folder = tmp_path / "run"
    folder.mkdir()
    run = execute(folder, TWO, env={"TIDEMARK_CPU": "1", "LD_PRELOAD": str(tmp_path / "slow.so")})
    assert (folder / "waits").exists(), "the files were there before the two threads"
    assert (run.code, run.stdout) == (0, "other, []\n"), run.stderr
    trace = run.open()
    births = dict(trace.db.execute("SELECT bytes, count(*) FROM allocation GROUP BY 1"))
    assert births.get(2003 * 4) == 1 and births.get(3001 * 4) == 7 and 1001 * 4 not in births
    lost = dict(trace.db.execute("SELECT name, count FROM lost"))
    assert lost["too_early"] >= 10
