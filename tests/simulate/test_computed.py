"""`tidemark simulate --values computed`: a program that is steered by what it computes does on the
simulated device what it does on the CPU."""
import pathlib

import pytest


STEERED = (pathlib.Path(__file__).resolve().parent / "programs" / "steered.py").read_text()
KINDS = ["convolutions", "attention", "recurrent", "routed", "stopped", "searched", "sized",
         "overflowing"]


def parts(text):
    """What each kind printed."""
    found, kind = {}, None
    for line in text.splitlines():
        if line in KINDS:
            kind = line
        elif kind:
            found.setdefault(kind, []).append(line)
    return found


def test_what_a_program_computes_steers_it_as_on_the_cpu(simulate, newest_torch):
    done = simulate(newest_torch, ["--values", "computed"], STEERED, "cuda", *KINDS)
    assert done.status == 0, done.err
    cpu = simulate(newest_torch, [], STEERED, "cpu", *KINDS)
    on_card, on_cpu = parts(done.out), parts(cpu.out)
    assert set(on_cpu) == set(KINDS) and all(len(lines) >= 1 for lines in on_cpu.values())
    for kind in KINDS:
        assert on_card[kind] == on_cpu[kind], kind
    assert done.gpu["computed"] is True and done.gpu["not_computed"] is None
    assert done.gpu["bound"] == "exact"


def test_without_it_the_same_program_goes_another_way(simulate, newest_torch):
    done = simulate(newest_torch, [], STEERED, "cuda", "stopped", "overflowing")
    assert done.status == 0, done.err
    scales = [line.split() for line in parts(done.out)["overflowing"]]
    assert scales[0] == [str(2 ** 24), "4"], "gradients are taken to be finite"
    assert done.gpu["computed"] is False


@pytest.mark.parametrize("kind, told", [("compiled", "torch.compile"), ("unlisted", "_to_dense")])
def test_what_is_not_computed_is_told(simulate, newest_torch, kind, told):
    done = simulate(newest_torch, ["--values", "computed"], STEERED, "cuda", kind)
    assert done.status == 0, done.err
    assert done.gpu["bound"] == "assumed" and told in done.gpu["not_computed"]
    assert "not computed:" in done.err and told in done.err
