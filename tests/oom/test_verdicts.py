"""Five scripts run out of memory for five reasons; each is told, with the line that asked."""
import pathlib
import signal

import pytest
import replay
import where

SCRIPTS = pathlib.Path(__file__).resolve().parent / "scripts"
GIB = 1 << 30

# script, memory, environment, verdict, the statement that asked, its phase
CASES = {
    "batch": ("4GiB", {}, "shortage", "return x + self.mlp(self.norm(x))", "forward"),
    "leak": ("4GiB", {}, "shortage", "loss.backward(retain_graph=True)", "backward"),
    "fragmentation": ("4GiB", {}, "fragmentation", "bank.append(narrow(hidden))", "eval"),
    "fraction": ("8GiB", {}, "limit", "return x + self.mlp(self.norm(x))", "forward"),
    "outside": ("4GiB", {"TIDEMARK_SIM_OUTSIDE": "2700MiB"}, "outside", None, "forward"),
}


def statement(line):
    return pathlib.Path(line["file"]).read_text().splitlines()[line["line"] - 1].strip()


@pytest.fixture(params=sorted(CASES))
def case(request):
    return request.param


@pytest.fixture(params=["raise", "kill"])
def died(request, case, sim):
    memory, env, *_ = CASES[case]
    run = sim(f"{case}.py", memory=memory, THEN=request.param, **env)
    assert run.code == (1 if request.param == "raise" else -signal.SIGKILL), run.stderr
    return run


def test_verdict_and_line(case, died, answer):
    _, _, verdict, asked, phase = CASES[case]
    event, = answer("oom", died.file)["events"]
    assert event["verdict"] == verdict
    assert event["phase"] == phase
    assert event["fatal"] is True
    assert event["line"]["file"].startswith(str(SCRIPTS))
    if asked:
        assert statement(event["line"]) == asked


def test_figures_agree_with_a_second_replay(died, answer):
    said = answer("oom", died.file)
    event, = said["events"]
    if said["lost_events"]:
        pytest.xfail(f"the recorder lost {said['lost_events']} events at the kill")
    trace = replay.Trace(died.file)
    oom = trace.oom()
    blocks = trace.blocks(oom["step"], oom["ordinal"])
    holes = list(trace.holes(oom["step"], oom["ordinal"], oom["time_ns"]))
    assert sum(size for _, size, _ in blocks) == event["allocated_bytes"]
    assert event["allocated_bytes"] == oom["allocated_bytes"]
    assert sum(b["bytes"] for b in event["by_bucket"]) == event["allocated_bytes"]
    assert sum(group["bytes"] for group in event["live"]) == event["allocated_bytes"]
    assert sum(holes) == event["reserved_bytes"] - event["allocated_bytes"]
    assert event["cached_bytes"] == sum(holes)
    assert event["segments"] == "exact"
    if event["requested_bytes"] > 1 << 20:
        large = [h for h in holes if h > 2 << 20]
        assert event["largest_free_block_bytes"] == max(large, default=0) or not large
        assert event["largest_free_block_bytes"] < event["requested_bytes"]
    assert event["outside_bytes"] == (event["device_total_bytes"] - event["device_free_bytes"]
                                      - event["reserved_bytes"])


def test_who_is_on_the_device_is_named(case, died, answer):
    event, = answer("oom", died.file)["events"][-1:]
    told = {p["pid"]: p["about_bytes"] for p in event["processes"]}
    if not event["message"]:  # the program was killed before it read one
        assert told == {}
        return
    assert set(told) == ({None, 1} if case == "outside" else {None})
    own = event["reserved_bytes"] + event["outside_bytes"] - told.get(1, 0)
    assert abs(told[None] - own) <= 0.01 * 2**30  # PyTorch rounds to a hundredth of a GiB
    if case == "outside":
        assert told[1] == pytest.approx(2700 << 20, abs=0.01 * 2**30)
        lever, = [v for v in event["levers"] if v["id"] == "free_device"]
        assert lever["change"].startswith("end process 1, which has 2.64 GiB")


def test_a_page_of_eighty_columns(died, tidemark):
    screen = tidemark("oom", died.file).stdout
    assert screen.startswith("OUT OF MEMORY")
    assert max(len(line) for line in screen.splitlines() if str(died.file) not in line) <= 80
    assert len(screen.splitlines()) <= 66
    assert not any(line != line.rstrip() for line in screen.splitlines())


FIRST = {"leak": "stop_leak", "fragmentation": "stop_leak", "fraction": "raise_limit",
         "outside": "free_device"}


