"""Training loops of many kinds, each with its own account: loops.py cpu|cuda [NAME...].

Each runs in a child of its own, with a trace of its own; NAME.json says what it did: between
which markers what was going on (oracle.py), how many steps there were, by what they end, and
in which bucket tensors of a shape that nothing else has belong.
"""

import os
import sys
import traceback

import loops_by_hand  # noqa: F401
import loops_in_threads  # noqa: F401
import loops_of_papers  # noqa: F401
import loops_of_torch  # noqa: F401
import torch
from loops_common import LOOPS
from oracle import Oracle


def run(name, device):
    os.environ["TIDEMARK_TEST_TRUTH"] = f"{name}.json"
    torch.manual_seed(1)
    oracle = Oracle(device)
    facts = LOOPS[name](oracle, device)
    if facts is not None:
        oracle.fact(pid=os.getpid(), **{
            k: {s: sorted(b) for s, b in v.items()} if k == "buckets" else v
            for k, v in facts.items()})
        oracle.write()


def main():
    device, names = sys.argv[1], sys.argv[2:] or list(LOOPS)
    for name in names:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                run(name, device)
                code = 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status:
            sys.exit(f"{name} failed: {status}")


if __name__ == "__main__":
    main()
