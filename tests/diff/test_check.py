"""`tidemark check`: conditions that hold, that fail, and that cannot be told."""
import json
import sqlite3
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import MIB, training


def edit(path, *statements):
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    return path


def peak(answer, path):
    return answer("peak", path)["devices"][0]["allocated_bytes"]


def state(answer, status, *words):
    return {c["condition"]: c["state"] for c in answer("check", *words, status=status)["conditions"]}


def test_a_limit_is_kept_to_the_byte(trace, answer):
    path = trace(training())
    most = peak(answer, path)
    assert state(answer, 0, path, "--max-peak", most) == {"max-peak": "passed"}
    assert state(answer, 1, path, "--max-peak", most - 1) == {"max-peak": "failed"}


def test_a_failure_is_one_line_with_its_reason(trace, tidemark):
    path = trace(training())
    done = tidemark("check", path, "--max-peak", "1MiB", "--quiet")
    assert done.returncode == 1 and done.stdout.count("\n") == 1
    assert "above the limit of 1.00 MiB" in done.stdout
    # Also where the terminal is narrow: it is read in a log.
    assert tidemark("check", path, "--max-peak", "1MiB", "--quiet",
                    env={"COLUMNS": "40"}).stdout == done.stdout


def test_a_baseline_and_its_tolerance(trace, answer, tidemark):
    home = {"script": "train.py", "cwd": "/home/a/project"}
    a, b = trace(training(), "a.db", **home), trace(training(extra=MIB), "b.db", **home)
    base = peak(answer, a)
    assert peak(answer, b) == base + MIB
    above = 100 * MIB / base
    assert state(answer, 0, b, "--baseline", a, "--tolerance", f"{above + .01:.3f}%")
    assert state(answer, 1, b, "--baseline", a, "--tolerance", f"{above - .01:.3f}%")
    assert state(answer, 1, b, "--baseline", a, "--tolerance", "0") == {"baseline": "failed"}
    assert state(answer, 0, a, "--baseline", b, "--tolerance", "0 %") == {"baseline": "passed"}
    said = tidemark("check", b, "--baseline", a, "--tolerance", "0").stdout
    assert "made at train.py:77" in said and "tidemark diff" in said
    # One per cent where none is given: this is more, and then less.
    assert above > 1 and state(answer, 1, b, "--baseline", a)
    assert state(answer, 0, trace(training(extra=MIB // 2), "c.db"), "--baseline", a)


def test_a_leak_is_that_of_leaks(trace, answer):
    leak, sound = trace("leak", "leak.db"), trace("gpt", "sound.db")
    assert answer("leaks", leak)["devices"][0]["leaks"] is True
    assert state(answer, 1, leak, "--no-leak") == {"no-leak": "failed"}
    assert answer("leaks", sound)["devices"][0]["leaks"] is False
    assert state(answer, 0, sound, "--no-leak") == {"no-leak": "passed"}


def test_too_few_steps_are_no_pass(trace, answer):
    got = answer("check", trace("raw"), "--no-leak", status=1)
    assert got["passed"] is False
    assert got["conditions"][0]["state"] == "not known"
    assert "it takes four" in got["conditions"][0]["reason"]


@pytest.mark.parametrize("run, lost, why", [
    ({"ended": "killed", "exit_status": None}, 0, "the run was killed"),
    ({"ended": None, "ended_ns": None, "exit_status": None}, 0, "cut off"),
    ({"ended": "stopped", "exit_status": None}, 0, "tracing stopped"),
    ({"exit_status": 3}, 0, "the program failed, with status 3"),
    ({}, 7, "7 events were lost"),
])
def test_what_is_not_whole_does_not_pass(trace, answer, run, lost, why):
    path, base = trace("gpt", "a.db", **run), trace("gpt", "base.db")
    if lost:
        edit(path, f"INSERT INTO lost VALUES ('ring_full', {lost}, 'dropped')")
    words = ("--max-peak", "1TiB", "--baseline", base, "--no-leak", "--fits", "a100-80gb")
    got = answer("check", path, *words, status=1)
    assert {c["condition"]: c["state"] for c in got["conditions"]} == dict.fromkeys(
        ("max-peak", "baseline", "no-leak", "fits"), "not known")
    assert why in got["doubt"] and all(why in c["reason"] for c in got["conditions"])
    # What is seen already decides against it.
    assert state(answer, 1, path, "--max-peak", "1MiB") == {"max-peak": "failed"}


def test_a_baseline_that_is_not_whole_proves_nothing(trace, answer):
    small = trace(training(), "small.db", ended="killed", exit_status=None)
    large = trace(training(extra=64 * MIB), "large.db")
    assert state(answer, 1, large, "--baseline", small) == {"baseline": "not known"}
    # It needed that much at least, so who needs less is below it.
    assert state(answer, 0, trace(training(), "same.db"), "--baseline", small) == {
        "baseline": "passed"}


def test_a_run_without_device_memory_passes_nothing(trace, answer):
    path = trace("gpt")
    edit(path, "DELETE FROM step_device", "DELETE FROM allocation")
    assert state(answer, 1, path, "--max-peak", "1TiB", "--no-leak", "--fits", "t4") == {
        "max-peak": "not known", "no-leak": "not known", "fits": "not known"}


def test_a_run_that_ran_out_of_memory_does_not_pass(trace, answer):
    path = trace("gpt", exit_status=1)
    edit(path, "INSERT INTO oom SELECT NULL, device, step, 0, peak_ns, NULL, 'allocator', 1048576, "
               "peak_allocated, peak_reserved, 0, 1000000000, 'CUDA out of memory' "
               "FROM step_device WHERE step = (SELECT max(step) FROM step_device)")
    got = answer("check", path, "--max-peak", "1TiB", status=1)
    assert "ran out of memory" in got["doubt"]
    assert got["conditions"][0]["state"] == "not known"


def test_fits_says_what_it_rests_on(trace, answer):
    path = trace("gpt")
    need = answer("report", path)["devices"][0]["peak_reserved_bytes"]
    [fits] = answer("check", path, "--fits", "a100-80gb")["conditions"]
    assert fits["basis"] == "measured" and need < fits["value_bytes"] < fits["limit_bytes"]
    assert "reserved at most" in fits["reason"] and "context" in fits["reason"]
    [small] = answer("check", path, "--fits", "300MiB", status=1)["conditions"]
    assert small["state"] == "failed" and "assumed" in small["reason"]


def test_fits_between_alive_and_reserved_is_replayed_or_not_known(trace, answer):
    """The posed trace reserves in steps of its own, which no allocator does: not known."""
    path = trace(training(extra=512 * MIB))
    got = answer("peak", path)["devices"][0]
    edit(path, f"UPDATE step_device SET peak_reserved = {got['allocated_bytes'] * 2}")
    room = got["allocated_bytes"] * 3 // 2 + (512 << 20)
    [fits] = answer("check", path, "--fits", room, status=1)["conditions"]
    assert fits["state"] == "not known" and fits["basis"] is None
    assert "not known" in fits["reason"]


@pytest.mark.parametrize("words", [
    (), ("--max-peak", "much"), ("--max-peak", "-1"), ("--tolerance", "1%"),
    ("--baseline", "a.db", "--tolerance", "1%%"), ("--baseline", "a.db", "--tolerance", "x"),
    ("--baseline", "a.db", "--tolerance", ""), ("--baseline", "a.db", "--tolerance", "-1%"),
    ("--fits", "a100"), ("--fits", "nothing"), ("--fits", ""), ("--no-leak", "--github", "--json"),
    ("--no-leak", "--junit", "none/out.xml"),
])
def test_bad_usage_is_one_sentence_and_status_2(trace, tidemark, words):
    path = trace("gpt")
    done = tidemark("check", path, *words)
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("tidemark: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["none.db", "text", "empty", "."])
def test_what_is_no_trace_is_status_3(trace, tidemark, tmp_path, name):
    good = trace("gpt", "good.db")
    (tmp_path / "text").write_text("nothing of ours")
    (tmp_path / "empty").write_text("")
    for words in (("check", name, "--no-leak"), ("check", good, "--baseline", name)):
        if words[1] == ".":  # a folder's traces are a job's
            continue
        done = tidemark(*words)
        assert done.returncode == 3 and done.stdout == "" and done.stderr.count("\n") == 1


def test_junit_is_what_others_read(trace, tidemark, tmp_path):
    path = trace(training(), 'we"ird <&> name.db')
    out = tmp_path / "out.xml"
    done = tidemark("check", path, "--max-peak", "1MiB", "--no-leak", "--junit", out)
    assert done.returncode == 1
    suite = ElementTree.parse(out).getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    cases = suite.findall("testcase")
    assert [c.get("name") for c in cases] == ["max-peak cuda:0", "no-leak cuda:0"]
    assert {c.get("classname") for c in cases} == {str(path)}
    assert "above the limit" in cases[0].find("failure").get("message")
    assert cases[1].find("failure") is None


def test_junit_is_xml_whatever_names_hold(trace, tidemark, tmp_path):
    a, b = trace(training(), "a.db"), trace(training(extra=64 * MIB), "b.db")
    edit(b, "UPDATE frame SET file = CAST(x'2f613c26223eff0a01' AS TEXT) || file")
    out = tmp_path / "out.xml"
    assert tidemark("check", b, "--baseline", a, "--junit", out).returncode == 1
    assert ElementTree.parse(out).getroot().find("testsuite/testcase/failure") is not None


def unescaped(text):
    for code, sign in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def test_annotations_are_escaped_as_github_wants_it(trace, tidemark):
    a = trace(training(), "a.db")
    b = trace(training(extra=64 * MIB, root="/repo/a,b:c%d"), "b.db")
    done = tidemark("check", b, "--baseline", a, "--no-leak", "--github",
                    env={"GITHUB_WORKSPACE": "/repo"})
    [line] = [line for line in done.stdout.splitlines() if line.startswith("::")]
    properties, _, message = line[len("::error "):].partition("::")
    parts = dict(p.split("=", 1) for p in properties.split(","))
    assert unescaped(parts["file"]) == "a,b:c%d/train.py" and parts["line"] == "77"
    assert parts["title"] == "tidemark check baseline"
    assert "%25" in message and "%" not in message.replace("%25", "")


def test_each_device_is_judged(trace, answer):
    got = answer("check", trace("devices"), "--max-peak", "1TiB")["conditions"]
    assert [c["device"] for c in got] == ["cuda:0", "cuda:1"]
    [one] = answer("check", "a.db", "--max-peak", "1TiB", "--device", "cuda:1")["conditions"]
    assert one["device"] == "cuda:1"


def test_the_json_has_the_head_of_every_answer(trace, tidemark):
    got = json.loads(tidemark("check", trace("gpt"), "--no-leak", "--json").stdout)
    assert list(got)[0] == "tidemark"
