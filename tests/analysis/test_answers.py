"""The command's figures against a plain replay of the same events in Python."""
import collections
import csv
import io
import sqlite3

import make_trace
import pytest

SCENARIOS = ["gpt", "leak", "evals", "devices", "raw"]
BOTH = pytest.mark.parametrize("fold", [True, False], ids=["folded", "unfolded"])
EACH = pytest.mark.parametrize("scenario", SCENARIOS)


def sums(allocations, key):
    """{key: (bytes, blocks)}"""
    found = collections.defaultdict(lambda: [0, 0])
    for a in allocations:
        found[key(a)][0] += a.bytes
        found[key(a)][1] += 1
    return {k: tuple(v) for k, v in found.items()}


def rows(listing, *keys):
    return {tuple(r[k] for k in keys) if len(keys) > 1 else r[keys[0]]:
            (r["bytes"], r["blocks"]) for r in listing}


def check_peak(recording, got, truth):
    """One device of `peak` against what was alive at that instant."""
    assert got["allocated_bytes"] == truth["peak"]
    assert (got["phase"], got["time_ns"]) == (truth["phase"], truth["ns"])
    alive = recording.live(got["device"], got["step"], truth["ordinal"])
    assert rows(got["by_phase"], "phase") == sums(alive, lambda a: a.site.phase)
    assert rows(got["by_bucket"], "bucket") == sums(alive, lambda a: a.bucket)
    live = sums(alive, lambda a: (a.bucket, a.site.phase, a.site.module, a.site.op,
                                  a.site.shape, a.site.dtype))
    again = collections.defaultdict(lambda: [0, 0])
    for r in got["live"]:
        k = tuple(r[x] for x in ("bucket", "phase", "module", "op", "shape", "dtype"))
        again[k][0] += r["bytes"]
        again[k][1] += r["blocks"]
    assert {k: tuple(v) for k, v in again.items()} == live
    for listing in ("by_phase", "by_bucket", "live"):
        assert sum(r["bytes"] for r in got[listing]) == got["allocated_bytes"]


@EACH
@BOTH
def test_the_peak_is_that_of_a_plain_replay(trace, answer, scenario, fold):
    recording, path = trace(scenario, fold=fold)
    figures = recording.step_figures()
    got = answer("peak", path)["devices"]
    assert [d["device"] for d in got] == recording.devices()
    for d in got:
        step = max((f["peak"], -s) for (s, name), f in figures.items()
                   if name == d["device"])[1]
        assert d["step"] == -step
        check_peak(recording, d, figures[d["step"], d["device"]])


@pytest.mark.parametrize("scenario", ["leak", "evals"])
def test_every_folded_step_has_the_peak_of_a_plain_replay(trace, answer, scenario):
    recording, path = trace(scenario)
    figures = recording.step_figures()
    assert len(recording.patterns()) >= 2, "the scenario must fold for this test to mean much"
    for step in range(len(recording.steps)):
        [got] = answer("peak", "--step", step, path)["devices"]
        assert got["step"] == step
        assert got["same_as"] == recording.patterns().get(step)
        check_peak(recording, got, figures[step, "cuda:0"])


@EACH
@BOTH
def test_the_csv_is_the_whole_run_event_by_event(trace, tidemark, scenario, fold):
    recording, path = trace(scenario, fold=fold)
    lines = list(csv.DictReader(io.StringIO(
        tidemark("timeline", "--csv", path, check=True).stdout)))
    reserved = collections.Counter()
    changes = {(d, s, o): after for d, s, o, _, _, after in recording.reserved_changes()}
    folded = recording.patterns() if fold else {}
    wanted = list(recording.walk())
    assert len(lines) == len(wanted)
    for line, (step, ordinal, event, allocated) in zip(lines, wanted):
        device = event.allocation.device
        reserved[device] = changes.get((device, step.number, ordinal), reserved[device])
        assert (int(line["step"]), int(line["ordinal"])) == (step.number, ordinal)
        assert (line["device"], line["phase"]) == (device, event.phase)
        assert int(line["allocated_bytes"]) == allocated
        assert int(line["reserved_bytes"]) == reserved[device]
        assert step.start_ns <= int(line["time_ns"]) <= step.end_ns
        if step.number not in folded:
            assert int(line["time_ns"]) == event.time_ns
    times = [int(line["time_ns"]) for line in lines]
    assert times == sorted(times)


