"""Training loops of many kinds: steps, phases, buckets and modules as the scripts say."""

import json
import pathlib
import re

import pytest
import reading
from conftest import HERE

SCRIPTS = sorted((HERE / "scripts").glob("loops_*.py"))
#: the file that each loop is in: those of one file run together
FILE = {name: path.stem for path in SCRIPTS
        for name in re.findall(r"^@loop\ndef (\w+)", path.read_text(), re.M)}
#: what differs where the engine has threads of its own
ON_CUDA = [
    "leaves_gradients_on", "closure_with_gradients_on", "checkpoint_in_closure",
    "optimizer_in_backward", "optimizer_in_backward_and_after", "by_hand", "foreign_optimizer",
    "torch_func", "trainers_side_by_side", "hand_loops_side_by_side", "backward_in_a_pool",
    "replicas",
]  # fmt: skip


@pytest.fixture
def ran(shared_trace):
    """ran(device, name) -> the folder of the run of this loop and the others of its file."""

    def run(device, name):
        together = [n for n in (FILE if device == "cpu" else ON_CUDA) if FILE[n] == FILE[name]]
        made = shared_trace("loops.py", "cpu" if device == "cpu" else "cuda", *together,
                            device=device, timeout=900)
        assert made.code == 0, made.stderr
        return made.folder

    return run


def open_loop(folder, name):
    truth = json.loads((pathlib.Path(folder) / f"{name}.json").read_text())
    return reading.Trace(folder / f"{truth['pid']}.db"), truth


def wrong_phases(trace, truth, device):
    """Allocations of which the script says another phase; "free": it does not say. A first
    batch, made before any forward, is setup, and so is what an inference before any forward
    makes outside of modules; a number that a tensor is multiplied with is made before the
    first node that tells of a forward. "counts": a wrapper counts its steps in a tensor."""
    wrong = []
    for said, b in reading.between_marks(trace.births(device), truth):
        said = {"clip": truth.get("clip", said)}.get(said, said)
        early = said == "data" or said == "eval" and b.module is None
        number = b.shape == "[]" and (b.dtype == "float64" or b.op == "aten::_to_copy")
        if b.phase == "setup" and early or number:
            continue
        if truth.get("counts") and b.shape == "[]" and b.dtype in ("int64", "bool"):
            continue
        if said != b.phase and said != "free" and said not in truth.get("unmarked", ()):
            wrong.append(f"step {b.born_step} event {b.born}: {b.shape} {b.dtype} {b.op}: the "
                         f"script says {said}, the trace {b.phase} ({b.bucket})")
    return wrong


def check(folder, name, device):
    trace, truth = open_loop(folder, name)
    if name != "forked_after_forward":  # its parent's memory is none that it has seen
        assert trace.losses == {}
    complete = [s for s in trace.steps() if s[4]]
    if isinstance(truth["steps"], list):
        assert len(complete) in truth["steps"], trace.steps()
    else:
        assert len(complete) == truth["steps"], trace.steps()
    if "micro" in truth:
        assert sum(s[3] for s in trace.steps()) == truth["micro"], trace.steps()
    told = trace.all("SELECT why FROM capability WHERE name = 'steps'")
    if truth.get("by") != "either":
        assert bool(told) == (truth.get("by") == "forward"), told
    if truth["marks"] and "layers" not in truth or name == "backward_in_a_pool":
        wrong = wrong_phases(trace, truth, device)
        assert not wrong, f"{len(wrong)} are wrong\n" + "\n".join(wrong[:20])
    births = trace.births(device)
    for shape, buckets in truth.get("buckets", {}).items():
        found = {b.bucket for b in births if b.shape == shape}
        assert found == set(buckets), (shape, found)
    return trace, truth, births


@pytest.mark.turns(3)
@pytest.mark.parametrize("name", FILE)
def test_a_loop_has_the_steps_and_phases_that_its_script_says(ran, name):
    check(ran("cpu", name), name, "cpu")


@pytest.mark.turns(3)
@pytest.mark.parametrize("name", ON_CUDA)
def test_the_same_where_the_engine_has_threads_of_its_own(ran, name):
    check(ran("cuda12", name), name, "cuda:0")


THREADED = ["trainers_side_by_side", "hand_loops_side_by_side", "backward_in_a_pool", "replicas"]


@pytest.mark.parametrize("device", ["cpu", "cuda12"])
@pytest.mark.parametrize("name", THREADED)
def test_what_a_backward_makes_belongs_to_the_module_that_its_forward_was_of(ran, name, device):
    trace, truth = open_loop(ran(device, name), name)
    seen = 0
    for shape, cls, op in trace.all(
        "SELECT sh.dims, m.class, o.name FROM allocation a JOIN site s ON s.id = a.site "
        "JOIN phase p ON p.id = s.phase JOIN shape sh ON sh.id = s.shape "
        "LEFT JOIN module m ON m.id = s.module LEFT JOIN op o ON o.id = s.op "
        "WHERE p.name = 'backward'"
    ):  # fmt: skip
        width = shape.strip("[]").split(", ")[-1]
        if width not in truth["layers"]:
            continue
        whose = truth["layers"][width]
        seen += shape == f"[{width}, {width}]" and cls == whose
        # what is no layer's is made outside of all modules
        assert cls == whose or (cls is None and shape != f"[{width}, {width}]"), (shape, cls, op)
    assert seen >= 4 * len(truth["layers"])


def test_a_child_takes_no_module_from_its_parent(ran):
    trace, truth = open_loop(ran("cpu", "forked_after_forward"), "forked_after_forward")
    strange = truth["strange"]
    for b in trace.births("cpu"):
        if b.phase == "backward" and (b.shape or "").endswith(f"{strange}]"):
            assert b.module is None, b
    check(ran("cpu", "forked_after_forward"), "forked_after_forward", "cpu")
