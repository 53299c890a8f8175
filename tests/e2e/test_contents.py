"""Shapes, modules, parameters, steps and micro-steps are what the script knows."""

import json

import pytest
from reading import between_marks
from test_phases import kind, name


def pairs_of(shared_trace, workload, device, **env):
    run = shared_trace("workloads.py", workload, kind(device), device=device, **env)
    assert run.code == 0, run.stderr
    trace = run.open()
    return run.truth, trace, [b for _, b in between_marks(trace.births(name(device)), run.truth)]


def test_a_layers_output_has_its_shape_and_is_made_in_it(shared_trace, device):
    truth, _, births = pairs_of(shared_trace, "mlp", device)
    for layer, shape in truth["outputs"].items():
        made = [b for b in births if b.phase == "forward" and b.shape == str(shape)]
        steps = {b.born_step for b in made}
        assert steps >= {1, 2, 3}
        inside = layer.replace("fc", "act")
        for b in made:
            assert b.dtype == "float32"
            assert b.requested == shape[0] * shape[1] * 4
            # the last layer's output goes on into the loss, outside of any submodule
            assert b.module in ({layer, inside} if layer != "fc3" else {layer, "MLP", None}), b
        assert {layer} <= {b.module for b in made}


def test_in_the_backward_a_layers_gradients_are_made_for_it(shared_trace, device):
    truth, _, births = pairs_of(shared_trace, "mlp", device)
    for layer, shape in truth["weights"].items():
        made = [b for b in births if b.phase == "backward" and b.shape == str(shape)]
        assert {b.born_step for b in made} >= {1, 2, 3}
        assert {b.module for b in made} == {layer}


def test_every_tensor_allocation_has_a_shape_and_an_operator(shared_trace, device):
    _, _, births = pairs_of(shared_trace, "gpt", device)
    with_shape = [b for b in births if b.shape]
    assert len(with_shape) >= 0.98 * len(births)
    sizes = {"float32": 4, "int64": 8, "bool": 1, "uint8": 1, "int32": 4}
    for b in with_shape:
        count = 1
        for n in b.shape.strip("[]").split(","):
            count *= int(n) if n.strip() else 1
        if b.requested is not None and b.dtype in sizes:
            assert b.requested == count * sizes[b.dtype], b
            assert b.bytes >= b.requested
    # A Python number that becomes a tensor of no dimensions comes from no operator.
    without = [b for b in with_shape if b.op is None and b.shape != "[]"]
    assert not without, without[:10]


def test_parameters_have_their_names_and_shapes(shared_trace, device):
    truth, trace, _ = pairs_of(shared_trace, "mlp", device)
    named = dict(trace.all("SELECT name, shape FROM tensor WHERE kind = 'parameter'"))
    assert named == {n: str(s) for n, s in truth["parameters"].items()}
    assert trace.one("SELECT model_class, optimizer_class FROM run") == ("MLP", "AdamW")


def test_parameters_gradients_and_state_are_in_their_buckets_at_the_peak(shared_trace, device):
    truth, trace, _ = pairs_of(shared_trace, "gpt", device)
    elements = 0
    for shape in truth["parameters"].values():
        n = 1
        for d in shape:
            n *= d
        elements += n
    held = dict(
        trace.all("SELECT bucket, sum(bytes) FROM v_peak_live WHERE device = ? GROUP BY bucket",
                  name(device))
    )
    count = len(truth["parameters"])
    # CUDA blocks are multiples of 512 bytes; AdamW's two states have a step counter each
    slack = 0 if device == "cpu" else 512 * count
    assert 4 * elements <= held["parameter"] <= 4 * elements + slack
    assert 8 * elements <= held["optimizer"] <= 8 * elements + 3 * slack + 4 * count
    assert held["activation"] > 0


@pytest.mark.parametrize("workload, steps, micro", [("mlp", 3, 1), ("accumulation", 3, 4)])
def test_steps_and_micro_steps_are_counted(shared_trace, workload, steps, micro, device):
    _, trace, _ = pairs_of(shared_trace, workload, device)
    assert trace.all("SELECT micro_steps FROM step WHERE complete ORDER BY id") == [
        (micro,)
    ] * steps


def test_each_optimizer_of_a_gan_ends_a_step(shared_trace, device):
    _, trace, _ = pairs_of(shared_trace, "gan", device)
    assert trace.one("SELECT count(*) FROM step WHERE complete") == 6