@EACH
@BOTH
def test_the_report_counts_what_happened(trace, answer, scenario, fold):
    recording, path = trace(scenario, fold=fold)
    got = answer("report", path)
    assert got["steps"] == sum(s.complete for s in recording.steps)
    assert got["events"] == sum(len(s.events) for s in recording.steps)
    assert (got["lost_events"], got["mismatches"]) == (0, 0)
    assert {c["name"]: c["state"] for c in got["capabilities"]} == {
        "native_stacks": "off", "python_stacks": "live"}
    figures = recording.step_figures()
    for d in got["devices"]:
        of = [f for (_, name), f in figures.items() if name == d["device"]]
        assert d["peak_allocated_bytes"] == max(f["peak"] for f in of)
        phases = collections.defaultdict(lambda: [0, 0])
        for f in of:
            for phase, (most, events) in f["phases"].items():
                phases[phase][0] = max(phases[phase][0], most)
                phases[phase][1] += events
        assert {p["phase"]: [p["peak_allocated_bytes"], p["events"]]
                for p in d["phases"]} == dict(phases)
        reserved = [r for name, *_, r in recording.reserved_changes() if name == d["device"]]
        assert d["peak_reserved_bytes"] == max(reserved)


@EACH
@BOTH
def test_the_views_say_the_same_as_the_command(trace, answer, scenario, fold):
    _, path = trace(scenario, fold=fold)
    db = sqlite3.connect(path)
    peak, report = answer("peak", path)["devices"], answer("report", path)["devices"]
    assert db.execute("SELECT device, step, phase, time_ns, allocated_bytes FROM v_peak "
                      "ORDER BY device").fetchall() == [
        (d["device"], d["step"], d["phase"], d["time_ns"], d["allocated_bytes"])
        for d in peak]
    for d in peak:
        view = collections.defaultdict(lambda: [0, 0])
        for size, blocks, *key in db.execute(
                "SELECT bytes, blocks, phase, bucket, module, op, shape, dtype "
                "FROM v_peak_live WHERE device = ?", (d["device"],)):
            view[tuple(key)][0] += size
            view[tuple(key)][1] += blocks
        live = collections.defaultdict(lambda: [0, 0])
        for r in d["live"]:
            k = tuple(r[x] for x in ("phase", "bucket", "module", "op", "shape", "dtype"))
            live[k][0] += r["bytes"]
            live[k][1] += r["blocks"]
        assert view == live
    assert sorted(db.execute("SELECT device, phase, allocated_bytes FROM v_phase_peak")) == \
        sorted((d["device"], p["phase"], p["peak_allocated_bytes"])
               for d in report for p in d["phases"])


def test_all_device_columns_come_from_the_sample_before_the_peak(trace, answer):
    recording, path = trace("gpt")
    [got] = answer("peak", path)["devices"]
    ordinal = recording.step_figures()[got["step"], "cuda:0"]["ordinal"]
    before = [r for _, s, o, _, _, r in recording.reserved_changes()
              if (s, o) <= (got["step"], ordinal)]
    assert got["reserved_bytes"] == before[-1]
    assert got["device_used_bytes"] == before[-1] + make_trace.CONTEXT


