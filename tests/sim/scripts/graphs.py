"""CUDA graphs: capture, replay, side streams, callables, errors; prints JSON."""
import json
import torch, torch.nn as nn

model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).cuda()
x = torch.randn(64, 256, device="cuda", requires_grad=True)
result = {}


def warm_up(work):
    s = torch.cuda.Stream()
    s.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(s):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(s)


def train(net):
    optimizer = torch.optim.Adam(net.parameters(), capturable=True)

    def step():
        optimizer.zero_grad(True)
        net(x).sum().backward()
        optimizer.step()
    warm_up(step)
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        step()
    for _ in range(5):
        g.replay()


train(model)
segments = torch.cuda.memory._snapshot()["segments"]
result["private_segments"] = sum(s["segment_pool_id"] != (0, 0) for s in segments)

g = torch.cuda.CUDAGraph()
side = torch.cuda.Stream()
with torch.cuda.graph(g):
    a = x * 2
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        b = a + 1
        result["side_captures"] = torch.cuda.is_current_stream_capturing()
    torch.cuda.current_stream().wait_stream(side)
    r = torch.nn.functional.dropout(b, 0.5)
g.replay()
result["captures_after"] = torch.cuda.is_current_stream_capturing()

call = torch.cuda.make_graphed_callables(nn.Linear(256, 256).cuda(), (x.detach().requires_grad_(),))
call(x).sum().backward()

g1, g2 = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
with torch.cuda.graph(g1):
    a = x * 2
with torch.cuda.graph(g2, pool=g1.pool()):
    b = x * 3
g1.replay(), g2.replay()

try:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        x.sum().item()
    result["item"] = "no error"
except Exception as e:
    result["item"] = str(e).split("\n")[0]
result["usable"] = (x.detach() * 2).shape == x.shape and float(torch.ones(1, device="cuda").cpu()) is not None
print(json.dumps(result))
