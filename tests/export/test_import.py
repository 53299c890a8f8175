"""`tidemark import`: a snapshot of PyTorch's as a trace, held against the trace of the same run."""
import collections
import gzip
import json
import pickle
import sqlite3

import make_trace
import pytest
import versions

EXPANDABLE = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


@pytest.fixture
def imported(tidemark, tmp_path):
    """imported(a snapshot or a file of one) -> the trace's file."""
    def make(snapshot, *words):
        if isinstance(snapshot, dict):
            (tmp_path / "in.pickle").write_bytes(pickle.dumps(snapshot))
            snapshot = tmp_path / "in.pickle"
        made = tmp_path / "made.db"
        made.unlink(missing_ok=True)
        tidemark("import", snapshot, "-o", made, *words)
        with sqlite3.connect(made) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert not db.execute("PRAGMA foreign_key_check").fetchall()
        return made
    return make


def event(action, addr, size, time_us, **more):
    return {"action": action, "addr": addr, "size": size, "stream": 0, "time_us": time_us,
            "frames": [{"name": "main", "filename": "train.py", "line": 7}], **more}


def freed(addr, size, time_us):
    return [event("free_requested", addr, size, time_us),
            event("free_completed", addr, size, time_us)]


def segment(address, total, *blocks, device=0, **more):
    """blocks: (bytes, asked) or bytes that are free."""
    return {"device": device, "address": address, "total_size": total, "stream": 0,
            "segment_type": "large", **more,
            "blocks": [{"size": b, "requested_size": 0, "state": "inactive"} if isinstance(b, int)
                       else {"size": b[0], "requested_size": b[1], "state": "active_allocated",
                             "frames": []} for b in blocks]}


def births(file):
    with sqlite3.connect(file) as db:
        return db.execute("SELECT address, bytes FROM allocation ORDER BY born_ns, id").fetchall()


@pytest.mark.parametrize("torch", ["torch-2.6.0", "torch-2.11.0"])
@pytest.mark.parametrize("words, env", [([], {}), ([], EXPANDABLE), (["oom"], {})],
                         ids=["plain", "expandable", "oom"])
def test_a_snapshot_says_what_the_trace_of_its_run_says(trained, imported, answer, tidemark,
                                                        torch, words, env):
    """The sizes of blocks are nowhere in a snapshot's history: they are worked out."""
    file, snapshot, most, last = trained(torch, *words, **env)
    made = imported(snapshot)
    [peak], [known] = (answer("peak", f)["devices"] for f in (made, file))
    assert peak["allocated_bytes"] == most == known["allocated_bytes"]
    assert (peak["reserved_bytes"], peak["step"]) == (known["reserved_bytes"], known["step"])
    ours, theirs = births(file), births(made)
    assert theirs == ours[:len(theirs)] and len(ours) - len(theirs) <= 1
    with sqlite3.connect(made) as db:
        assert db.execute("SELECT sum(bytes) FROM allocation WHERE died_step IS NULL "
                          "").fetchone() == (last,)
    holes = [answer("fragmentation", f)["devices"][0] for f in (made, file)]
    assert [h["segments"] for h in holes][0] and holes[0]["reserved_bytes"] == holes[1]["reserved_bytes"]
    refused = [answer("oom", f)["events"] for f in (made, file)]
    assert [[(e["requested_bytes"], e["allocated_bytes"], e["reserved_bytes"],
              e["device_free_bytes"]) for e in events] for events in refused][0] == \
        [(e["requested_bytes"], e["allocated_bytes"], e["reserved_bytes"],
          e["device_free_bytes"]) for e in refused[1]]
    for command in "report peak timeline buckets oom fragmentation leaks".split():
        tidemark(command, made), tidemark(command, made, "--json")


KEPT = sorted(file.name[:-len(".pickle.gz")] for file in versions.KEPT.glob("*.pickle.gz"))


@pytest.mark.parametrize("name", KEPT)
def test_a_snapshot_of_each_pytorch_says_what_the_trace_of_its_run_said(imported, name):
    """Kept by `versions.py --keep`: PyTorch's own snapshot, and the trace's answers of that time."""
    made = imported(versions.KEPT / f"{name}.pickle.gz")
    known = json.loads((versions.KEPT / f"{name}.json").read_text())
    frames, blocks = [tuple(f) for f in known.pop("frames")], known.pop("blocks")
    stacks = [tuple(frames[f] for f in stack) for stack in known.pop("stacks")]
    assert versions.said(made) == known and known["refused"]
    assert versions.blocks(made) == [(a, size, stacks[stack]) for a, size, stack in blocks]


