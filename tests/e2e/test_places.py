"""Places that are hard to write to: a network file system, a quota.

What a file system does is put on by a library preloaded behind tidemark's: it answers
statfs(2) and pwrite(2) as such a file system does.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from conftest import COMMAND, LIBRARY, clean_environment
from reading import Trace, recover
from test_alive import Living
from test_bad_input import TRAIN

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

int statfs(const char *path, struct statfs *fs)
{
	int (*next)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
	const char *type = getenv("SHIM_FILE_SYSTEM");
	int rc = next(path, fs);
	if (type && !strstr(path, "/dev/shm"))
		fs->f_type = strtol(type, NULL, 0);
	return rc;
}
int statfs64(const char *, struct statfs64 *) __attribute__((alias("statfs")));

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
	ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
	static long left = -1;
	if (left < 0)
		left = getenv("SHIM_QUOTA") ? atol(getenv("SHIM_QUOTA")) : 1L << 60;
	if ((long)n > left) {
		errno = EDQUOT;
		return -1;
	}
	left -= n;
	return next(fd, data, n, at);
}
ssize_t pwrite(int, const void *, size_t, off_t) __attribute__((alias("pwrite64")));
"""

KILLED = TRAIN + "import os; os.kill(os.getpid(), 9)\n"
NFS = "0x6969"


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    built = subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-w", "-o", folder / "shim.so",
                            folder / "shim.c", "-ldl"])
    if built.returncode:
        pytest.skip("no C compiler")
    return folder / "shim.so"


def rings(folder):
    """Of traces in this folder: other runs on this machine may have theirs. A ring's header names
    its trace."""
    found = set()
    for name in os.listdir("/dev/shm"):
        if name.startswith("tidemark-") and "ring" in name:
            with contextlib.suppress(FileNotFoundError), open(f"/dev/shm/{name}", "rb") as file:
                if os.fsencode(folder) in file.read(8192):
                    found.add(name)
    return found


def test_on_a_network_file_system_a_rollback_journal_is_used(trace, shim):
    run = trace(TRAIN, env={"LD_PRELOAD": str(shim), "SHIM_FILE_SYSTEM": NFS})
    assert (run.code, run.stdout, run.stderr) == (0, "trained\n", "")
    t = run.open()
    assert t.one("SELECT count(*) FROM step WHERE complete") == 3
    assert run.left_over == [] and not rings(run.folder)


def test_killed_there_nothing_is_lost(trace, shim):
    run = trace(KILLED, env={"LD_PRELOAD": str(shim), "SHIM_FILE_SYSTEM": NFS})
    assert run.code == -signal.SIGKILL
    assert len(rings(run.folder)) == 1, "the ring is not on the network"
    assert [n for n in run.left_over if not n.endswith("-journal")] == []
    assert recover(LIBRARY, run.files[0]) == (0, "")
    assert not rings(run.folder)
    assert run.open().one("SELECT count(*) FROM step WHERE complete") == 3


def read_there(path, shim, before=()):
    return subprocess.run(
        [*before, "env", f"LD_PRELOAD={shim}", COMMAND, "report", "--json", path], text=True,
        capture_output=True, timeout=120, env=clean_environment(SHIM_FILE_SYSTEM=NFS))


def test_a_living_run_there_is_read_and_goes_on(tmp_path, shim):
    with Living(tmp_path / "out", "", preload=f"{shim}:", SHIM_FILE_SYSTEM=NFS) as run:
        assert len(rings(run.folder)) == 1, "the ring is not on the network"
        assert not list(run.folder.glob("*.db-wal")), "this is no rollback journal"
        for _ in range(5):
            done = read_there(run.trace, shim)
            assert (done.returncode, done.stderr) == (
                0, "tidemark: still running: as of now\n")
            assert json.loads(done.stdout)
            time.sleep(0.2)
        code, steps, err = run.stop()
    assert (code, err) == (0, "")
    assert [p.name for p in run.folder.glob("x.db*")] == ["x.db"]
    assert not rings(run.folder)
    t = Trace(run.trace)
    assert t.one("SELECT count(*) FROM step WHERE complete") == steps
    assert t.losses == {} and t.one("SELECT ended FROM run") == "exit"


@contextlib.contextmanager
def no_shared_memory(ring, folder, how):
    """Another host, which has another /dev/shm. Gives the words in front of a reader there."""
    if how == "moved away":
        shutil.move(ring, folder / "kept")
        try:
            yield ()
        finally:
            shutil.move(folder / "kept", ring)
        return
    words = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/shm && exec "$@"', "sh")
    if subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("only root may make a mount namespace")
    yield words


@pytest.mark.parametrize("how", ["moved away", "hidden"])
def test_a_reader_without_the_ring_says_so_and_leaves_it_to_one_that_has_it(
        trace, shim, tmp_path, how):
    run = trace(KILLED, env={"LD_PRELOAD": str(shim), "SHIM_FILE_SYSTEM": NFS})
    ring, = ("/dev/shm/" + name for name in rings(run.folder))

    def files():
        return {p.name: p.read_bytes() for p in run.folder.iterdir()}

    was = files()
    with no_shared_memory(ring, tmp_path, how) as words:
        for _ in range(2):
            done = read_there(run.files[0], shim, words)
            assert done.returncode == 0, done.stderr
            assert "the last events of this run are missing" in done.stderr
            assert '"incomplete"' in done.stdout
            assert files() == was
    assert os.path.exists(ring)
    done = read_there(run.files[0], shim)
    assert (done.returncode, done.stderr) == (0, "")
    assert not rings(run.folder) and run.left_over == []
    t = run.open()
    assert t.one("SELECT count(*) FROM step WHERE complete") == 3
    assert t.losses == {} and t.one("SELECT ended FROM run") == "killed"


def test_on_a_local_file_system_there_is_a_write_ahead_log(trace, shim):
    run = trace(KILLED, env={"LD_PRELOAD": str(shim)})
    assert len([n for n in run.left_over if n.endswith("-wal")]) == 1


LONG = TRAIN.replace("range(3)", "range(600)").replace("torch.randn(7,", "torch.randn(7 + i,")


@pytest.mark.parametrize("quota", [50_000, 400_000, 1_000_000])
def test_a_quota_that_is_used_up_is_said_and_the_program_goes_on(trace, shim, quota):
    run = trace(LONG, env={"LD_PRELOAD": str(shim), "SHIM_QUOTA": str(quota)})
    assert (run.code, run.stdout) == (0, "trained\n")
    assert run.stderr.startswith("tidemark: ") and run.stderr.count("\n") == 1, run.stderr
    # What could not be written waits in the ring, for when there is room.
    assert recover(LIBRARY, run.files[0])[0] == 0
    t = run.open()
    assert t.one("SELECT ended FROM run") == "stopped"
    assert t.losses == {}
    steps = t.one("SELECT count(*) FROM step WHERE complete")
    assert 0 < steps < 600 or quota < 100_000