def test_the_run_is_described(shared_trace, device):
    _, trace, _ = pairs_of(shared_trace, "mlp", device)
    version, cuda, python, script, simulated, status, ended = trace.one(
        "SELECT torch_version, cuda_version, python_version, script, simulated, exit_status, "
        "ended FROM run"
    )
    expected = {"cpu": "2.13.", "cuda13": "2.11.", "cuda12": "2.6."}
    assert version.startswith(expected[device])
    if device != "cpu":
        assert cuda.startswith(device[4:]) and simulated == 1
    assert python.count(".") == 2 and script.endswith("workloads.py")
    assert (status, ended) == (0, "exit")


@pytest.mark.parametrize("stacks", ["none", "python", "native", "all"])
def test_stacks_are_recorded_as_asked(shared_trace, stacks):
    _, trace, births = pairs_of(shared_trace, "mlp", "cpu", TIDEMARK_STACKS=stacks)
    python, native = trace.one("SELECT count(python_stack), count(native_stack) FROM site")
    assert (python > 0) == (stacks in ("python", "all"))
    assert (native > 0) == (stacks in ("native", "all"))
    assert trace.one("SELECT stacks FROM run") == stacks
    if stacks in ("python", "all"):
        frames = trace.all("SELECT file, line FROM frame WHERE kind = 'python'")
        assert any(f.endswith("workloads.py") and line > 0 for f, line in frames)


@pytest.mark.parametrize("stacks", ["none", "python", "native"])
def test_phases_need_no_stacks_for_a_plain_training_step(shared_trace, stacks):
    run = shared_trace("workloads.py", "mlp", "cpu", device="cpu", TIDEMARK_STACKS=stacks)
    pairs = between_marks(run.open().births("cpu"), run.truth)
    wrong = [(said, b) for said, b in pairs if said != b.phase]
    if stacks != "python":
        # The gradient of the loss itself is made before the engine is entered: only a frame
        # of torch/autograd/__init__.py tells it from the forward's last scalar.
        wrong = [(said, b) for said, b in wrong if (said, b.shape) != ("backward", "[]")]
    assert not wrong, wrong[:10]


@pytest.mark.parametrize("made", [
    "{'n_embd': 33, 'bias': True, 'rate': 0.5, 'name': 'x', 'skipped': [1], 3: 4}",
    "types.SimpleNamespace(n_embd=33, bias=True, rate=0.5, name='x', skipped=[1])",
])
def test_a_plain_config_of_the_model_is_kept(trace, made):
    run = trace(f"""
import torch, types
model = torch.nn.Linear(33, 101)
model.config = {made}
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    model(torch.randn(7, 33)).sum().backward()
    optimizer.step()
""")
    kept = json.loads(run.open().one("SELECT model_config FROM run"))
    assert kept == {"n_embd": 33, "bias": True, "rate": 0.5, "name": "x"}


@pytest.mark.parametrize("how, kind", [
    ("torch.nn.parallel.DistributedDataParallel(model)", "Model"),
    ("torch.compile(model, backend='eager')", "Model"),
    ("torch.compile(torch.nn.parallel.DistributedDataParallel(model), backend='eager')", "Model"),
    ("Loop(model)", "Loop"),
])
def test_a_wrapped_models_config_is_kept(trace, how, kind):
    """A wrapper has a module and nothing else; a loop's class may be anybody's."""
    run = trace(f"""
import os, torch, torch.distributed as dist
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
class Part(torch.nn.Linear):
    config = property(lambda self: 1 / 0)  # nobody's to ask
class Model(torch.nn.Sequential):
    def __init__(self):
        super().__init__(Part(33, 101), torch.nn.Linear(101, 13))
        self[1].config = {{"n_embd": 13}}  # of a part
        self.config = {{"n_embd": 33}}
class Loop(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.loss = model, torch.nn.CrossEntropyLoss()
    def forward(self, x):
        return self.model(x)
model = Model()
model = {how}
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    model(torch.randn(7, 33)).sum().backward()
    optimizer.step()
dist.destroy_process_group()
""")
    assert run.code == 0, run.stderr
    kept, said = run.open().all("SELECT model_config, model_class FROM run")[0]
    assert (json.loads(kept), said) == ({"n_embd": 33}, kind)