@pytest.mark.parametrize("name", KEPT)
def test_every_command_answers_from_it_and_guesses_nothing(imported, tidemark, answer, tmp_path, name):
    made = imported(versions.KEPT / f"{name}.pickle.gz")
    for command in ("report peak timeline buckets oom leaks fragmentation html reconcile",
                    "timeline --steps", "buckets --at oom", "peak --by phase,stack",
                    "check --max-peak 1GiB", "check --no-leak", "diff", "live"):
        for command in [command] if " " in command else command.split():
            words = command.split()
            files = [made, made] if words[0] == "diff" else [made]
            done = tidemark(*words, *files, check=False)
            assert done.returncode in (0, 1, 2), (command, done.stderr)
            assert "-1 B" not in done.stdout and "torch ?" not in done.stdout, done.stdout
            # the formula needs to know which blocks are parameters, and nobody has said so
            assert (done.returncode == 2) == (command == "reconcile"), (command, done.stderr)
    assert "imported from a snapshot" in tidemark("reconcile", made, check=False).stderr
    [event] = answer("oom", made)["events"]
    assert event["device_free_bytes"] > 0 and event["device_total_bytes"] is None
    lines = [row["stack"] for row in answer("peak", made)["devices"][0]["live"] if row["stack"]]
    assert len({tuple(line) for line in lines}) > 5


def test_rows_without_modules_and_operators_are_those_of_the_users_lines(imported, tidemark):
    """One row of all would say nothing; the innermost frames are PyTorch's."""
    made = imported(versions.KEPT / "2.1.2.pickle.gz")
    rows = [line for line in tidemark("peak", made).stdout.splitlines() if "train.py:" in line]
    assert len(rows) > 4 and not any("module.py" in row for row in rows)


def test_the_snapshot_itself_is_never_replaced(tidemark, tmp_path):
    whole = (versions.KEPT / "2.1.2.pickle.gz").read_bytes()
    (tmp_path / "s.pickle.gz").write_bytes(whole)
    (tmp_path / "link").symlink_to("s.pickle.gz")
    for other in "s.pickle.gz", "./s.pickle.gz", "link":
        done = tidemark("import", "s.pickle.gz", "-o", other, "--force", check=False)
        assert done.returncode == 2 and "is the snapshot itself" in done.stderr
    assert (tmp_path / "s.pickle.gz").read_bytes() == whole


def test_there_is_one_for_each_shape_that_snapshots_had():
    assert {"2.1.2", "2.2.2", "2.3.1", "2.4.1", "2.5.1", "2.14.1"} <= set(KEPT)


def lines_of(file):
    """{(the bytes, the script's own lines): blocks} of what Python's stacks say."""
    with sqlite3.connect(file) as db:
        return collections.Counter(db.execute("""
            WITH RECURSIVE walk(top, id, frame) AS (
                SELECT id, parent, frame FROM stack
                UNION ALL SELECT w.top, s.parent, s.frame FROM walk w JOIN stack s ON s.id = w.id),
            lines AS (SELECT top, group_concat(f.line) AS lines FROM walk JOIN frame f ON f.id = frame
                      WHERE f.file LIKE '%/programs/train.py' GROUP BY top)
            SELECT a.bytes, l.lines FROM allocation a JOIN site s ON s.id = a.site
            JOIN lines l ON l.top = s.python_stack JOIN phase p ON p.id = s.phase""").fetchall())


def test_stacks_are_those_of_the_trace(trained, imported):
    file, snapshot, _, _ = trained()
    theirs, ours = lines_of(imported(snapshot)), lines_of(file)
    assert len(theirs) > 10 and not theirs - ours  # in a backward PyTorch has no Python stack


@pytest.mark.parametrize("recording, options", [
    (lambda: make_trace.gpt(), {}), (lambda: make_trace.gpt(steps=9, leak=30003, queue=3), {}),
    (lambda: make_trace.gpt(steps=5, devices=2, evals=2), {}),
    (lambda: make_trace.gpt(steps=3), {"fold": False})], ids=["folded", "leaking", "two", "raw"])
