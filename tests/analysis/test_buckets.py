"""buckets, leaks, fragmentation and peak --folded, against replays of known recordings."""
import collections
import sqlite3

import make_trace
import pytest

INSIDE = make_trace.BUCKETS[:9]


def maxima(recording, device):
    """{bucket: the most it ever held} by walking every event."""
    now, most = collections.Counter(), collections.Counter()
    for _, _, event, _ in recording.walk():
        a = event.allocation
        if a.device != device:
            continue
        now[a.bucket] += a.bytes if event.kind == "alloc" else -a.bytes
        most[a.bucket] = max(most[a.bucket], now[a.bucket])
    return most


def step_maxima(recording, device):
    """{step: {bucket: (the most in it, the phase that reached it; None: it began so)}}."""
    now, found = collections.Counter(), {}
    for step in recording.steps:
        most = {bucket: (size, None) for bucket, size in now.items() if size}
        for event in step.events:
            a = event.allocation
            if a.device != device:
                continue
            now[a.bucket] += a.bytes if event.kind == "alloc" else -a.bytes
            if now[a.bucket] > most.get(a.bucket, (0, None))[0]:
                most[a.bucket] = now[a.bucket], a.site.phase
        found[step.number] = most
    return found


def by_bucket(allocations):
    sums = collections.Counter()
    for a in allocations:
        sums[a.bucket] += a.bytes
    return {bucket: bytes_ for bucket, bytes_ in sums.items() if bytes_}


def filled(device):
    return {b["bucket"]: b["bytes"] for b in device["buckets"] if b["bytes"]}


@pytest.fixture(params=[True, False], ids=["folded", "raw"])
def fold(request):
    return request.param


@pytest.mark.parametrize("scenario", ["gpt", "leak", "evals", "devices", "many"])
def test_own_maxima_are_those_of_a_plain_replay(trace, answer, scenario, fold):
    recording, path = trace(scenario, fold=fold)
    for device in answer("buckets", path)["devices"]:
        most = maxima(recording, device["device"])
        assert {b["bucket"]: b["maximum_bytes"] for b in device["buckets"]
                if b["maximum_bytes"]} == {k: v for k, v in most.items() if v}
        assert device["maxima_complete"]


def test_a_flat_buffers_bytes_are_its_tensors(trace, answer, tidemark):
    """Each from where it begins to where the next begins; a view into one is not another."""
    recording, path = trace("gpt")
    db = sqlite3.connect(path)
    address, size, kind, name, step, ordinal = db.execute(
        "SELECT address, bytes, kind, name, step, ordinal FROM tensor WHERE kind = 'parameter' "
        "ORDER BY id LIMIT 1").fetchone()
    db.execute("DELETE FROM tensor WHERE name = ?", (name,))
    for part, start, length in (("second", 10000, 5001), ("view", 11000, 1000), ("first", 0, 9001),
                                ("third", 20002, 777)):
        db.execute("INSERT INTO tensor VALUES (NULL,?,?,'cuda:0',?,?,NULL,'float32',1,?,?)",
                   (kind, part, address + start, length, step, ordinal))
    db.commit()
    [got] = answer("buckets", path, "--by", "parameter")["devices"]
    owners = {o["owner"]: o for o in got["owners"] if o["bucket"] == "parameter"}
    found = {part: owners.get(part, {}).get("bytes") for part in ("first", "second", "third")}
    assert found == {"first": 10000, "second": 10002, "third": size - 20002}
    assert "view" not in owners
    assert sum(o["bytes"] for o in got["owners"]) == got["allocated_bytes"]
    assert sum(o["blocks"] for o in got["owners"]) == sum(b["blocks"] for b in got["buckets"])
    lines = tidemark("buckets", path, "--by", "parameter", "--top", 99).stdout.splitlines()
    assert [line.split()[0] for line in lines if line.endswith(" third")] == ["part"]


@pytest.mark.parametrize("scenario", ["gpt", "leak", "evals", "devices"])
def test_the_timeline_of_steps_tells_each_ones_maxima(trace, answer, tidemark, scenario, fold):
    recording, path = trace(scenario, fold=fold)
    for device in answer("timeline", "--steps", path)["devices"]:
        truth = step_maxima(recording, device["device"])
        assert len(device["steps"]) == len(truth)
        for step in device["steps"]:
            assert {m["bucket"]: (m["bytes"], m["phase"]) for m in step["maxima"]} == (
                truth[step["step"]]), step["step"]
    lines = tidemark("timeline", "--steps", path, "--device", "cuda:0").stdout.splitlines()
    heads, = [i for i, line in enumerate(lines) if line.split()[:1] == ["most"]]
    told = [line.split()[0] for line in lines[heads + 1:heads + 20] if line.startswith("  ")]
    assert told[:told.index("next")] == [bucket for bucket in INSIDE if any(
        bucket in most for most in step_maxima(recording, "cuda:0").values())]


