"""What a run says of itself is in the trace whole, or is not there and counted as lost."""

import json

import pytest

CONFIG = """
import json, sys, torch
class Config:
    def to_json_string(self):
        return json.dumps({"labels": {str(i): "label %06d" % i for i in range(int(sys.argv[1]))}})
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.config, self.inner = Config(), torch.nn.Linear(7, 7)
    def forward(self, x):
        return self.inner(x)
model = Model()
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(9):
    model(torch.randn(3, 7)).sum().backward()
    optimizer.step()
print(len(model.config.to_json_string()))
"""


@pytest.mark.parametrize("labels", [900, 1500, 20000])
def test_a_big_config_is_whole(trace, labels):
    run = trace(CONFIG, labels)
    assert run.code == 0, run.stderr
    text = run.open().one("SELECT model_config FROM run")
    assert len(text) == int(run.stdout)
    assert len(json.loads(text)["labels"]) == labels


def test_a_config_that_no_ring_holds_is_absent_and_counted(trace):
    run = trace(CONFIG, 2000, env={"TIDEMARK_RING_SIZE": "64K"})
    assert run.code == 0, run.stderr
    db = run.open()
    assert db.one("SELECT model_config FROM run") is None
    assert db.one("SELECT count FROM lost WHERE name = 'long_texts'") >= 1
    assert db.one("SELECT model_class FROM run") == "Model"


@pytest.mark.parametrize("size", [6000, 100_000])
def test_a_command_line_is_whole(trace, size):
    words = ["--first", "q\"\\\n" + "x" * size, "", "last"]
    run = trace("import torch\ntorch.empty(3001)\n", *words)
    assert run.code == 0, run.stderr
    db = run.open()
    assert json.loads(db.one("SELECT argv FROM run"))[-4:] == words
    assert db.one("SELECT command FROM run").endswith("x last".replace("x ", "x  "))


@pytest.mark.parametrize("size, absent", [
    (9000, set()), (14_000, {"argv"}), (100_000, {"argv", "command"})])
def test_a_command_line_that_no_ring_holds_is_absent_and_counted(trace, tidemark, size, absent):
    """The argv of 14,000 quotation marks has as many backslashes."""
    words = ["--first", ('"' if size == 14_000 else "x") * size, "last"]
    run = trace("import torch\ntorch.empty(3001)\n", *words,
                env={"TIDEMARK_RING_SIZE": "64K", "TIDEMARK_CPU": "1"})
    assert run.code == 0, run.stderr
    db = run.open()
    argv, command = (db.one(f"SELECT {column} FROM run") for column in ("argv", "command"))
    assert {name for name, text in (("argv", argv), ("command", command)) if text is None} == absent
    assert argv is None or json.loads(argv)[-3:] == words
    assert command is None or command.endswith(" ".join(words))
    assert db.losses.get("long_texts", 0) == len(absent)
    assert db.one("SELECT count(*) FROM allocation") > 0
    assert tidemark("report", run.files[0]).returncode == 0


DTYPES = """
import json, os, torch
kinds = {v for v in vars(torch).values() if isinstance(v, torch.dtype)}
# what is quantised is made without asking for an empty tensor: its shape is not known
kinds = {v for v in kinds if not str(v).startswith(("torch.q", "torch.quint"))}
made = {}
for i, kind in enumerate(sorted(kinds, key=str)):
    try:
        tensor = torch.empty(100_003 + 16 * i, dtype=kind)
        made[str(kind)[6:]] = [tensor.numel(), tensor.untyped_storage().nbytes()]
    except Exception:
        pass
json.dump(made, open(os.environ["TIDEMARK_TEST_TRUTH"], "w"))
"""


def test_every_dtype_has_its_name_and_size(trace, device):
    run = trace(DTYPES, device=device, env={"TIDEMARK_CPU": "1"})
    assert run.code == 0, run.stderr
    db = run.open()
    assert len(run.truth) > 30
    wrong = []
    for name, (count, size) in run.truth.items():
        got = db.one(
            "SELECT group_concat(h.dtype || ' ' || a.requested) FROM allocation a "
            "JOIN site s ON s.id = a.site JOIN shape h ON h.id = s.shape WHERE h.dims = ?",
            f"[{count}]")
        if got != f"{name} {size}":
            wrong.append((name, size, got))
    assert wrong == []


SCOPES = """
import ctypes, torch
library = ctypes.CDLL(None)
for i in range(4500):
    library.tidemark_push_phase(b"number %d" % i)
    torch.empty(3001); torch.empty(3002); torch.empty(3003)
    library.tidemark_pop_phase()
library.tidemark_push_bucket(b"x" * 60 + b"yyyy" + b"z" * 30)
torch.empty(5005)
library.tidemark_pop_bucket()
"""


