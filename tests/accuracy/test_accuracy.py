"""The trace against the oracle, on the workloads that need little more than PyTorch.

All of them, the other tools and the document are run.py's.
"""
import collections
import json
import subprocess

import pytest

import answer
import causes
import runs

CUDA = [name for name, (words, library, *_) in runs.WORKLOADS.items()
        if library is None and "compile" not in words]
LIBRARIES = ["GPT-2, fp16 + GradScaler", "Llama, LoRA (PEFT)", "ResNet-50, SGD momentum"]
PACKED = "Llama, 4-bit QLoRA (bitsandbytes)"  # a table of its library's is no bucket's
CPU = ["MLP, AdamW foreach", "GPT, AdamW foreach", "GPT, checkpoints, 3 micro-batches"]


@pytest.fixture
def compared(tmp_path):
    def call(name, **options):
        try:
            return runs.compared(name, tmp_path, **options)
        except runs.Missing as missing:
            pytest.skip(str(missing))
    return call


def agree(answers, buckets, moments):
    assert len(answers) == moments
    for found in answers:
        for bucket in buckets:
            measured, truth = found[bucket]
            assert measured == truth, (found["at"], bucket, found.get("confused"))


EVERY = (*answer.KNOWN, "rest", "total")


@pytest.mark.turns(2)
@pytest.mark.parametrize("name", CUDA + LIBRARIES)
def test_every_bucket_is_the_oracles_to_the_byte_and_every_byte_has_a_cause(
        name, compared, tmp_path):
    answers, losses = compared(name)
    agree(answers, EVERY, moments=5 * 3 + 1)
    assert not losses
    # and there was something to find
    after = answers[-3]
    assert after["at"] == "backward"
    assert after["parameter"][0] and after["gradient"][0] and after["total"][0]
    every_byte_has_a_cause(tmp_path / "t.db")
    the_replay_is_the_run(tmp_path / "t.db")


def the_replay_is_the_run(trace):
    """The model of PyTorch's allocator, nothing edited, has the recorded reserved bytes."""
    done = subprocess.run([runs.COMMAND, "oom", "--json", trace], capture_output=True, text=True,
                          check=True)
    device, = json.loads(done.stdout)["headroom"]
    assert device["replay"]["samples"] > 0 and device["replay"]["differing_samples"] == 0, device


def every_byte_has_a_cause(trace):
    device = runs.reconciled(trace)
    causes.check_sums(device)
    assert device["unexplained_bytes"] == 0
    # the formula was of what this device holds, and found it
    kinds = {c["kind"] for row in device["rows"][:3] for c in row["causes"]}
    assert not kinds & {"weight", "gradient", "never"}, device["rows"][:3]


def test_packed_weights_and_their_constants_have_causes_too(tmp_path, compared):
    compared(PACKED)
    every_byte_has_a_cause(tmp_path / "t.db")
    parameter = runs.reconciled(tmp_path / "t.db")["rows"][0]
    assert any(c["kind"] == "quantisation" for c in parameter["causes"])


def buckets(trace, at):
    done = subprocess.run([runs.COMMAND, "buckets", trace, "--at", at,
                           "--device", "cuda:0", "--json"],
                          text=True, capture_output=True, check=True, timeout=60)
    return {b["bucket"]: b["bytes"] for b in json.loads(done.stdout)["devices"][0]["buckets"]}


def test_the_command_answers_at_a_time_and_at_the_peak_as_the_oracle_does(tmp_path, compared):
    answers, _ = compared("GPT, fp16 + GradScaler, clipping")
    trace = answer.Trace(tmp_path / "t.db", "cuda")
    times = trace.mark_times()
    assert len(times) >= 4  # of steps with rows of their own
    for at, ns in [(len(answers) - 1, None), *times.items()]:
        found = buckets(trace.path, "peak" if ns is None else f"{ns - 1}ns")
        for bucket in answer.KNOWN:
            assert found[bucket] == answers[at][bucket][1], (at, bucket)
        assert sum(found.values()) == answers[at]["total"][1]


def slices(names, rank, world):
    """{name: bytes} of what a rank holds of parameters laid one after the other."""
    share = sum(size for _, size in names) // 4 // world * 4
    first, last, at, found = rank * share, (rank + 1) * share, 0, {}
    for name, size in names:
        if min(at + size, last) > max(at, first):
            found[name] = min(at + size, last) - max(at, first)
        at += size
    return found


def test_a_flat_parameters_bytes_are_the_slices_that_lie_in_it(tmp_path, compared):
    compared("GPT, FSDP1")
    db = answer.Trace(tmp_path / "t.db", "cuda").db
    whole = db.execute("SELECT name, bytes FROM tensor WHERE kind = 'parameter' AND step = 1 "
                       "ORDER BY id").fetchall()  # as they were before they were sharded
    units = collections.defaultdict(list)
    for name, size in whole:
        units[name.split(".")[1] if name.startswith("blocks.") else ""].append((name, size))
    assert len(units) == 4
    expected = {n: s for unit in units.values() for n, s in slices(unit, 0, 4).items()}
    assert 4 < len(expected) < len(whole)
    told = {}
    for kind, name, size in db.execute("SELECT kind, name, bytes FROM tensor WHERE step > 1 "
                                       "AND device = 'cuda:0'"):
        told.setdefault(kind, {})[name] = size
    assert told["parameter"] == told["gradient"] == expected
    assert told["optimizer"] == {f"{n} {state}": size for n, size in expected.items()
                                 for state in ("exp_avg", "exp_avg_sq")}
    done = subprocess.run([runs.COMMAND, "buckets", tmp_path / "t.db",
                           "--by", "parameter", "--json"], text=True, capture_output=True)
    owned = {o["owner"]: o["bytes"] for o in json.loads(done.stdout)["devices"][0]["owners"]
             if o["bucket"] in ("parameter", "optimizer")}
    for name, size in {**told["parameter"], **told["optimizer"]}.items():
        assert 0 <= owned.pop(name) - size < 512  # the block's rounding, with the last of it
    assert not owned


@pytest.mark.parametrize("name", CPU)
def test_on_the_cpu_what_python_can_count_agrees(name, compared):
    answers, losses = compared(name, device="cpu")
    agree(answers, ("parameter", "gradient", "optimizer", "buffer"), moments=5 * 3)
    assert not losses


@pytest.mark.parametrize("name", ["MLP, AdamW foreach", "GPT, AdamW foreach"])
@pytest.mark.parametrize("seed", [1, 2])
def test_sizes_drawn_by_chance_come_out_the_same_way(name, seed, compared):
    answers, _ = compared(name, words=[f"seed={seed}", "steps=5"])
    agree(answers, EVERY, moments=5 * 3 + 1)


def test_without_python_only_buffers_are_taken_for_parameters(compared):
    answers, _ = compared("MLP, AdamW foreach", TIDEMARK_ENRICH="0")
    agree(answers, ("gradient", "optimizer", "input", "rest", "total"), moments=5 * 3 + 1)
    for found in answers:
        (parameter, own), (buffer, kept) = found["parameter"], found["buffer"]
        assert (buffer, parameter - own) == (0, kept)


def test_activations_are_what_autograd_has_saved_and_the_program_holds(tmp_path, compared):
    name = "GPT, AdamW foreach"
    answers, _ = compared(name)
    twin, _ = runs.run(name, tmp_path / "twin", mode="saved")
    measured = [a["parts"]["activation"] for a in answers if a["at"] == "forward"]
    saved = [m["saved"] + m["output"] for m in twin["moments"] if m["kind"] == "forward"]
    assert measured == saved and all(saved)