def test_an_export_comes_back_as_it_was(trace, tidemark, imported, answer, recording, options):
    file = trace(recording(), **options)
    tidemark("export", "--format", "memory_viz", file, "-o", "out.pickle")
    made = imported(file.parent / "out.pickle")
    for old, new in zip(answer("peak", file)["devices"], answer("peak", made)["devices"]):
        for key in "device step phase allocated_bytes by_phase by_bucket".split():
            assert new[key] == old[key], key
    old, new = (answer("report", f) for f in (file, made))
    assert [(d["device"], d["phases"]) for d in new["devices"]] == \
        [(d["device"], d["phases"]) for d in old["devices"]]


def test_a_real_training_comes_back_as_it_was(trained, tidemark, imported, answer, tmp_path):
    file, _, most, _ = trained("torch-2.11.0", **EXPANDABLE)
    tidemark("export", "--format", "memory_viz", file, "-o", tmp_path / "out.pickle")
    made = imported(tmp_path / "out.pickle")
    [old], [new] = (answer("peak", f)["devices"] for f in (file, made))
    for key in "step phase allocated_bytes reserved_bytes by_phase by_bucket".split():
        assert new[key] == old[key], key
    assert births(made) == births(file)


def test_a_gzipped_snapshot(trained, imported, answer, tmp_path):
    _, snapshot, most, _ = trained()
    (tmp_path / "s.pickle.gz").write_bytes(gzip.compress(snapshot.read_bytes()))
    assert answer("peak", imported(tmp_path / "s.pickle.gz"))["devices"][0]["allocated_bytes"] == most


