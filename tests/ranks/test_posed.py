"""Jobs of known content: who is the highest, who is missing, what makes the spread."""
import hashlib
import shutil
import sqlite3

import pytest
from conftest import MIB, stage
from pose import pose, rank_of

WEIGHT = 4 * 512 * 512


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def edit(path, *statements):
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_a_job_is_told_as_one(tmp_path, written, answer, tidemark):
    made = pose(tmp_path / "job", 4, [written(stage(range(4)))])
    got = answer("report", tmp_path / "job")
    assert got["job"]["name"] == "torchrun b6e0"
    assert (got["job"]["world_size"], got["job"]["traces"], got["job"]["missing_ranks"]) == (4, 4, [])
    assert [r["rank"] for r in got["ranks"]] == [0, 1, 2, 3]
    [alone] = answer("peak", made[2])["devices"]
    assert {r["peak_allocated_bytes"] for r in got["ranks"]} == {alone["allocated_bytes"]}
    # Files by name say the same as their folder.
    assert answer("report", *made.values())["ranks"] == got["ranks"]
    screen = tidemark("report", tmp_path / "job").stdout
    assert "4 of 4 ranks have a trace" in screen and "ranks 0-3" in screen


@pytest.mark.parametrize("command", ["report", "peak", "oom", "leaks", "timeline"])
def test_every_command_answers_about_a_job_and_writes_nothing(tmp_path, written, tidemark, answer,
                                                              command):
    pose(tmp_path / "job", 3, [written(stage(range(2)))])
    before = digests(tmp_path / "job")
    assert answer(command, tmp_path / "job")["job"]["traces"] == 3
    done = tidemark(command, tmp_path / "job")
    assert done.returncode == 0 and done.stderr == "" and "tidemark" in done.stdout
    assert digests(tmp_path / "job") == before


def test_sixty_four_ranks_and_what_makes_their_spread(tmp_path, written, answer, tidemark):
    """Two stages of a pipeline; rank 0 keeps an average beside; rank 63 has a small batch."""
    low, high = written(stage(range(0, 6))), written(stage(range(6, 12)))
    made = pose(tmp_path / "job", 64, [low] * 32 + [high] * 32, missing=(9, 10, 40))
    shutil.copyfile(written(stage(range(0, 6), extra=32 * MIB)), made[0])
    rank_of(made[0], 0, 64)
    shutil.copyfile(written(stage(range(6, 12), batch=3)), made[63])
    rank_of(made[63], 63, 64)
    got = answer("peak", tmp_path / "job")
    assert got["job"]["missing_ranks"] == [9, 10, 40]
    assert got["job"]["highest_rank"] == 0
    common = 6 * WEIGHT + 6 * 8 * 64 * 512 * 4 + 8 * 64 * 8
    peaks = {r["rank"]: r["peak_allocated_bytes"] for r in got["ranks"]}
    assert peaks[0] == common + 32 * MIB and peaks[1] == peaks[62] == common
    assert peaks[63] == 6 * WEIGHT + 6 * 3 * 64 * 512 * 4 + 3 * 64 * 8
    buckets = {b["bucket"]: b for b in got["by_bucket"]}
    assert (buckets["buffer"]["most_rank"], buckets["buffer"]["most_bytes"],
            buckets["buffer"]["median_bytes"]) == (0, 32 * MIB, 0)
    assert buckets["activation"]["least_rank"] == 63
    places = {(p["bucket"], p["place"]): p for p in got["by_place"]}
    assert places["buffer", "ema.weight"]["ranks"] == [0]
    assert places["buffer", "ema.weight"]["sentence"] == (
        "only rank 0 has ema.weight, made at train.py:14")
    assert places["parameter", "h.*.weight"]["other_layers"] is True
    assert places["parameter", "h.*.weight"]["sentence"].endswith(
        "0-5 on ranks 0-8, 11-31; 6-11 on ranks 32-39, 41-63")
    screen = tidemark("peak", tmp_path / "job").stdout
    assert "these ranks have no trace here: 9, 10, 40" in screen
    assert "the batches are uneven: 8 on rank 0, 3 on rank 63" in screen
    assert screen.count("\n") < 60


