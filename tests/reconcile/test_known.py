"""Traces of known content: what reconcile says of them, and what it refuses."""
import re
import sqlite3

import make_trace
import pytest
from causes import KINDS, ROOT, VAGUE
from conftest import cause, rows_of

LISTED = re.compile(r'^CAUSE\(\w+, "([^"]+)", "([^"]+)"\)$', re.M)
CPU_ONLY = "DELETE FROM tensor; UPDATE allocation SET bucket = 6;"


@pytest.fixture
def trace(tmp_path):
    """trace(changes, **options of make_trace.gpt) -> path"""
    def make(changes="", write=None, **options):
        path = tmp_path / "a.db"
        path.unlink(missing_ok=True)
        make_trace.gpt(**options).write(path, **(write or {}))
        db = sqlite3.connect(path)
        db.executescript(changes)
        db.close()
        return path
    return make


def test_the_kinds_of_causes_are_those_of_the_document():
    listed = dict(LISTED.findall((ROOT / "analysis" / "reconcile" / "causes.def").read_text()))
    assert listed == KINDS
    assert not any(VAGUE.search(f"{kind} {what}") for kind, what in listed.items())


def test_buckets_at_the_peak_are_those_of_peak(trace, answer, tidemark):
    import json
    for fold in (True, False):
        path = trace(write={"fold": fold}, leak=4096)
        rows = rows_of(answer(path)["devices"][0])
        peak = json.loads(tidemark("peak", path, "--json").stdout)["devices"][0]
        for bucket in peak["by_bucket"]:
            assert rows[bucket["bucket"]]["measured_bytes"] == bucket["bytes"]
        assert rows["cache"]["measured_bytes"] == (
            peak["reserved_bytes"] - peak["allocated_bytes"])
        assert rows["context"]["measured_bytes"] == (
            peak["device_used_bytes"] - peak["reserved_bytes"])


def test_memory_given_back_at_the_end_does_not_change_what_there_was_at_first(trace, answer):
    """While segments are freed one by one, reserved is what it was before the first."""
    def context(changes=""):
        rows = rows_of(answer(trace(changes))["devices"][0])
        return rows["context"]["causes"]
    before = context()
    assert [c["kind"] for c in before] == ["context"]
    assert before == context(
        "INSERT INTO memory_sample SELECT NULL, l.device, 1 + l.step, 0, l.time_ns, 0, "
        "l.reserved_bytes, f.device_free_bytes, f.device_total_bytes FROM memory_sample f, "
        "memory_sample l WHERE f.id = 1 AND l.id = (SELECT max(id) FROM memory_sample);")


def test_a_loop_that_cuts_the_last_id_off_trains_on_the_rest(trace, answer):
    """The loader's batch is [1, 1025], and the stream is [1, 1024, 768]: much the same bytes."""
    said = answer(trace("UPDATE shape SET dims = '[1, 1024, 768]' WHERE dims = '[4, 1024, 6912]';"
                        "UPDATE shape SET dims = '[1, 1025]' WHERE dims = '[4, 1025]';"),
                  "--model", "gpt2")["recognised"]
    assert (said["batch"], said["seq"]) == (1, 1024)
    assert said["batch_from"].startswith("[1, 1024, 768]")


def test_every_step_adds_up(trace, answer):
    path = trace(leak=12345)
    for step in range(7):
        assert answer(path, "--step", step)["devices"][0]["unexplained_bytes"] == 0


def test_memory_from_before_tracing_is_not_explained_away(trace, answer, tidemark):
    path = trace(before=777216)
    device = answer(path)["devices"][0]
    assert device["unexplained_bytes"] == 777216
    assert "777,216 B unexplained" in tidemark("reconcile", path).stdout


def test_a_thinned_step_is_not_explained_away(trace, answer):
    device = answer(trace(write={"thin": {1, 2, 3, 4, 5, 6}}))["devices"][0]
    assert device["unexplained_bytes"] > 0


def test_rounding_and_what_was_not_split_off_have_their_own_causes(trace, answer):
    path = trace("UPDATE allocation SET requested = bytes - 100, bytes = bytes + 4096 "
                 "WHERE bucket = 0;")
    row = rows_of(answer(path)["devices"][0])["parameter"]
    blocks = 8  # four layers of two
    assert cause(row, "rounded up to 512") == blocks * 100
    assert cause(row, "too small to split") == blocks * 4096


def test_frozen_parameters_have_no_gradient(trace, answer):
    path = trace("UPDATE tensor SET trainable = 0 WHERE name LIKE '%.h.0.%';")
    known = answer(path)
    assert known["recognised"]["trainable"] * 4 == known["recognised"]["parameters"] * 3
    rows = rows_of(known["devices"][0])
    assert rows["gradient"]["predicted_bytes"] * 4 == rows["parameter"]["predicted_bytes"] * 3


