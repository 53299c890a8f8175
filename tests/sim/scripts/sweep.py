"""Every operator of PyTorch's own op_db, once on the simulated device and once on the CPU:
do shape, dtype and nbytes of the results agree? Needs expecttest.

usage: sweep.py OUT.json [FIRST [LAST]]
Starts a worker that notes each operator before it runs; a crash costs one operator.
"""
import collections, json, os, signal, subprocess, sys, warnings
import torch
from torch.utils._pytree import tree_flatten, tree_map

warnings.simplefilter("ignore")


def moved(value, device):
    return tree_map(lambda v: v.to(device) if isinstance(v, torch.Tensor) else v, value)


def described(result):
    return [(list(t.shape), str(t.dtype), t.numel() * t.element_size()) if t.layout == torch.strided
            else (list(t.shape), str(t.dtype), str(t.layout))
            for t in tree_flatten(result)[0] if isinstance(t, torch.Tensor)]


def check(op):
    types = op.supported_dtypes("cuda") & op.supported_dtypes("cpu")
    dtype = next((t for t in (torch.float32, torch.int64, torch.bool, torch.complex64)
                  if t in types), next(iter(types), None))
    if dtype is None:
        return "skip", "no dtype that both devices support"
    torch.manual_seed(0)
    sample = next(iter(op.sample_inputs("cpu", dtype, requires_grad=False)), None)
    if sample is None:
        return "skip", "no sample input"
    results = []
    for device in ("cpu", "cuda"):
        args = moved((sample.input, sample.args, dict(sample.kwargs)), device)
        if isinstance(args[2].get("device"), (str, torch.device)):
            args[2]["device"] = device
        try:
            results.append(described(op(args[0], *args[1], **args[2])))
        except Exception as e:
            if device == "cpu":
                return "skip", f"fails on the CPU: {e}"[:160]
            return "error", f"{type(e).__name__}: {e}".replace("\n", " ")[:200]
    torch.cuda.synchronize()
    if results[0] == results[1]:
        return "equal", ""
    return "different", f"cpu {results[0]} cuda {results[1]}"[:300]


def late(*_):
    raise TimeoutError("took more than 30 s")


def worker(first, last):
    from torch.testing._internal.common_methods_invocations import op_db
    signal.signal(signal.SIGALRM, late)
    for index, op in list(enumerate(op_db))[first:last]:
        name = f"{op.name}.{op.variant_test_name}".rstrip(".")
        print(json.dumps([index, name, "crash", ""]), flush=True)
        signal.alarm(30)
        try:
            outcome = check(op)
        except BaseException as e:
            outcome = "error", f"{type(e).__name__}: {e}".replace("\n", " ")[:200]
        signal.alarm(0)
        print(json.dumps([index, name, *outcome]), flush=True)
    print(json.dumps([len(op_db), "", "end", ""]), flush=True)
    os._exit(0)


def main():
    if sys.argv[1] == "--worker":
        worker(*map(int, sys.argv[2:4]))
    first, last = (int(a) for a in (*sys.argv[2:4], 0, 10**6)[:2])
    done, ended = {}, False
    while not ended:
        command = [sys.executable, __file__, "--worker", str(first), str(last)]
        before = first
        for line in subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines():
            if not line.startswith("["):
                continue
            index, name, state, why = json.loads(line)
            if state == "end":
                ended = True
            else:
                done[index], first = [name, state, why], index + 1
        ended = ended or first == before
    with open(sys.argv[1], "w") as f:
        json.dump(sorted(done.values()), f, indent=0)
    print(json.dumps({"torch": torch.__version__, "operators": len(done),
                      **collections.Counter(state for _, state, _ in done.values())}))


main()