def test_equal_ranks_have_no_spread(tmp_path, written, answer):
    pose(tmp_path / "job", 8, [written(stage(range(3)))])
    got = answer("peak", tmp_path / "job")
    assert got["by_place"] == []
    assert all(b["most_bytes"] == b["least_bytes"] for b in got["by_bucket"])


def test_a_thousand_ranks_are_read_and_folded(tmp_path, written, tidemark):
    pose(tmp_path / "job", 1024, [written(stage(range(2), steps=2)),
                                  written(stage(range(2), steps=2, batch=16))], missing=(700,))
    done = tidemark("report", tmp_path / "job")
    assert done.returncode == 0 and done.stderr == ""
    assert "1,023 of 1,024 ranks have a trace - 128 hosts" in done.stdout
    assert "one rank has no trace here: 700" in done.stdout
    assert "(512 ranks)" in done.stdout and "(511 ranks)" in done.stdout
    assert done.stdout.count("\n") < 50


def test_groups_are_those_of_torch(tmp_path, written, answer, tidemark):
    one = written(stage(range(2)))
    made = pose(tmp_path / "job", 4, [one])
    for rank, path in made.items():
        rank_of(path, rank, 4, groups=[
            ("default_pg", "0-3"), ("mesh_tp", "0,1" if rank < 2 else "2,3"),
            ("mesh_dp", "0,2" if rank % 2 == 0 else "1,3")])
    assert answer("report", tmp_path / "job")["groups"] == [
        {"what": "mesh_dp", "ranks": "0,2"}, {"what": "mesh_dp", "ranks": "1,3"},
        {"what": "mesh_tp", "ranks": "0,1"}, {"what": "mesh_tp", "ranks": "2,3"}]
    pose(tmp_path / "plain", 4, [one])
    assert answer("report", tmp_path / "plain")["groups"] == []
    assert "not known" in tidemark("report", tmp_path / "plain").stdout


def test_who_died_first_is_told_by_the_clock(tmp_path, written, answer, tidemark):
    made = pose(tmp_path / "job", 4, [written(stage(range(2)))])
    for rank, path in made.items():
        rank_of(path, rank, 4, ended="killed", exit_status=None, ended_ns=9_000_000 + rank)
    rank_of(made[2], 2, 4, ended="exit", exit_status=1, ended_ns=9_900_000)
    edit(made[2], "INSERT INTO oom SELECT NULL, device, step, 0, 5000000, NULL, 'allocator', 1048576, "
         "peak_allocated, peak_reserved, 0, 1000000000, 'CUDA out of memory' "
         "FROM step_device WHERE step = (SELECT max(step) FROM step_device)")
    got = answer("oom", tmp_path / "job")
    assert got["job"]["first_to_end"] == 2
    assert [r["rank"] for r in got["ranks"] if r["out_of_memory"]] == [2]
    screen = tidemark("oom", tmp_path / "job").stdout
    assert "rank 2 was the first of 4 ranks" in screen and "ran out of memory in step" in screen
    assert f"tidemark oom {made[2]}" in screen
    assert "rank 2 was the first" in tidemark("report", tmp_path / "job").stdout


def test_leaks_are_told_by_rank(tmp_path, written, tidemark, answer):
    sound, leak = written(stage(range(2), steps=8)), written(stage(range(2), steps=8, leak=30003))
    pose(tmp_path / "job", 4, [sound, sound, sound, leak])
    got = {r["rank"]: r["growth_bytes_per_step"] for r in answer("leaks", tmp_path / "job")["ranks"]}
    assert got == {0: 0, 1: 0, 2: 0, 3: 30003}
    screen = tidemark("leaks", tmp_path / "job").stdout
    assert "rank 3: 29.30 KiB more is kept with every step" in screen and "train.py:27" in screen
    assert "ranks 0-2: nothing grows" in screen


