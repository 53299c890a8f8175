"""`tidemark check` of a job: every rank keeps to it, or the one that does not is named."""
import json
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import MIB, stage
from pose import pose


@pytest.fixture
def jobs(tmp_path, written):
    """Four ranks of which the third needs 8 MiB more; and four that are alike."""
    low, high = written(stage(range(2))), written(stage(range(2), extra=8 * MIB))
    return (pose(tmp_path / "uneven", 4, [low, low, high, low]),
            pose(tmp_path / "even", 4, [low]))


def check(tidemark, status, *words):
    done = tidemark("check", *words, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def peaks(answer, made):
    return {rank: answer("peak", path)["devices"][0]["allocated_bytes"]
            for rank, path in made.items()}


def test_the_rank_above_the_limit_is_named(tmp_path, jobs, tidemark, answer):
    peak = peaks(answer, jobs[0])
    got = check(tidemark, 1, tmp_path / "uneven", "--max-peak", peak[0])
    assert got["passed"] is False and got["ranks"] == 4
    states = {c["rank"]: (c["state"], c["value_bytes"]) for c in got["conditions"]}
    assert states == {f"rank {r}": ("failed" if r == 2 else "passed", peak[r]) for r in range(4)}
    assert {c["trace"] for c in got["conditions"]} == {str(p) for p in jobs[0].values()}
    assert check(tidemark, 0, tmp_path / "uneven", "--max-peak", peak[2])["passed"] is True


def test_ranks_that_pass_are_one_line(tmp_path, jobs, tidemark, answer):
    peak = peaks(answer, jobs[0])
    lines = tidemark("check", tmp_path / "uneven", "--max-peak", peak[2],
                     "-q").stdout.splitlines()
    assert len(lines) == 1 and "4 ranks; the highest is rank 2: the peak on cuda:0" in lines[0]
    said = tidemark("check", tmp_path / "uneven", "--max-peak", peak[0], "--github").stdout
    assert "passed     max-peak  3 ranks; the highest is rank 0" in said
    assert "failed     max-peak  rank 2: the peak" in said
    assert "title=tidemark check max-peak::rank 2: the peak" in said
    assert f"tidemark peak {jobs[0][2]}" in said


def test_a_baseline_is_compared_rank_by_rank(tmp_path, jobs, tidemark):
    uneven, even = tmp_path / "uneven", tmp_path / "even"
    failed = [c["rank"] for c in check(tidemark, 1, uneven, "--baseline", even)["conditions"]
              if c["state"] == "failed"]
    assert failed == ["rank 2"]
    assert check(tidemark, 0, uneven, "--baseline", uneven)["passed"] is True
    # One trace is the baseline of every rank.
    assert check(tidemark, 0, even, "--baseline", jobs[1][0])["passed"] is True
    jobs[1][3].unlink()
    got = check(tidemark, 1, even, "--baseline", uneven)
    assert [c["reason"] for c in got["conditions"] if c["state"] == "not known"] == [
        "not known: rank 3 has no trace"]
    got = check(tidemark, 1, uneven, "--baseline", even)
    assert [c["reason"] for c in got["conditions"] if c["state"] == "not known"] == [
        "not known: the baseline has no trace of rank 3"]


def test_a_rank_without_a_whole_trace_is_no_pass(tmp_path, jobs, tidemark):
    folder = tmp_path / "even"
    jobs[1][1].write_bytes(b"SQLite format 3\0" + bytes(200))
    got = check(tidemark, 1, folder, "--max-peak", "1TiB")
    assert {c["state"] for c in got["conditions"]} == {"passed", "not known"}
    assert any(jobs[1][1].name in c["reason"] for c in got["conditions"])


def test_a_leak_and_junit(tmp_path, written, tidemark):
    sound, leak = written(stage(range(2))), written(stage(range(2), leak=MIB))
    pose(tmp_path / "job", 2, [sound, leak])
    out = tmp_path / "junit.xml"
    done = tidemark("check", tmp_path / "job", "--no-leak", "--junit", out)
    assert done.returncode == 1 and "rank 1: 1.00 MiB more is kept" in done.stdout
    suite = ElementTree.parse(out).getroot()[0]
    cases = {case.get("name"): len(case) for case in suite}
    assert cases == {"no-leak cuda:0, rank 0": 0, "no-leak cuda:0, rank 1": 1}
