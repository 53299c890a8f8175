"""`tidemark diff`: two runs that differ in a known way."""
import sqlite3

import pytest
from conftest import MIB, training

HOME = {"script": "train.py", "cwd": "/home/a/project"}


def device(answer, a, b, *options):
    [one] = answer("diff", a, b, *options)["devices"]
    return one


def told(one):
    """The changes that count, as (kind, bytes, places)."""
    return [(c["kind"], c["change_bytes"], c["places"]) for c in one["changes"]
            if c["change_bytes"] or c["kind"] == "bucket"]


def test_a_run_and_itself_are_equal(trace, answer, tidemark):
    a = trace(training(), "a.db", **HOME)
    b = trace(training(), "b.db", **HOME)
    one = device(answer, a, b)
    assert one["change_bytes"] == 0 and one["changes"] == [] and one["dimension"] is None
    assert [(s["from_step"], s["to_step"], s["last_change_bytes"]) for s in one["steps"]] == [
        (0, 0, 0), (1, 5, 0)]
    assert "the same blocks were alive at both peaks" in tidemark("diff", a, b).stdout


def test_a_new_block_is_found_with_its_line(trace, answer, tidemark):
    a = trace(training(), "a.db", **HOME)
    b = trace(training(extra=20002 * 4), "b.db", **HOME)
    one = device(answer, a, b)
    [change] = one["changes"]
    assert one["change_bytes"] == change["change_bytes"] == 20002 * 4
    assert (change["kind"], change["a"]) == ("only b", None)
    assert (change["b"]["file"], change["b"]["line"]) == ("train.py", 77)
    assert change["b"]["shape"] == "[20002]" and change["b"]["bucket"] == "activation"
    assert [b for b in one["by_bucket"] if b["change_bytes"]] == [
        {"bucket": "activation", "a_bytes": 3 * 8 * 64 * 1024 * 4,
         "b_bytes": 3 * 8 * 64 * 1024 * 4 + 20002 * 4, "change_bytes": 20002 * 4}]
    # Every step has it, and the changes there are those at the peak.
    assert [(s["from_step"], s["to_step"], s["last_change_bytes"], s["changes_as_at_peak"])
            for s in one["steps"]] == [(1, 5, 20002 * 4, True), (0, 0, 0, False)]
    screen = tidemark("diff", a, b).stdout
    assert "only B has 1 block [20002] float32, made at train.py:77 by aten::zeros" in screen
    # The other way round it is gone.
    [gone] = device(answer, b, a)["changes"]
    assert (gone["kind"], gone["change_bytes"]) == ("only a", -20002 * 4)


def test_layers_that_change_alike_are_one_change(trace, answer):
    a = trace(training(layers=3), "a.db", **HOME)
    b = trace(training(layers=12), "b.db", **HOME)
    one = device(answer, a, b)
    assert sorted(told(one)) == sorted([("only b", 9 * 4 * MIB, 9),
                                        ("only b", 9 * 2 * MIB, 9)])
    assert {c["pattern"] for c in one["changes"]} == {"h.*.weight", "h.*"}


@pytest.mark.parametrize("change", [{"shift": 7}, {"root": "/data/elsewhere/b"},
                                    {"shift": -3, "root": "/w"}, {"order": -1}])
def test_edits_and_other_folders_change_nothing(trace, answer, change):
    a = trace(training(), "a.db", **HOME)
    b = trace(training(**change), "b.db", script=f"{change.get('root', '/home/a/project')}/train.py")
    assert told(device(answer, a, b)) == []


def test_a_larger_batch_is_called_one(trace, answer, tidemark):
    a = trace(training(batch=8), "a.db", **HOME)
    b = trace(training(batch=16), "b.db", **HOME)
    one = device(answer, a, b)
    assert one["dimension"] == {"name": "batch", "index": 0, "a": 8, "b": 16, "shapes": 4,
                                "change_bytes": one["change_bytes"]}
    assert all(c["by_dimension"] for c in one["changes"])
    assert "batch 8 -> 16" in tidemark("diff", a, b).stdout


def test_another_width_is_no_batch(trace, answer):
    one = device(answer, trace(training(hidden=1024), "a.db", **HOME),
                 trace(training(hidden=1536), "b.db", **HOME))
    assert one["dimension"] is None
    assert {c["kind"] for c in one["changes"]} == {"shape"}


def test_a_batch_and_a_width_together_are_no_batch(trace, answer):
    one = device(answer, trace(training(batch=8, hidden=1024), "a.db", **HOME),
                 trace(training(batch=16, hidden=1536), "b.db", **HOME))
    assert one["dimension"] is None


def test_another_dtype_is_told(trace, answer):
    one = device(answer, trace(training(), "a.db", **HOME),
                 trace(training(dtype="bfloat16"), "b.db", **HOME))
    assert told(one) == [("dtype", -3 * MIB, 3)]
    assert "bfloat16" in one["changes"][0]["sentence"]