def test_a_step_of_which_nothing_was_kept_has_no_maxima(trace, answer):
    recording, path = trace(make_trace.gpt(), thin={2})
    steps = {s["step"]: s for s in answer("timeline", "--steps", path)["devices"][0]["steps"]}
    assert steps[2]["maxima"] is None and steps[1]["maxima"] and steps[3]["maxima"]


@pytest.mark.parametrize("scenario", ["gpt", "leak", "devices"])
def test_any_step_can_be_asked_for(trace, answer, scenario, fold):
    recording, path = trace(scenario, fold=fold)
    figures = recording.step_figures()
    for step in recording.steps:
        for device in answer("buckets", "--at", f"step:{step.number}", path)["devices"]:
            f = figures[step.number, device["device"]]
            assert device["allocated_bytes"] == f["peak"]
            assert filled(device) == by_bucket(
                recording.live(device["device"], step.number, f["ordinal"]))


def test_any_time_can_be_asked_for(trace, answer, fold):
    recording, path = trace("leak", fold=fold)
    events = list(recording.walk())
    for step, ordinal, event, allocated in events[::97]:
        device, = answer("buckets", "--at", f"{event.time_ns}ns", path)["devices"]
        if fold and device["step"] in recording.patterns():
            continue  # its events are moved and stretched: not the same nanosecond
        assert (device["step"], device["allocated_bytes"]) == (step.number, allocated)
        assert filled(device) == by_bucket(recording.live("cuda:0", step.number, ordinal))


@pytest.mark.parametrize("command", ["buckets", "fragmentation"])
@pytest.mark.parametrize("gone", ["cuda:0", "cuda:1"])
def test_a_time_among_events_of_a_device_that_the_trace_does_not_know(trace, answer, tidemark,
                                                                      command, gone):
    recording, path = trace("devices", fold=False)
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM device WHERE name = ?", (gone,))
    other, = {"cuda:0", "cuda:1"} - {gone}
    events = list(recording.walk())
    at_gone = [e for e in events if e[2].allocation.device == gone]
    at_other = [e for e in events if e[2].allocation.device == other]
    assert at_gone and at_other
    for step, ordinal, event, _ in at_gone[::41] + at_other[::41]:
        at = f"{event.time_ns}ns"
        assert tidemark(command, "--at", at, path).returncode == 0
        device, = answer(command, "--at", at, path)["devices"]
        alive = by_bucket(recording.live(other, step.number, ordinal))
        assert (device["device"], device["step"]) == (other, step.number)
        assert device["allocated_bytes"] == sum(alive.values())
        assert command != "buckets" or filled(device) == alive


def test_the_buckets_are_the_device(trace, answer):
    _, path = trace("gpt")
    device, = answer("buckets", path)["devices"]
    inside = sum(b["bytes"] for b in device["buckets"])
    assert inside == device["allocated_bytes"]
    assert (inside + device["cache"]["bytes"] + device["context"]["bytes"]
            == device["device_used_bytes"])
    assert device["context"]["bytes"] == make_trace.CONTEXT


def test_what_was_there_before_tracing_has_a_name(trace, answer, tidemark):
    _, path = trace(make_trace.gpt(before=123456))
    device, = answer("buckets", path)["devices"]
    assert filled(device)["before tracing"] == 123456
    assert sum(filled(device).values()) == device["allocated_bytes"]
    assert "before tracing" in tidemark("buckets", path).stdout


@pytest.mark.parametrize("by, key", [("phase", "phase"), ("module", "module"),
                                     ("parameter", "owner"), ("dtype", "dtype")])
def test_owners_add_up(trace, answer, tidemark, by, key):
    _, path = trace("gpt")
    device, = answer("buckets", "--by", by, path)["devices"]
    assert sum(o["bytes"] for o in device["owners"]) == device["allocated_bytes"]
    names = [(o["bucket"], o[key]) for o in device["owners"]]
    assert len(set(names)) == len(names)
    assert tidemark("buckets", "--by", by, path).returncode == 0


def test_a_leak_is_found_to_the_byte(trace, answer, fold):
    recording, path = trace("leak", fold=fold)
    device, = answer("leaks", path)["devices"]
    row, = device["growing"]
    assert row["bytes_per_step"] == device["bytes_per_step"] == 30003
    assert row["op"] == "aten::clone" and row["line"]["file"] == "train.py"
    assert row["line"]["line"] == 27
    # kept through the last complete step: made in all before it
    assert row["bytes"] == 30003 * (device["to_step"] - 1)
    assert device["full_in_step"] == device["to_step"] + device["left_bytes"] // 30003 + 1