def test_owners_and_stacks_are_those_of_the_allocation(trace, answer):
    recording, path = trace("gpt")
    answered = answer("peak", path)
    [got] = answered["devices"]
    truth = {a.name: a for a in recording.allocations if a.name}
    owned = {r["owner"]: r for r in got["live"] if r["owner"]}
    assert set(owned) == set(truth)
    for name, row in owned.items():
        assert (row["bytes"], row["blocks"]) == (truth[name].bytes, 1)
        frames = [answered["frames"][number] for number in row["stack"]]
        assert [f"{f['file']}:{f['line']} {f['function']}" for f in frames] == \
            list(truth[name].site.stack)


def test_an_address_used_again_has_the_owner_of_its_time(tmp_path, trace, answer):
    recording, path = trace("gpt")
    db = sqlite3.connect(path)
    activation = db.execute("SELECT address, bytes FROM allocation WHERE bucket = 4 AND "
                            "born_step = 2 ORDER BY bytes DESC").fetchone()
    db.execute("INSERT INTO tensor VALUES (NULL,'parameter','old','cuda:0',?,?,NULL,NULL,1,0,0)",
               activation)
    db.commit()
    [got] = answer("peak", path)["devices"]
    assert got["step"] == 2 and "old" not in [r["owner"] for r in got["live"]]


@pytest.mark.parametrize("later, owned", [(0, False), (1, True)])
def test_inside_one_step_too(trace, answer, later, owned):
    """What was looked at before the block was made lay in another one at its address."""
    recording, path = trace("gpt")
    db = sqlite3.connect(path)
    address, step, born = db.execute(
        "SELECT t.address, born_step, born FROM tensor t JOIN allocation a ON a.address = "
        "t.address WHERE kind = 'parameter' AND a.bucket = 0 AND died_step IS NULL").fetchone()
    db.execute("UPDATE tensor SET name = 'of its time', step = ?, ordinal = ? WHERE address = ?",
               (step, born + later, address))
    db.commit()
    [got] = answer("buckets", path, "--by", "parameter")["devices"]
    assert ("of its time" in [r["owner"] for r in got["owners"]]) is owned


def test_memory_from_before_tracing_has_a_row_of_its_own(trace, answer, tidemark):
    recording, path = trace(make_trace.gpt(steps=3, before=12345678))
    [got] = answer("peak", path)["devices"]
    unseen = [r for r in got["live"] if r["owner"] == "before tracing"]
    assert [(r["bytes"], r["blocks"]) for r in unseen] == [(12345678, 0)]
    for listing in ("by_phase", "by_bucket", "live"):
        assert sum(r["bytes"] for r in got[listing]) == got["allocated_bytes"]
    assert "before tracing: 11.77 MiB" in tidemark("peak", path).stdout


def test_a_thinned_step_says_so_and_keeps_its_peak(trace, answer, tidemark):
    recording, path = trace("evals", fold=False, thin={4, 5})
    figures = recording.step_figures()
    [got] = answer("peak", "--step", 4, path)["devices"]
    assert got["allocated_bytes"] == figures[4, "cuda:0"]["peak"]
    assert [r["owner"] for r in got["live"]] == ["thinned away"]
    whole = answer("peak", path)["devices"][0]
    check_peak(recording, whole, figures[whole["step"], "cuda:0"])
    done = tidemark("timeline", "--csv", path)
    assert "the events of 2 steps were dropped" in done.stderr
    lines = [r for r in csv.DictReader(io.StringIO(done.stdout)) if r["step"] == "4"]
    assert [int(r["allocated_bytes"]) for r in lines] == [figures[4, "cuda:0"]["peak"]]
    assert answer("report", path)["lost_events"] == 0