def test_the_first_lever_is_the_one_for_the_reason(case, died, answer):
    event, = answer("oom", died.file)["events"]
    levers = event["levers"]
    assert event["replay"]["samples"] > 10 and event["replay"]["differing_samples"] == 0
    assert all(lever["basis"] and lever["enough"] == (lever["mark"] == "fits")
               for lever in levers)
    if case == "outside":  # refused in the first forward: nobody knows how it goes on
        assert event["replay"]["unknown"]
        assert {lever["mark"] for lever in levers} <= {"unknown", "short"}
    else:
        assert levers[0]["mark"] == "fits"
    if case in FIRST:
        assert levers[0]["id"] == FIRST[case]
    else:
        assert {lever["id"] for lever in levers if lever["enough"]} == {
            "smaller_batch", "accumulate"}


def test_what_only_delays_a_leak_says_so(sim, answer):
    run = sim("fragmentation.py", memory="4GiB", THEN="raise")
    event, = answer("oom", run.file)["events"]
    marks = {lever["id"]: lever for lever in event["levers"]}
    assert marks["expandable_segments"]["mark"] == "short"
    assert "steps instead of" in marks["bf16_autocast"]["why"]


def test_no_lever_is_seen_to_fit_while_the_states_to_come_are_not_known(sim, answer):
    run = sim("own_optimizer.py", memory="2700MiB")
    event, = answer("oom", run.file)["events"]
    assert (event["step"], event["phase"]) == (1, "backward")
    assert event["replay"]["unknown"] == "what Mine keeps for a parameter is not known"
    assert event["levers"] and not any(lever["enough"] for lever in event["levers"])


def test_buckets_add_up_to_the_device(died, answer):
    lost = answer("oom", died.file)["lost_events"]
    if lost:
        pytest.xfail(f"the recorder lost {lost} events at the kill")
    device, = answer("buckets", "--at", "oom", died.file)["devices"]
    inside = sum(b["bytes"] for b in device["buckets"])
    assert inside == device["allocated_bytes"]
    cache = device["cache"]
    assert cache["free_segment_bytes"] + cache["split_remainder_bytes"] == cache["bytes"]
    assert inside + cache["bytes"] == device["reserved_bytes"]
    assert device["reserved_bytes"] + device["context"]["bytes"] == device["device_used_bytes"]
    for bucket in device["buckets"]:
        assert sum(rule["bytes"] for rule in bucket["rules"]) == bucket["bytes"]
        assert bucket["maximum_bytes"] >= bucket["bytes"]


def test_the_leak_is_where_it_is(sim, answer):
    run = sim("leak.py", memory="4GiB", THEN="raise")
    device, = answer("leaks", run.file)["devices"]
    assert statement(device["newest_line"]) == "history.append(hidden.mean())"
    assert device["bytes_per_step"] == pytest.approx(device["level_rose_bytes"] / (
        device["to_step"] - device["from_step"]), rel=0.01)
    died_in = answer("oom", run.file)["events"][0]["step"]
    assert abs(device["full_in_step"] - died_in) <= 1


def test_what_pins_a_segment_is_named(sim, answer):
    run = sim("fragmentation.py", memory="4GiB", THEN="raise")
    device, = answer("fragmentation", "--at", "oom", run.file)["devices"]
    trace = replay.Trace(run.file)
    oom = trace.oom()
    assert [(s["address"], s["bytes"]) for s in device["segments"]] == trace.segments(
        oom["time_ns"])
    assert sorted((b["address"], b["bytes"], b["bucket"]) for s in device["segments"]
                  for b in s["blocks"]) == trace.blocks(oom["step"], oom["ordinal"])
    assert device["largest_hole_bytes"] == max(
        trace.holes(oom["step"], oom["ordinal"], oom["time_ns"]))


