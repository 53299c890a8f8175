"""One process, many features of torch.cuda; prints {name: result or error} as JSON."""
import io, json, os, tempfile
import torch, torch.nn as nn
from torch.utils.checkpoint import checkpoint

tests = {}


def test(function):
    tests[function.__name__] = function
    return function


@test
def queries():
    p = torch.cuda.get_device_properties(0)
    return [p.name, p.major, p.minor, p.multi_processor_count, p.total_memory,
            torch.cuda.device_count(), torch.cuda.get_device_capability()]


@test
def snapshot():
    torch.cuda.memory._record_memory_history(max_entries=10000)
    y = torch.zeros(1 << 20, device="cuda")
    del y
    s = torch.cuda.memory._snapshot()
    path = os.path.join(tempfile.mkdtemp(), "snapshot.pickle")
    torch.cuda.memory._dump_snapshot(path)
    torch.cuda.memory._record_memory_history(enabled=None)
    return [len(s["device_traces"][0]) >= 3, os.path.getsize(path) > 0]


@test
def save_and_load():
    m = nn.Linear(1000, 1000).cuda()
    b = io.BytesIO()
    torch.save(m.state_dict(), b)
    b.seek(0)
    return str(torch.load(b, map_location="cuda")["weight"].device)


@test
def copies():
    x = torch.arange(1000)
    y = x.cuda()
    big = torch.zeros(1 << 28, device="cuda")
    return [bool((y.cpu() == x).all()), bool((y.clone().cpu() == x).all()), float(big.cpu()[5])]


@test
def pinned():
    x = torch.ones(1000).pin_memory()
    y = x.to("cuda", non_blocking=True)
    torch.cuda.synchronize()
    return [x.is_pinned(), torch.ones(5).is_pinned(), float(y.cpu().sum())]


@test
def loader():
    data = torch.utils.data.TensorDataset(torch.randn(64, 8), torch.arange(64))
    l = torch.utils.data.DataLoader(data, 16, num_workers=2, pin_memory=True)
    return sum(int(b.cuda(non_blocking=True).cpu().sum()) for _, b in l)


@test
def streams():
    s, x = torch.cuda.Stream(), torch.zeros(1 << 22, device="cuda")
    with torch.cuda.stream(s):
        y = x * 2
        x.record_stream(s)
    e = s.record_event()
    torch.cuda.current_stream().wait_event(e)
    e.synchronize()
    a, b = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    a.record(), y.sum(), b.record()
    b.synchronize()
    return [e.query(), a.elapsed_time(b) > 0]


@test
def checkpointing():
    def peak(use):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        m = nn.ModuleList(nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True)
                          for _ in range(4)).cuda()
        y = torch.randn(8, 256, 256, device="cuda", requires_grad=True)
        for l in m:
            y = checkpoint(l, y, use_reentrant=False) if use else l(y)
        y.sum().backward()
        return torch.cuda.max_memory_allocated()
    return peak(True) < peak(False)


@test
def convolution():
    m = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
                      nn.ConvTranspose2d(16, 8, 2, 2)).cuda()
    y = m(torch.randn(4, 3, 32, 32, device="cuda"))
    y.sum().backward()
    return list(y.shape)


@test
def profiler():
    from torch.profiler import profile, ProfilerActivity
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as p:
        torch.ones(8, 8, device="cuda").sum()
    return len(p.events()) > 0


@test
def out_of_memory():
    try:
        [torch.empty(1 << 30, dtype=torch.uint8, device="cuda") for _ in range(1000)]
    except torch.cuda.OutOfMemoryError as e:
        return str(e)


@test
def afterwards():
    return list((torch.ones(4, device="cuda") * 2).cpu().shape)


result = {}
for name, function in tests.items():
    torch.cuda.empty_cache()
    try:
        result[name] = function()
    except Exception as e:
        result[name] = f"{type(e).__name__}: {e}"
print(json.dumps(result))