def test_losses_and_mismatches_are_counted_apart(trace, answer, tidemark):
    _, path = trace("gpt")
    db = sqlite3.connect(path)
    db.execute("INSERT INTO lost VALUES ('ring_full', 7, 'the writer was too slow'), "
               "('mismatch', 3, 'replayed sum and total disagreed'), "
               "('unmatched_free', 2, 'freed, never seen allocated'), "
               "('ring_full_other', 9, 'names that found no room'), "
               "('out_of_memory_other', 6, 'names that there was no memory for'), "
               "('module_names', 5, 'names of modules that there was no memory for'), "
               "('long_texts', 4, 'a config that no ring holds')")
    db.commit()
    got = answer("report", path)
    assert (got["lost_events"], got["mismatches"]) == (7, 3)
    screen = tidemark("report", path).stdout
    assert "7 events lost" in screen and "differs from allocator's total at 3 of" in screen


def as_another_instruction(path):
    """The innermost frame of every stack a second time, as another instruction of the same line, with
    stacks and sites of its own: those of every other step, as the first steps have them where CPython
    specialises a call."""
    db = sqlite3.connect(path)
    top = {kind: db.execute(f"SELECT max(id) FROM {kind}").fetchone()[0]
           for kind in ("frame", "stack", "site")}
    db.execute(f"""INSERT INTO frame SELECT id + {top["frame"]}, kind, function, file, line, address
                   FROM frame WHERE kind = 'python'""")
    db.execute(f"""INSERT INTO stack SELECT s.id + {top["stack"]}, s.parent, s.frame + {top["frame"]}
                   FROM stack s JOIN frame f ON f.id = s.frame WHERE f.kind = 'python'""")
    db.execute(f"""INSERT INTO site SELECT id + {top["site"]}, phase, thread,
                   python_stack + {top["stack"]}, native_stack, module, op, shape, scope FROM site
                   WHERE python_stack NOT NULL""")
    changed = db.execute(f"""UPDATE allocation SET site = site + {top["site"]} WHERE born_step % 2
                             AND site IN (SELECT id FROM site WHERE python_stack NOT NULL)""")
    assert changed.rowcount > 10
    db.commit()


def test_another_instruction_of_a_line_is_no_other_place(trace, answer):
    _, path = trace("leak", fold=False)
    was = answer("leaks", path)["devices"]
    [growing] = [d["growing"] for d in was]
    assert len(growing) > 0
    as_another_instruction(path)
    assert answer("leaks", path)["devices"] == was


def test_one_device_can_be_asked_for(trace, answer, tidemark):
    _, path = trace("devices")
    for command in ("peak", "report", "timeline"):
        assert [d["device"] for d in answer(command, "-d", "cuda:1", path)["devices"]] == [
            "cuda:1"]
    done = tidemark("peak", "--device", "cuda:7", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "it has cuda:0, cuda:1" in done.stderr


def test_groups_by_bucket_add_up_to_the_same_bytes(trace, answer):
    _, path = trace("gpt")
    [got] = answer("peak", "--by", "bucket", path)["devices"]
    assert rows(got["live"], "bucket") == rows(got["by_bucket"], "bucket")
    assert {r["module"] for r in got["live"] if r["bucket"] == "parameter"} == {None}
    [few] = answer("peak", "--by", "bucket", "--top", 2, path)["devices"]
    assert len(few["live"]) == 2
    assert sum(r["bytes"] for r in few["live"]) + few["not_listed"]["bytes"] == \
        few["allocated_bytes"]


def test_the_timeline_of_a_step_starts_and_ends_where_the_step_does(trace, answer):
    recording, path = trace("leak")
    figures = recording.step_figures()
    for step in (1, 7, 9):
        [got] = answer("timeline", "--step", step, path)["devices"]
        f = figures[step, "cuda:0"]
        assert got["start_allocated_bytes"] == f["start"]
        assert got["points"][-1]["allocated_bytes"] == f["end"]
        assert max(p["allocated_bytes"] for p in got["points"]) == f["peak"]
    [steps] = answer("timeline", "--steps", path)["devices"]
    assert [s["peak_allocated_bytes"] for s in steps["steps"]] == [
        figures[n, "cuda:0"]["peak"] for n in range(len(recording.steps))]
