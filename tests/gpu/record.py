"""Run a script and write what memory it took, by PyTorch's own account and the driver's.

usage: record.py OUT.json SCRIPT [ARGUMENTS...]
The driver's figure (total less free) is taken when the context is made, after every
optimizer step, and at the end; it holds what other processes use.
"""
import json, runpy, sys
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

used = []


def sample(*_):
    free, total = torch.cuda.mem_get_info()
    used.append(total - free)


def sizes(action):
    """Sizes in order of time; None where the allocator keeps no history."""
    traces = torch.cuda.memory._snapshot().get("device_traces") if history else None
    return [e["size"] for e in traces[0] if e["action"] == action] if traces else None


out, script, *arguments = sys.argv[1:]
torch.cuda.init()
sample()
history = torch.cuda.get_allocator_backend() == "native"
if history:
    torch.cuda.memory._record_memory_history(context=None, stacks="python", max_entries=10**6)
register_optimizer_step_post_hook(sample)
sys.argv = [script, *arguments]
refused = None
try:
    runpy.run_path(script, run_name="__main__")
except torch.OutOfMemoryError as error:
    # its first sentences: what it tried to allocate; what follows differs by process
    refused = str(error).split(" GPU 0 has")[0]
sample()
with open(out, "w") as file:
    json.dump({
        "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
        "total": torch.cuda.mem_get_info()[1], "context": used[0], "device": max(used),
        "allocated": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(), "refused": refused,
        "allocations": sizes("alloc"), "segments": sizes("segment_alloc")}, file)