def test_the_timeline_has_the_highest_and_the_middle(tmp_path, written, answer):
    small, large = written(stage(range(2))), written(stage(range(2), batch=16, steps=7))
    pose(tmp_path / "job", 3, [small, small, large])
    got = answer("timeline", tmp_path / "job")
    one, other = (answer("timeline", f, "--steps")["devices"][0]["steps"] for f in (small, large))
    assert [s["most_rank"] for s in got["steps"][1:]] == [2] * 7
    for step in got["steps"][:6]:
        assert step["median_bytes"] == one[step["step"]]["peak_allocated_bytes"]
        assert step["most_bytes"] == other[step["step"]]["peak_allocated_bytes"]


def test_strangers_damage_and_other_jobs_are_said(tmp_path, written, answer, tidemark):
    one = written(stage(range(2)))
    folder = tmp_path / "job"
    made = pose(folder, 8, [one], missing=(7,))
    (folder / "notes.db").write_text("not of ours")
    (folder / "readme.txt").write_text("nor this, and nobody asks for it")
    (folder / "empty.db").write_bytes(b"")
    sqlite3.connect(folder / "other.db").execute("CREATE TABLE t (x)").connection.close()
    torn = made[3].read_bytes()
    made[3].write_bytes(torn[:4096] + b"\0" * 8192 + torn[12288:])
    cut = made[5].read_bytes()
    made[5].write_bytes(cut[:len(cut) // 2])
    pose(tmp_path / "two", 2, [one], job="another", started=10 ** 18)
    for path in (tmp_path / "two").iterdir():
        path.rename(folder / f"another-{path.name}")
    got = answer("report", folder)
    assert got["job"]["name"] == "torchrun b6e0"
    assert {r["rank"] for r in got["ranks"]} == {0, 1, 2, 4, 6}
    assert got["job"]["missing_ranks"] == [3, 5, 7]
    assert {u["trace"].rpartition("/")[2] for u in got["job"]["unreadable"]} == {
        "notes.db", "empty.db", "other.db", made[3].name, made[5].name}
    assert [(o["name"], o["traces"]) for o in got["job"]["others"]] == [("torchrun another", 2)]
    screen = tidemark("report", folder)
    assert screen.returncode == 0
    for said in ("notes.db' is not a tidemark trace", "empty.db' is empty", "torchrun another",
                 "of another job"):
        assert said in " ".join(screen.stdout.split())


def test_a_trace_by_another_name_is_found_by_what_it_is(tmp_path, written, answer):
    made = pose(tmp_path / "job", 2, [written(stage(range(2)))])
    made[1].rename(tmp_path / "job" / "rank1.sqlite")
    assert answer("report", tmp_path / "job")["job"]["traces"] == 2


def test_folders_of_hosts_are_looked_into(tmp_path, written, answer):
    made = pose(tmp_path / "job", 4, [written(stage(range(2)))])
    for rank, path in made.items():
        (tmp_path / "job" / f"host{rank % 2}").mkdir(exist_ok=True)
        path.rename(tmp_path / "job" / f"host{rank % 2}" / path.name)
    assert answer("report", tmp_path / "job")["job"]["traces"] == 4


def test_ranks_that_were_started_anew_are_the_last_ones(tmp_path, written, answer):
    one = written(stage(range(2)))
    pose(tmp_path / "job", 2, [one])
    pose(tmp_path / "again", 2, [written(stage(range(3)))], restart=1, started=1790000009 * 10 ** 9)
    for path in (tmp_path / "again").iterdir():
        path.rename(tmp_path / "job" / f"again-{path.name}")
    got = answer("report", tmp_path / "job")
    assert (got["job"]["traces"], got["job"]["earlier_traces"]) == (2, 2)
    assert {r["restart"] for r in got["ranks"]} == {1}


def test_a_job_that_was_started_anew_with_fewer_ranks(tmp_path, written, answer):
    one = written(stage(range(2)))
    pose(tmp_path / "job", 4, [one])
    pose(tmp_path / "again", 3, [one], restart=1, started=1790000009 * 10 ** 9)
    for path in (tmp_path / "again").iterdir():
        path.rename(tmp_path / "job" / f"again-{path.name}")
    got = answer("report", tmp_path / "job")["job"]
    assert (got["world_size"], got["traces"], got["earlier_traces"], got["missing_ranks"]) == (
        3, 3, 4, [])


def test_nodes_count_their_restarts_themselves(tmp_path, written, answer):
    """A node whose worker failed counts one more; the ranks of the others began with its own."""
    made = pose(tmp_path / "job", 4, [written(stage(range(2)))])
    for rank in (2, 3):
        rank_of(made[rank], rank, 4, restart=1)
    got = answer("report", tmp_path / "job")["job"]
    assert (got["traces"], got["earlier_traces"], got["missing_ranks"]) == (4, 0, [])


def test_a_file_that_is_named_twice_counts_once(tmp_path, written, answer):
    made = pose(tmp_path / "job", 2, [written(stage(range(2)))])
    (tmp_path / "job" / "latest.db").symlink_to(made[0])
    got = answer("report", tmp_path / "job", made[1])["job"]
    assert (got["traces"], got["helpers"]) == (2, 0)


def test_processes_that_a_rank_has_started_are_left_out(tmp_path, written, answer):
    made = pose(tmp_path / "job", 2, [written(stage(range(3)))])
    helper = tmp_path / "job" / "tidemark-node000-9999.db"
    shutil.copyfile(written(stage(range(1))), helper)
    rank_of(helper, 1, 2, pid=9999)
    got = answer("report", tmp_path / "job")
    assert (got["job"]["traces"], got["job"]["helpers"]) == (2, 1)
    assert got["ranks"][1]["trace"] == str(made[1])


@pytest.mark.parametrize("key, value, name", [
    ("job.slurm", "4711", "Slurm 4711"), ("job.mpi", "prterun-1", "MPI prterun-1"),
    ("job.pbs", "12.head", "PBS 12.head"), ("job.master", "node0:29500", "ranks met at node0:29500"),
    ("run_id", "cafe", "tidemark run cafe"), (None, None, None)])
def test_jobs_of_every_launcher_are_recognised(tmp_path, written, answer, key, value, name):
    made = pose(tmp_path / "job", 3, [written(stage(range(2)))])
    for path in made.values():
        edit(path, "UPDATE meta SET value = 'none' WHERE key = 'job.torchrun'",
             *([f"INSERT INTO meta VALUES ('{key}', '{value}')"] if key else []))
    got = answer("report", tmp_path / "job")
    assert (got["job"]["name"], got["job"]["traces"]) == (name, 3)


def test_traces_of_no_job_stand_side_by_side(tmp_path, written, answer):
    one, two = written(stage(range(2))), written(stage(range(3)))
    got = answer("report", one, two)
    assert (got["job"]["name"], got["job"]["world_size"], got["job"]["traces"]) == (None, None, 2)
    assert got["job"]["first_to_end"] is None


@pytest.mark.parametrize("words, status", [(["none.db", "one.db"], 0), (["none.db", "nor.db"], 3),
                                           (["empty"], 3), (["one.db", "--csv"], None)])
def test_bad_input(tmp_path, written, tidemark, words, status):
    shutil.copyfile(written(stage(range(2))), tmp_path / "one.db")
    (tmp_path / "empty").mkdir()
    done = tidemark("report" if status is not None else "timeline", *words, cwd=tmp_path)
    assert done.returncode == (status or 0)
    if status:
        assert done.stdout == "" and done.stderr.count("\n") == 1
    elif status == 0:
        assert "none.db" in done.stdout


def test_what_is_asked_of_one_trace_is_refused_of_several(tmp_path, written, tidemark):
    pose(tmp_path / "job", 2, [written(stage(range(2)))])
    for words in (["peak", "--folded"], ["peak", "--by", "module"], ["timeline", "--csv"],
                  ["timeline", "--steps"], ["report", "--step", "1"]):
        done = tidemark(*words, tmp_path / "job")
        assert done.returncode == 2 and "of one trace" in done.stderr
    assert tidemark("peak", "--step", "1", tmp_path / "job").returncode == 0