def test_packed_weights_are_what_they_take_and_carry_their_constants(trace, answer):
    """bitsandbytes packs two elements into a byte; scales and codes are no parameters."""
    plain = answer(trace())["recognised"]["parameters"]
    of = "id IN (SELECT id FROM tensor WHERE kind = 'parameter' ORDER BY id LIMIT 2)"
    at = f"address IN (SELECT address FROM tensor WHERE {of})"
    path = trace("INSERT INTO shape SELECT 999, '[]', 'uint8';"
                 "INSERT INTO site SELECT 999, phase, thread, python_stack, native_stack, "
                 "module, op, 999, scope FROM site LIMIT 1;"
                 f"UPDATE allocation SET site = 999 WHERE bucket = 0 AND {at};"
                 f"UPDATE tensor SET dtype = 'uint8' WHERE {of};")
    first, second = sqlite3.connect(path).execute(f"SELECT bytes FROM tensor WHERE {of}")
    found = answer(path)
    packed = 2 * (first[0] + second[0])  # there were four bytes to an element
    assert found["recognised"]["parameters"] == plain + packed - packed // 8
    row = rows_of(found["devices"][0])["parameter"]
    assert row["measured_bytes"] == row["predicted_bytes"]
    assert found["devices"][0]["unexplained_bytes"] == 0
    sqlite3.connect(path, isolation_level=None).execute(
        f"UPDATE tensor SET name = 'w absmax' WHERE {of}")
    found = answer(path)
    assert found["recognised"]["parameters"] == plain - packed // 8
    row = rows_of(found["devices"][0])["parameter"]
    assert cause(row, "absmax of quantised weights") == packed // 2
    assert [c["kind"] for c in row["causes"]] == ["quantisation"]


def test_a_parameter_given_back_before_the_peak_is_none(trace, answer):
    """FSDP frees what Python named and makes its shards instead."""
    before = answer(trace())
    first = "(SELECT min(address) FROM tensor WHERE kind = 'parameter')"
    found = answer(trace("UPDATE allocation SET died_step = 1, died = 1000, died_phase = 2 "
                         f"WHERE bucket = 0 AND address = {first};"))
    gone = (before["recognised"]["parameters"] - found["recognised"]["parameters"]) * 4
    assert gone > 0
    old, new = (rows_of(a["devices"][0])["parameter"] for a in (before, found))
    for figure in ("measured_bytes", "predicted_bytes"):
        assert old[figure] - new[figure] == gone


GRADIENTS = "FROM allocation WHERE bucket = 2"


def test_gradients_made_in_one_buffer_later_are_not_made_yet(trace, answer):
    """As FSDP makes them: no block has the size of one of them."""
    path = trace(f"CREATE TEMP TABLE one AS SELECT max(id) AS id, sum(bytes) AS bytes {GRADIENTS} "
                 "GROUP BY born_step; DELETE " + GRADIENTS + " AND id NOT IN (SELECT id FROM one);"
                 "UPDATE allocation SET requested = NULL, bytes = (SELECT bytes FROM one WHERE "
                 "one.id = allocation.id) WHERE bucket = 2;")
    row = rows_of(answer(path)["devices"][0])["gradient"]
    assert [(c["kind"], c["bytes"]) for c in row["causes"]] == [
        ("not yet", -row["predicted_bytes"])]
    assert "flat buffer" in row["causes"][0]["cause"]


def test_gradients_lie_in_buffers_that_are_larger(trace, answer):
    path = trace("DELETE " + GRADIENTS + ";"
                 "UPDATE allocation SET bucket = 2 WHERE bucket = 4 AND bytes = "
                 "(SELECT max(bytes) FROM allocation WHERE bucket = 4);")
    row = rows_of(answer(path)["devices"][0])["gradient"]
    assert 0 < row["measured_bytes"] < row["predicted_bytes"]
    assert {c["kind"] for c in row["causes"]} <= {"never", "rounding", "unsplit"}
    assert any(c["kind"] == "never" for c in row["causes"])


def test_parameters_without_names_are_counted_from_their_blocks(trace, answer):
    with_names = answer(trace())["recognised"]["parameters"]
    found = answer(trace("DELETE FROM tensor; UPDATE run SET model_class = NULL;"))
    assert found["recognised"]["parameters"] == with_names
    assert found["recognised"]["model"] is None
    assert found["devices"][0]["unexplained_bytes"] == 0


@pytest.mark.parametrize("changes, words, said", [
    (CPU_ONLY, [], "no parameters"),
    ("DELETE FROM step_device; DELETE FROM step;", [], "nothing to reconcile"),
    ("", ["--step", "99"], "no step 99"),
    ("", ["--device", "cuda:7"], "no device 'cuda:7'"),
    ("", ["--model", "gpt"], "there is no model 'gpt'"),
    ("", ["--batch", "0"], "at least 1"),
    ("", ["--optimizer", "adamx"], "did you mean"),
    ("", ["--attention", "quick"], "one of"),
    ("", ["--model", "gpt2", "--batch", "9e18"], "too large"),
    ("UPDATE tensor SET dtype = NULL;", [], "dtype"),
])
def test_what_makes_no_sense_gets_one_sentence(trace, tidemark, changes, words, said):
    done = tidemark("reconcile", trace(changes), *words)
    assert done.returncode == 2 and done.stdout == ""
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("changes", [
    "UPDATE shape SET dims = '[';",
    "UPDATE shape SET dims = '[99999999999999999999999, -5, x';",
    "UPDATE shape SET dims = '[0, 0, 0]', dtype = 'nothing';",
    "UPDATE tensor SET bytes = -1 WHERE id > 3;",
    "UPDATE allocation SET requested = 1 << 60;",
    "UPDATE allocation SET bucket = 10 WHERE id % 5 = 0;",
    "UPDATE run SET model_config = '{\"model_type\": \"gpt2\"}';",
    "UPDATE run SET model_config = '[[[[';",
    "DELETE FROM memory_sample; DELETE FROM rule;",
])
def test_damaged_facts_do_no_harm(trace, tidemark, changes):
    done = tidemark("reconcile", trace(changes))
    assert done.returncode in (0, 2), done
    assert len(done.stderr.splitlines()) <= (1 if done.returncode else 0)
