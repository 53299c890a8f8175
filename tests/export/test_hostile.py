"""`tidemark import` and pickles that mean harm: one sentence, status 3, little time and memory."""
import gzip
import os
import pickle
import struct
import subprocess
import sys

import pytest
from test_import import event, freed, segment
from where import COMMAND

MIB = 1 << 20


class Runs:
    def __init__(self, function, *words):
        self.what = function, words

    def __reduce__(self):
        return self.what


def snapshot(events=(), segments=()):
    return pickle.dumps({"segments": list(segments), "device_traces": [list(events)]})


def nested(opcodes, count):
    return b"\x80\x04" + opcodes * count + b"."


def doubled(times):
    """Lists of lists, each twice in the next: small in the file, large when it is walked."""
    out = b"\x80\x04}(\x8c\x08segments]q\x00"
    for i in range(times):
        out += b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1])
    return out + b"u."


def shared_blocks(count):
    """A segment that is there many times, and in it a block as often."""
    block = {"size": 512, "requested_size": 1, "state": "active_allocated", "frames": []}
    one = {"device": 0, "address": 0, "total_size": 512 * count, "blocks": [block] * count}
    return pickle.dumps({"segments": [one] * count, "device_traces": []})


def shared_frames(count):
    frames = [{"name": "f", "filename": "a.py", "line": i} for i in range(count)]
    return snapshot([event("alloc", 4096 * i, 1, i, frames=list(frames[:1]) + frames)
                     for i in range(2000)])


HOSTILE = {
    "global": pickle.dumps(Runs(os.system, "touch harmed")),
    "eval": pickle.dumps({"segments": Runs(eval, "open('harmed', 'w')"), "device_traces": []}),
    "builtin": b"\x80\x02c__builtin__\nexec\n(S'open(\"harmed\",\"w\")'\ntR.",
    "stack global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch harmed\x85R.",
    "instance": b"\x80\x02(S'touch harmed'\nios\nsystem\n.",
    "persistent": b"\x80\x02X\x03\x00\x00\x00abcQ.",
    "extension": b"\x80\x02\x82\x01.",
    "build": b"\x80\x02}}b.",
    "newobj": b"\x80\x02})\x81.",
    "lists in a snapshot": b"\x80\x04}(\x8c\x08segments" + b"]" * (10 * MIB) + b"u.",
    "numbers in a snapshot": b"\x80\x04}(\x8c\x08segments](" + b"M\xff\xff" * (5 * MIB) + b"eu.",
    "empty dicts in a snapshot": b"\x80\x04}(\x8c\x08segments](" + b"}" * (10 * MIB) + b"eu.",
    "lists": nested(b"]", 30 * MIB),
    "tuples": nested(b")\x85", 10 * MIB),
    "deep tuple as a key": b"\x80\x02}" + b")" + b"\x85" * 3_000_000 + b"K\x01s.",
    "deep lists": b"\x80\x04" + b"](" * 2_000_000 + b"e" * 2_000_000 + b".",
    "memo": b"\x80\x02]r\xff\xff\xff\xff.",
    "memo, half": b"\x80\x02]r\xff\xff\xff\x0f.",
    "long text": b"\x80\x04X\xff\xff\xff\xff",
    "longer text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62),
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40),
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 50),
    "long number": b"\x80\x04\x8b" + struct.pack("<I", 10 * MIB) + b"\x7f" * (10 * MIB) + b".",
    "decimal": b"\x80\x02L" + b"9" * MIB + b"L\n.",
    "doubled": doubled(100),
    "shared blocks": shared_blocks(3000),
    "not a pickle": b"hello, world\n" * 100,
    "an empty pickle": b"\x80\x04.",
    "zeros": bytes(5 * MIB),
    "a list": pickle.dumps([1, 2, 3]),
    "no segments": pickle.dumps({"device_traces": []}),
    "segments are a text": pickle.dumps({"segments": "x"}),
    "a segment is a number": pickle.dumps({"segments": [7]}),
    "a trace is a number": pickle.dumps({"segments": [], "device_traces": [7]}),
    "an event is a text": snapshot(["alloc"]),
    "negative size": snapshot([event("alloc", 4096, -5, 1)]),
    "negative segment": snapshot(segments=[segment(4096, -512)]),
    "negative block": snapshot(segments=[segment(4096, 512, (-512, 1))]),
    "size as text": snapshot([event("alloc", 4096, "512", 1)]),
    "size as a truth": snapshot([event("alloc", 4096, True, 1)]),
    "huge size": snapshot([event("alloc", 4096, 1 << 70, 1)]),
    "size past any card": snapshot([event("alloc", 4096, 1 << 61, 1)]),
    "time past all": snapshot([event("alloc", 4096, 1, 1), event("alloc", 8192, 1, 1 << 61)]),
    "overlapping blocks": snapshot([event("alloc", 4096, 1024, 1), event("alloc", 4608, 1024, 2)]),
    "the same block twice": snapshot([event("alloc", 4096, 1024, 1), event("alloc", 4096, 1024, 2)]),
    "overlapping segments": snapshot(segments=[segment(4096, 1024, 1024), segment(4608, 1024, 1024)]),
    "a block outside its segment": snapshot(segments=[segment(4096, 512, (1024, 1))]),
    "device 1000": snapshot(segments=[segment(4096, 512, (512, 1), device=1000)]),
    "device -1": snapshot(segments=[segment(4096, 512, (512, 1), device=-1)]),
    "many devices": pickle.dumps({"segments": [], "device_traces": [[]] * 10_000}),
    "gzip of nothing": gzip.compress(b""),
    "gzip bomb": gzip.compress(b"\x80\x04}(\x8c\x08segments" + b"N0" * (100 * MIB), 1),
    "gzip of lists": gzip.compress(b"\x80\x04}(\x8c\x08segments" + b"]" * (100 * MIB), 1),
    "gzip of zeros": gzip.compress(bytes(200 * MIB), 1),
    "gzip, cut": gzip.compress(snapshot([event("alloc", 4096, 1, 1)]))[:-20],
    "gzip, damaged": b"\x1f\x8b\x08\x00" + b"\xff" * 100,
    "one byte": b"\x80",
}


MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.returncode, used.ru_maxrss, used.ru_utime + used.ru_stime)
sys.stderr.write(done.stderr)
"""


def measured(file, folder):
    """(status, sentence, bytes, seconds of CPU) of the command with what it starts."""
    done = subprocess.run([sys.executable, "-c", MEASURE, COMMAND, "import", file, "-o", "made.db"],
                          cwd=folder, capture_output=True, text=True, timeout=60)
    status, kib, seconds = done.stdout.split()
    return int(status), done.stderr, 1024 * int(kib), float(seconds)


def check(data, folder):
    (folder / "in.pickle").write_bytes(data)
    status, sentence, used, seconds = measured("in.pickle", folder)
    assert status == 3 and sentence.count("\n") == 1, sentence
    assert sentence.startswith("tidemark: cannot import 'in.pickle': it "), sentence
    # Under 2 s on a machine that has nothing else to do; what is bounded is that it ends.
    assert used < 500 * 10**6 and seconds < 10, (used, seconds)
    assert [p.name for p in folder.iterdir()] == ["in.pickle"]
    return sentence


@pytest.mark.parametrize("name", HOSTILE)
def test_one_sentence_and_no_harm(tmp_path, name):
    check(HOSTILE[name], tmp_path)


def test_the_code_that_it_names_is_named(tmp_path):
    assert "posix.system" in check(HOSTILE["global"], tmp_path)


def test_every_truncation_of_a_sound_snapshot(tmp_path):
    data = snapshot([event("alloc", 4096, 1000, 1), *freed(4096, 1000, 2)],
                    [segment(4096, 1024, 1024)])
    for length in [1, 2, 3, 10, len(data) // 2, len(data) - 1]:
        check(data[:length], tmp_path)


def test_a_gigantic_file_of_nothing(tmp_path):
    with open(tmp_path / "in.pickle", "wb") as file:
        file.write(b"\x80\x04")
        file.truncate(20 << 30)
    status, sentence, used, seconds = measured("in.pickle", tmp_path)
    assert status == 3 and sentence.count("\n") == 1 and used < 500 * 10**6 and seconds < 10


def test_stacks_that_are_shared_are_walked_once(tmp_path):
    (tmp_path / "in.pickle").write_bytes(shared_frames(500))
    status, sentence, used, seconds = measured("in.pickle", tmp_path)
    assert (status == 0 or "unpacks to far more" in sentence) and used < 500 * 10**6
    assert seconds < 10