def test_a_scope_too_many_is_counted_once_and_not_at_each_event(trace):
    run = trace(SCOPES, env={"TIDEMARK_CPU": "1"})
    assert run.code == 0, run.stderr
    lost = run.open().one("SELECT count FROM lost WHERE name = 'scope_names'")
    assert 200 <= lost <= 500  # 405 scopes, the row is written at powers of two


def test_a_scopes_name_that_is_cut_says_so(trace):
    run = trace("""
import ctypes, torch
library = ctypes.CDLL(None)
library.tidemark_push_phase(b"x" * 59 + "\\u00e4".encode() + b"z" * 30)
torch.empty(5005)
""", env={"TIDEMARK_CPU": "1"})
    assert run.code == 0, run.stderr
    assert run.open().one("SELECT name FROM scope") == "x" * 59 + "..."


TWO_DEVICES = """
import torch
held = [torch.empty(1 << 20, device=f"cuda:{d}") for d in (0, 1, 1, 0)]
torch.cuda.set_device(0)
del held[1]  # of device 1
torch.cuda.set_device(1)
del held[0]  # of device 0
torch.cuda.empty_cache()
last = torch.empty(5 << 20, device="cuda:0")
print(torch.cuda.memory_allocated(0), torch.cuda.memory_allocated(1))
"""


@pytest.mark.parametrize("backend", ["cudaMallocAsync", "native"])
@pytest.mark.parametrize("device", ["cuda12", "cuda13"])
def test_a_free_is_of_the_blocks_device_whichever_is_current(trace, device, backend):
    run = trace(TWO_DEVICES, device=device,
                env={"TIDEMARK_SIM_COUNT": 2, "PYTORCH_CUDA_ALLOC_CONF": f"backend:{backend}"})
    assert run.code == 0, run.stderr
    t = run.open()
    ended = t.all("SELECT device, died_step IS NOT NULL FROM allocation "
                  "WHERE bytes = 4194304 ORDER BY born LIMIT 2")
    assert [tuple(row) for row in ended] == [(0, 1), (1, 1)]
    peaks = dict(t.all("SELECT device, max(peak) FROM (SELECT device, "
                       "sum(bytes) OVER (PARTITION BY device ORDER BY at, bytes) AS peak FROM ("
                       "SELECT device, born AS at, bytes FROM allocation UNION ALL "
                       "SELECT device, died, -bytes FROM allocation WHERE died_step IS NOT NULL)) "
                       "GROUP BY device"))
    assert peaks == {0: 25165824, 1: 8388608}
    assert not t.losses


SEGMENTS = """
import json, os, torch
torch.zeros(1, device="cuda:2")
held = [[torch.empty(8 << 20, device=f"cuda:{d}") for _ in range(d + 1)] for d in range(3)]
torch.cuda.set_device(1)
held[0].clear()
held[2].pop()
torch.cuda.empty_cache()
reserved = [torch.cuda.memory_reserved(d) for d in range(3)]
json.dump(reserved, open(os.environ["TIDEMARK_TEST_TRUTH"], "w"))
if os.environ["THEN"] == "kill":
    os.kill(os.getpid(), 9)
os._exit(0)
"""


@pytest.mark.parametrize("then", ["exit", "kill"])
@pytest.mark.parametrize("expandable", [False, True])
@pytest.mark.parametrize("device", ["cuda12", "cuda13"])
def test_a_segment_is_of_its_own_device_whichever_is_current(trace, device, expandable, then,
                                                             tidemark):
    run = trace(SEGMENTS, device=device,
                env={"TIDEMARK_SIM_COUNT": 3, "THEN": then,
                     "PYTORCH_CUDA_ALLOC_CONF": f"expandable_segments:{expandable}"})
    assert run.truth, run.stderr
    if then == "kill":
        assert tidemark("report", run.files[0]).returncode == 0
    t = run.open()
    assert not t.losses
    last = dict(t.all("SELECT d.name, m.reserved_bytes FROM memory_sample m JOIN device d "
                      "ON d.id = m.device WHERE m.id IN "
                      "(SELECT max(id) FROM memory_sample GROUP BY device)"))
    assert last == {f"cuda:{d}": bytes for d, bytes in enumerate(run.truth)}
    held = dict(t.all("SELECT d.name, coalesce(sum(s.bytes) FILTER (WHERE died_step IS NULL), 0) "
                      "FROM segment s JOIN device d ON d.id = s.device GROUP BY d.id"))
    assert held == last
    # What is free is what the current device said: the others are not asked.
    assert t.one("SELECT count(*) FROM memory_sample m JOIN segment s ON s.died_ns = m.time_ns "
                 "AND s.device = m.device WHERE m.device_free_bytes NOTNULL") == 0