def test_expandable_segments_do_what_the_lever_says(sim, answer):
    plain = sim("fragmentation.py", memory="4GiB", THEN="raise")
    other = sim("fragmentation.py", memory="4GiB", THEN="raise",
                PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True")
    before, = answer("oom", plain.file)["events"]
    after, = answer("oom", other.file)["events"]
    assert after["step"] > before["step"]
    assert (before["expandable"], after["expandable"]) == (False, True)
    assert after["segments"] == "exact"
    assert after["verdict"] == "shortage"


def test_the_batch_that_the_lever_names_fits(sim, answer):
    run = sim("batch.py", memory="4GiB", THEN="raise")
    levers = answer("oom", run.file)["events"][0]["levers"]
    lever, = [lever for lever in levers if lever["id"] == "smaller_batch"]
    batch = lever["value"]
    assert lever["mark"] == "fits" and lever["change"].startswith(f"batch {batch} instead of 48")
    smaller = sim("fits.py", batch, memory="4GiB")
    assert smaller.code == 0
    peak = answer("peak", smaller.file)["devices"][0]["allocated_bytes"]
    assert abs(peak - lever["peak_bytes"]) <= 0.03 * peak
    assert sim("fits.py", 2 * batch, memory="4GiB").code == 1  # and it is no idle caution


def test_a_caught_oom_is_not_the_end(sim, answer):
    run = sim("retry.py", memory="4GiB")
    assert run.code == 0, run.stderr
    events = answer("oom", run.file)["events"]
    assert events and not any(event["fatal"] for event in events)


@pytest.mark.parametrize("emptied", [(), ("emptied",)])
def test_at_the_end_the_buckets_are_what_the_device_says(sim, answer, emptied):
    run = sim("fits.py", 8, *emptied, memory="4GiB")
    ended, = replay.Trace(run.file).db.execute("SELECT max(end_ns) FROM step").fetchone()
    device, = answer("buckets", "--at", f"{ended}ns", run.file)["devices"]
    assert device["allocated_bytes"] == run.truth["allocated"]
    assert device["reserved_bytes"] == run.truth["reserved"]
    assert device["device_used_bytes"] == run.truth["used"]
    assert sum(b["bytes"] for b in device["buckets"]) == run.truth["allocated"]


def test_a_run_that_fits_says_how_close_it_came(sim, answer, tidemark):
    run = sim("fits.py", 8, memory="4GiB")
    said = answer("oom", run.file)
    assert said["events"] == []
    assert 0 < said["headroom"][0]["headroom_bytes"] < 4 * GIB
    assert "No allocation was refused" in tidemark("oom", run.file).stdout


def test_the_exceptions_text_is_kept(died, answer):
    """Also where the process was killed before it could print it."""
    event, = answer("oom", died.file)["events"]
    assert event["message"].startswith("CUDA out of memory. Tried to allocate ")
    if died.code == 1:  # Python's own last line, in one piece
        assert f"OutOfMemoryError: {event['message']}" in died.stderr


def test_each_oom_that_was_caught_has_a_text_of_its_own(sim, answer):
    run = sim("retry.py", memory="4GiB")
    assert run.code == 0, run.stderr
    events = answer("oom", run.file)["events"]
    assert events
    for event in events:
        assert event["message"].startswith("CUDA out of memory")


OWN = ["torch-2.6.0", "torch-2.11.0"]
OTHERS = [v for v in map(where.torch_version, where.wheels()) if f"torch-{v}" not in OWN]


@pytest.mark.parametrize("torch", OWN + OTHERS)
@pytest.mark.parametrize("backend, source", [("native", "allocator"),
                                             ("cudaMallocAsync", "exception")])
def test_a_limit_that_reports_to_nobody_is_seen_by_its_exception(sim, answer, torch, backend,
                                                                 source):
    """cudaMallocAsync's allocator throws without a word to the profiler."""
    run = sim("fraction.py", memory="8GiB", THEN="raise", torch=torch,
              PYTORCH_CUDA_ALLOC_CONF=f"backend:{backend}")
    assert run.code == 1 and "OutOfMemoryError: " in run.stderr
    event, = answer("oom", run.file)["events"]  # one, though both may tell
    assert event["source"] == source and event["fatal"] and event["verdict"] == "limit"
    # nobody said how much, but a tensor was being made
    size = 4
    for n in event["shape"].strip("[]").split(", "):
        size *= int(n)
    assert event["dtype"] == "float32"
    assert size <= event["requested_bytes"] < size + 512
    assert event["line"]["file"] == str(SCRIPTS / "model.py") and event["phase"] == "forward"
    assert sum(b["bytes"] for b in event["by_bucket"]) == event["allocated_bytes"]
    assert event["message"].strip() in run.stderr


def test_the_memory_fraction_is_in_the_trace(sim, tidemark):
    run = sim("fraction.py", memory="8GiB", THEN="kill")
    told = dict(replay.Trace(run.file).db.execute("SELECT key, value FROM meta"))
    assert float(told["memory_fraction.cuda:0"]) == pytest.approx(0.3, rel=1e-6)
    said = " ".join(tidemark("oom", run.file).stdout.split())
    assert "30 % of the device, which is 2.40 GiB (set_per_process_memory_fraction)" in said


def test_the_device_is_looked_at_again_when_memory_was_given_back(sim, tidemark):
    """Fragmentation makes PyTorch give segments back before it gives up."""
    run = sim("fragmentation.py", memory="4GiB", THEN="kill")
    tidemark("oom", run.file)
    db = replay.Trace(run.file).db
    given = db.execute("SELECT died_ns, bytes FROM segment WHERE died_ns NOTNULL AND host = 0 "
                       "ORDER BY died_ns").fetchall()
    assert given
    for at, size in given:
        row, before = db.execute("SELECT id, device_free_bytes FROM memory_sample WHERE "
                                 "time_ns = ? ORDER BY id LIMIT 1", (at,)).fetchone()
        after, = db.execute("SELECT device_free_bytes FROM memory_sample WHERE id = ? + 1",
                            (row,)).fetchone()
        assert after - before == size
