"""--sweep: one row after the other is what `plan` says of that batch or sequence alone."""
import pytest

MODEL = ("--model", "gpt2", "--precision", "bf16-mixed")


def test_a_row_is_what_plan_says_of_it(answer):
    swept = answer(*MODEL, "--seq", 256, "--gpu", "t4", "--sweep", "batch=1..24")["sweep"]
    assert swept["over"] == "batch"
    assert [row["batch"] for row in swept["rows"]] == [1, 2, 4, 8, 16, 24]
    for row in swept["rows"]:
        alone = answer(*MODEL, "--seq", 256, "--batch", row["batch"], "--gpu", "t4")
        for key in ("peak_allocated_bytes", "peak_phase", "total_bytes"):
            assert row[key] == alone[key]
        assert row["reserved_bytes"] == alone["peak"]["reserved_bytes"]
        assert (row["fits"] == ["t4"]) == alone["fits"][0]["fits"]


def test_a_sequence_and_a_list_and_steps(answer):
    def values(sweep, key):
        return [row[key] for row in answer(*MODEL, "--sweep", sweep)["sweep"]["rows"]]
    assert values("seq=128,512,100", "seq") == [128, 512, 100]
    assert values("batch=8..32:8", "batch") == [8, 16, 24, 32]
    assert values("batch=8..30:8", "batch") == [8, 16, 24, 30]
    assert values("batch=5..5", "batch") == [5]


def test_what_has_no_walk_has_its_sum(answer):
    rows = answer("--params", "7B", "--sweep", "batch=1,2")["sweep"]["rows"]
    assert all(row["peak_allocated_bytes"] is None and row["total_bytes"] > 0 for row in rows)


def test_the_table_has_a_mark_for_each_card(plan):
    done = plan(*MODEL, "--seq", 512, "--gpu", "t4,rtx-4090", "--sweep", "batch=1..64")
    lines = done.stdout.split("SWEEP")[1].splitlines()
    head = next(line for line in lines if "peak" in line)
    assert head.split() == ["batch", "peak", "reserved", "in", "t4", "rtx-4090"]
    assert len([line for line in lines if line.split()[:1] and line.split()[0].isdigit()]) == 7


@pytest.mark.parametrize("sweep, said", [
    ("batch", "'batch=1..256'"), ("batch=", "'batch=1..256'"), ("batch=0", "'batch=1..256'"),
    ("batch=9..2", "ends before it begins"), ("layers=1..2", "'batch' or 'seq', not 'layers'"),
    ("batch=1..2..3", "'batch=1..256'"), ("batch=1..900:1", "at most 64 rows"),
    ("batch=1..-3", "'batch=1..256'"), ("batch=1..8:0", "'batch=1..256'"),
    ("batch=99999999999999999999", "'batch=1..256'"), ("seq=1024,2048", "1024 positions"),
])
def test_bad_sweeps_get_one_sentence(plan, sweep, said):
    done = plan(*MODEL, "--sweep", sweep)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert not done.stdout