def test_a_ring_that_lost_its_beginning(trained, imported, tidemark, answer, tmp_path):
    """Of each cut, the peak is the highest from there on, and what is left is the same."""
    _, snapshot, most, last = trained()
    whole = pickle.loads(snapshot.read_bytes())
    events = whole["device_traces"][0]
    for cut in (1, 10, len(events) // 3, len(events) // 2, len(events) - 5, len(events)):
        whole["device_traces"] = [events[cut:]]
        made = imported(whole)
        with sqlite3.connect(made) as db:
            assert db.execute("SELECT sum(bytes) FROM allocation WHERE died_step IS NULL"
                              ).fetchone() == (last,)
        peak = answer("peak", made)["devices"][0]["allocated_bytes"]
        assert last <= peak <= most
        signals = {c["name"]: c["state"] for c in answer("report", made)["capabilities"]}
        assert signals["history"] == "degraded" and signals["buckets"] == "missing"
    assert peak == last


def test_what_is_not_known_is_said(tidemark, imported, answer):
    made = imported({"segments": [segment(1 << 20, 2 << 20, (512, 100), (2 << 20) - 512)],
                     "device_traces": [[]]})
    [device] = answer("peak", made)["devices"]
    assert device["allocated_bytes"] == 512 and device["by_bucket"] == [
        {"bucket": "unknown", "bytes": 512, "blocks": 1}]
    signals = {c["name"]: c["state"] for c in answer("report", made)["capabilities"]}
    assert signals == {"buckets": "missing", "phases": "missing", "steps": "missing",
                       "history": "degraded"}
    assert "unknown" in tidemark("buckets", made).stdout
    assert "imported" in tidemark("report", made).stdout


def test_several_devices_interleave_by_time(imported, answer):
    made = imported({"segments": [], "device_traces": [
        [event("alloc", 4096, 1000, 10), *freed(4096, 1000, 40)], [],
        [event("alloc", 4096, 2000, 20), *freed(4096, 2000, 30)]]})
    with sqlite3.connect(made) as db:
        assert db.execute("SELECT d.name, a.born, a.died, a.born_ns, a.lived_ns FROM allocation a "
                          "JOIN device d ON d.id = a.device ORDER BY a.id").fetchall() == [
            ("cuda:0", 0, 3, 0, 30_000), ("cuda:2", 1, 2, 10_000, 10_000)]
    assert [d["allocated_bytes"] for d in answer("peak", made)["devices"]] == [1024, 2048]


def test_what_is_left_of_a_free_block_is_cut_off_where_pytorch_does(imported):
    mib = 1 << 20
    made = imported({"segments": [], "device_traces": [[
        event("segment_alloc", 1 << 30, 20 * mib, 1),
        event("alloc", 1 << 30, 19 * mib, 2), *freed(1 << 30, 19 * mib, 3),       # 1 MiB is kept
        event("alloc", 1 << 30, 19 * mib - 512, 4),                       # and more than that cut
        event("segment_alloc", 1 << 31, 2 * mib, 5),
        event("alloc", 1 << 31, 700, 6)]]})
    assert [size for _, size in births(made)] == [20 * mib, 19 * mib - 512, 1024]


def test_a_block_as_large_as_a_card(imported):
    made = imported({"segments": [], "device_traces": [[event("alloc", 1 << 40, 150 << 30, 1)]]})
    assert births(made) == [(1 << 40, 150 << 30)]


def test_pieces_of_expandable_segments_are_unmapped_one_by_one(imported):
    mib = 1 << 20
    made = imported({"segments": [segment(1 << 30, 20 * mib, 20 * mib, is_expandable=True)],
                     "device_traces": [[
                         event("segment_map", 1 << 30, 60 * mib, 1),
                         event("segment_unmap", (1 << 30) + 20 * mib, 40 * mib, 2)]]})
    with sqlite3.connect(made) as db:
        assert db.execute("SELECT mapped - (1 << 30), bytes, died_step FROM segment").fetchall() == [
            (0, 20 * mib, None), (20 * mib, 20 * mib, 0), (40 * mib, 20 * mib, 0)]
        assert db.execute("SELECT reserved_bytes FROM memory_sample ORDER BY id DESC").fetchone() \
            == (20 * mib,)


def test_a_snapshot_of_an_old_pytorch(imported, answer):
    """2.0: no history of events, stacks and requests inside a block's own history."""
    made = imported({"segments": [{
        "device": 0, "address": 1 << 30, "total_size": 4096, "stream": 0, "blocks": [
            {"size": 1024, "state": "active_allocated", "history": [
                {"addr": 1 << 30, "real_size": 900,
                 "frames": [{"name": "f", "filename": "a.py", "line": 3}]}]},
            {"size": 3072, "state": "inactive"}]}]})
    with sqlite3.connect(made) as db:
        assert db.execute("SELECT bytes, requested FROM allocation").fetchall() == [(1024, 900)]
        assert db.execute("SELECT kind, function, file, line FROM frame").fetchall() == [
            ("python", "f", "a.py", 3)]


def test_names_with_blanks_percents_and_other_scripts(imported):
    names = ["a b%41\n", "ünïcode 名", "%zz", "\ud800", ""]
    made = imported({"segments": [], "device_traces": [[
        event("alloc", 4096 * (i + 1), 1, i, frames=[{"name": n, "filename": "x.py", "line": 1}])
        for i, n in enumerate(names)]]})
    with sqlite3.connect(made) as db:
        assert [n for n, in db.execute("SELECT function FROM frame ORDER BY id")] == \
            names[:3] + ["?", ""]


def test_the_answer_in_json_and_the_files_name(tidemark, answer, tmp_path):
    (tmp_path / "mem.pickle").write_bytes(pickle.dumps(
        {"segments": [segment(1 << 20, 1024, (1024, 1000))], "device_traces": []}))
    said = answer("import", tmp_path / "mem.pickle")
    assert said["file"] == str(tmp_path / "mem.db") and said["blocks"] == 1
    assert said["blocks_without_bucket"] == 1 and not said["phases_known"] and not said["history"]
    done = tidemark("import", tmp_path / "mem.pickle", check=False)
    assert done.returncode == 2 and "is a database" in done.stderr


@pytest.mark.parametrize("words, status, part", [
    ([], 2, "takes one snapshot"), (["a", "b"], 2, "takes one snapshot"),
    (["missing.pickle"], 3, "No such file"), (["."], 3, "a folder"), (["/dev/null"], 3, "special"),
    (["in.pickle", "--python", "nopython"], 2, "no 'nopython'"), (["in.pickle", "-o", "-"], 2, "is a file"),
])
def test_bad_options(tidemark, tmp_path, words, status, part):
    (tmp_path / "in.pickle").write_bytes(pickle.dumps({"segments": []}))
    done = tidemark("import", *words, check=False)
    assert done.returncode == status and part in done.stderr and done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["in.pickle"]
