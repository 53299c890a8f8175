"""A script's own account of what it did, to hold the trace against.

At each change of phase the script allocates a marker: an empty uint8 tensor of a size that
nothing else has. Markers stand in the trace in the order in which they were made, so every
other allocation is between two of them and its phase is known, whatever clocks say. At the
end of each step torch's own counters are kept. The account goes as JSON to the file named
by TIDEMARK_TEST_TRUTH; without it nothing is written.
"""

import contextlib
import json
import os

import torch

FIRST_MARK = 10001


class Oracle:
    """marks=False: no markers, so that steps repeat and may be folded."""

    def __init__(self, device, marks=True):
        self.device = torch.device(device)
        self.on_cuda = self.device.type == "cuda"
        self.marking = marks
        self.marks = []
        self.steps = []
        self.facts = {}
        self.stack = ["setup"]
        if self.on_cuda:
            torch.cuda.init()
            torch.cuda.reset_peak_memory_stats()
        self.mark("setup")

    def mark(self, phase):
        """What is allocated from here to the next mark belongs to this phase."""
        if self.marking:
            size = FIRST_MARK + len(self.marks)
            self.marks.append([size, phase])
            torch.empty(size, dtype=torch.uint8, device=self.device)

    @contextlib.contextmanager
    def phase(self, name):
        self.stack.append(name)
        self.mark(name)
        try:
            yield
        finally:
            self.stack.pop()
            self.mark(self.stack[-1])

    def after(self, name):
        """What follows outside any phase(), once the next one has ended, is called this."""
        self.stack[0] = name

    def step(self, complete=True):
        """A step has ended (or, complete=False, the setup): torch's own figures for it."""
        row = {"complete": complete}
        if self.on_cuda:
            row.update(
                peak_allocated=torch.cuda.max_memory_allocated(),
                peak_reserved=torch.cuda.max_memory_reserved(),
                end_allocated=torch.cuda.memory_allocated(),
            )
            torch.cuda.reset_peak_memory_stats()
        self.steps.append(row)

    def fact(self, **facts):
        self.facts.update(facts)

    def write(self):
        path = os.environ.get("TIDEMARK_TEST_TRUTH")
        if path:
            with open(path, "w") as out:
                json.dump({"marks": self.marks, "steps": self.steps, **self.facts}, out)