def test_another_bucket_is_told_and_changes_no_sum(trace, answer):
    a, b = trace(training(), "a.db", **HOME), trace(training(), "b.db", **HOME)
    db = sqlite3.connect(b)
    db.execute("UPDATE allocation SET bucket = 2 WHERE bucket = 4")
    db.commit()
    db.close()
    one = device(answer, a, b)
    assert one["change_bytes"] == 0 and told(one) == [("bucket", 0, 3)]
    assert "count as activation in A and as gradient in B" in one["changes"][0]["sentence"]


def test_wrappers_change_no_names(trace, answer):
    a, b = trace(training(), "a.db", **HOME), trace(training(), "b.db", **HOME)
    db = sqlite3.connect(b)
    db.execute("UPDATE tensor SET name = 'module._orig_mod.' || name")
    db.execute("UPDATE module SET name = 'module._orig_mod.' || name")
    db.commit()
    db.close()
    assert told(device(answer, a, b)) == []


def test_peaks_in_other_phases_are_said(trace, answer, tidemark):
    a = trace(training(peak_at="forward"), "a.db", **HOME)
    b = trace(training(peak_at="backward"), "b.db", **HOME)
    assert device(answer, a, b)["same_phase"] is False
    assert "different phases" in tidemark("diff", a, b).stdout


def test_what_grows_is_told_as_a_rate(trace, answer, tidemark):
    a = trace(training(steps=8), "a.db", **HOME)
    b = trace(training(steps=8, leak=30003 * 4), "b.db", **HOME)
    first = device(answer, a, b)["steps"][0]
    assert (first["from_step"], first["to_step"], first["change_bytes_per_step"]) == (
        1, 8, 30003 * 4)
    assert "with every step" in tidemark("diff", a, b).stdout


def test_steps_that_only_one_run_has_are_counted(trace, answer):
    one = device(answer, trace(training(steps=3), "a.db", **HOME),
                 trace(training(steps=9), "b.db", **HOME))
    assert (one["shared_steps"], one["a_more_steps"], one["b_more_steps"]) == (4, 0, 6)


def test_one_step_can_be_asked_for(trace, answer, tidemark):
    a = trace(training(steps=8), "a.db", **HOME)
    b = trace(training(steps=8, leak=30003 * 4), "b.db", **HOME)
    assert device(answer, a, b, "--step", "3")["change_bytes"] == 3 * 30003 * 4
    assert tidemark("diff", a, b, "--step", "99").returncode == 2


def test_a_thinned_step_is_compared_as_far_as_it_goes(trace, answer):
    a = trace(training(), "a.db", **HOME)
    b = trace(training(extra=MIB), "b.db", thin=(1, 2, 3, 4, 5), fold=False, **HOME)
    one = device(answer, a, b)
    assert one["change_bytes"] == MIB
    assert sum(c["change_bytes"] for c in one["changes"]) == MIB
    assert "thinned away" in {c["b"] and c["b"]["bucket"] for c in one["changes"]}


def test_the_sums_are_those_of_the_peaks(trace, answer):
    """Whatever is paired with what, changes and buckets add up."""
    for scenario in ("gpt", "leak", "evals", "devices"):
        a, b = trace("gpt", "one.db"), trace(scenario, f"{scenario}.db")
        for one in answer("diff", a, b)["devices"]:
            assert sum(c["change_bytes"] for c in one["changes"]) == one["change_bytes"]
            assert sum(c["change_bytes"] for c in one["by_bucket"]) == one["change_bytes"]
        b.unlink()
        a.unlink()


def test_devices_are_paired_by_name_or_as_the_only_ones(trace, answer, tidemark):
    a, b = trace("gpt", "a.db"), trace("devices", "b.db")
    got = answer("diff", a, b)["devices"]
    assert [(d["a"]["device"], d["b"]["device"]) for d in got] == [("cuda:0", "cuda:0")]
    assert "cuda:1 is a device of B, not of A" in tidemark("diff", a, b).stdout
    db = sqlite3.connect(a)
    db.execute("UPDATE device SET name = 'cuda:3'")
    db.commit()
    db.close()
    got = answer("diff", a, trace("gpt", "c.db"))["devices"]
    assert [(d["a"]["device"], d["b"]["device"]) for d in got] == [("cuda:3", "cuda:0")]


@pytest.mark.parametrize("words, status", [((), 2), (("a.db",), 2), (("a.db", "a.db", "a.db"), 2),
                                           (("a.db", "none.db"), 3), (("a.db", "text"), 3),
                                           (("a.db", "empty"), 3), (("a.db", "."), 3)])
def test_bad_input_is_one_sentence(trace, tidemark, tmp_path, words, status):
    trace("gpt", "a.db")
    (tmp_path / "text").write_text("nothing of ours")
    (tmp_path / "empty").write_text("")
    done = tidemark("diff", *words)
    assert done.returncode == status and done.stdout == ""
    assert done.stderr.startswith("tidemark: ") and done.stderr.count("\n") == 1


def test_a_run_that_is_not_whole_is_said(trace, answer, tidemark):
    a = trace(training(), "a.db", **HOME)
    b = trace(training(steps=4), "b.db", ended="killed", exit_status=None, **HOME)
    assert answer("diff", a, b)["b"]["doubt"] == "the run was killed"
    assert "the run was killed" in tidemark("diff", a, b).stdout