@pytest.mark.parametrize("scenario", ["gpt", "evals", "devices"])
def test_where_nothing_leaks_it_says_so(trace, answer, tidemark, scenario, fold):
    _, path = trace(scenario, fold=fold)
    for device in answer("leaks", path)["devices"]:
        assert device["leaks"] is False and device["growing"] == []
    assert "nothing grows" in tidemark("leaks", path).stdout


def test_a_filled_queue_is_no_leak(trace, answer):
    _, path = trace(make_trace.gpt(steps=12, queue=3))
    assert answer("leaks", path)["devices"][0]["growing"] == []


def test_too_few_steps_to_tell(trace, answer, tidemark):
    _, path = trace(make_trace.gpt(steps=2, leak=5000))
    assert answer("leaks", path)["devices"][0]["enough_steps"] is False
    assert "too few" in tidemark("leaks", path).stdout


def test_folded_stacks_add_up_and_are_one_a_line(trace, tidemark):
    recording, path = trace("gpt")
    peak = sqlite3.connect(path).execute("SELECT allocated_bytes FROM v_peak").fetchone()[0]
    lines = tidemark("peak", "--folded", path, check=True).stdout.splitlines()
    parts = [line.rsplit(" ", 1) for line in lines]
    assert sum(int(count) for _, count in parts) == peak
    stacks = [stack for stack, _ in parts]
    assert stacks == sorted(set(stacks))
    assert all(stack.startswith("cuda:0;") for stack in stacks)
    assert any("main train.py:25;Block.forward model.py:" in stack for stack in stacks)


@pytest.mark.parametrize("scenario", ["gpt", "raw", "leak", "devices"])
@pytest.mark.parametrize("command", ["buckets", "leaks", "fragmentation", "oom"])
def test_screens_fit(trace, tidemark, scenario, command):
    _, path = trace(scenario)
    screen = tidemark(command, path.name, check=True).stdout
    assert max(map(len, screen.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in screen.splitlines())
    assert "next" in screen


@pytest.mark.parametrize("command", ["buckets", "fragmentation"])
@pytest.mark.parametrize("at", ["", "top", "step:", "step:x", "step:-1", "-3s", "3 s", "4h",
                                "1e99s", "step:99999999999999999999999", "nan", "oom:1"])
def test_no_such_instant(trace, tidemark, command, at):
    _, path = trace("raw")
    done = tidemark(command, "--at", at, path)
    assert done.returncode == 2 and not done.stdout
    assert len(done.stderr.splitlines()) == 1


def test_other_bad_words(trace, tidemark):
    _, path = trace("raw")
    for words in (["buckets", "--by", "colour"], ["buckets", "--at", "step:77"],
                  ["buckets", "--at", "1s", "--step", "1"], ["leaks", "--step", "77"],
                  ["oom", "--step", "77"], ["oom", "--device", "cuda:9"],
                  ["peak", "--folded", "--json"]):
        done = tidemark(*words, path)
        assert done.returncode == 2 and not done.stdout and done.stderr, words


def test_an_oom_that_was_not(trace, answer, tidemark):
    _, path = trace("gpt")
    said = answer("oom", path)
    assert said["events"] == []
    device, = said["headroom"]
    assert device["headroom_bytes"] == device["device_total_bytes"] - device["peak_device_bytes"]
    assert answer("buckets", "--at", "oom", path)["devices"] == []


def refuse(path, **columns):
    """Puts an OOM at the end of the last step into a trace."""
    db = sqlite3.connect(path)
    step, events = db.execute("SELECT id, events FROM step ORDER BY id DESC").fetchone()
    level = db.execute("SELECT end_allocated FROM step_device WHERE step = ?",
                       (step,)).fetchone()[0]
    row = {"device": 1, "step": step, "ordinal": events, "time_ns": 1 << 60, "site": None,
           "source": "allocator", "requested_bytes": 1 << 30, "allocated_bytes": level,
           "reserved_bytes": level, "device_free_bytes": 0,
           "device_total_bytes": make_trace.CARD, **columns}
    db.execute(f"INSERT INTO oom ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
               tuple(row.values()))
    db.execute("UPDATE run SET exit_status = 1")
    db.commit()


@pytest.mark.parametrize("columns", [
    {}, {"device_free_bytes": None, "device_total_bytes": None},
    {"reserved_bytes": None, "device_free_bytes": None, "device_total_bytes": None},
    {"requested_bytes": 0}, {"requested_bytes": 1 << 62}, {"site": 99999}])
def test_an_oom_with_facts_missing_is_still_told(trace, answer, tidemark, columns):
    _, path = trace("gpt")
    refuse(path, **columns)
    event, = answer("oom", path)["events"]
    assert event["verdict"] in ("shortage", "fragmentation", "outside", "limit")
    screen = tidemark("oom", path.name, check=True).stdout
    assert screen.startswith("OUT OF MEMORY")
    assert max(map(len, screen.splitlines())) <= 80
