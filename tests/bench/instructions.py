"""Instructions that an allocation and its free run through in the library, counted by gdb.

usage: instructions.py LIBRARY    (with the Python that has torch; gdb on PATH)
A figure that no busy neighbour changes. Prints, for torch.empty(64) some modules deep, the
instructions from the allocator's report to its return (the library's own, and those of what it
calls) and the cache lines of code that they lie in.
"""

import os
import subprocess
import sys
import tempfile

PROGRAM = """
import os, sys, torch
class Leaf(torch.nn.Module):
    def forward(self, x):
        return torch.empty(64)
model = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Sequential(Leaf())))
layer = torch.nn.Linear(3, 3)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for _ in range(3):  # a step: the library has looked for names
    layer(torch.randn(2, 3)).sum().backward()
    optimizer.step()
for _ in range(2000):
    model(None)
os.kill(os.getpid(), 10)  # SIGUSR1: gdb looks from here on
for _ in range(20):
    model(None)
"""

STEPPER = """
import gdb
REPORT = "_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE"
for command in ("set pagination off", "set confirm off", "set breakpoint pending on",
                "handle SIGUSR1 stop nopass", "run"):
    gdb.execute(command, to_string=True)
def number(what):
    return int(gdb.parse_and_eval(what)) % 2**64
maps = [line.split() for line in open("/proc/%d/maps" % gdb.selected_inferior().pid)]
ours = [m[0].split("-") for m in maps if m[-1].endswith("libtidemark.so")]
low, high = int(ours[0][0], 16), int(ours[-1][1], 16)
gdb.execute("set scheduler-locking on")
gdb.Breakpoint(REPORT)
seen = 0
while seen < 10:
    gdb.execute("continue", to_string=True)
    if not low <= number("$pc") < high:
        continue
    seen += 1
    if seen <= 8:  # the stack is new, then learnt
        continue
    kind = "a free" if number("$rsi") >> 63 else "an allocation"
    # gdb may have stopped behind the prologue: its unwinder knows where the call came from
    back, at = gdb.selected_frame().older().pc(), []
    while number("$pc") != back:
        at.append(number("$pc"))
        gdb.execute("stepi", to_string=True)
    mine = [pc for pc in at if low <= pc < high]
    print("COUNT %-13s %5d instructions, %d of them in the library; %d lines of code" % (
        kind, len(at), len(mine), len({pc // 64 for pc in at})))
gdb.execute("kill")
"""


def main(library):
    with tempfile.TemporaryDirectory() as folder:
        program, stepper = os.path.join(folder, "program.py"), os.path.join(folder, "step.py")
        for path, text in ((program, PROGRAM), (stepper, STEPPER)):
            with open(path, "w") as f:
                f.write(text)
        run = subprocess.run(
            ["gdb", "-q", "-batch", "-ex", f"set environment LD_PRELOAD {library}",
             "-ex", f"set environment TIDEMARK_OUT {folder}/t.db", "-x", stepper,
             "--args", sys.executable, program], capture_output=True, text=True, timeout=300)
    told = [line[6:] for line in run.stdout.splitlines() if line.startswith("COUNT ")]
    if len(told) < 2:
        sys.exit("instructions.py: gdb saw no allocation; " + run.stderr.strip()[-300:])
    print("\n".join(told))


main(*sys.argv[1:])
