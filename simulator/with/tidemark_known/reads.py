"""reads.py - what the host read of values that nobody knows: by operator and the program's line,
and what was done with it as far as can be told. Goes to the simulator's log."""
import atexit, contextlib, os, sys

from . import used
from .memory import GUESSED, SHARE

HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
LIBRARIES = ("/site-packages/", "/dist-packages/", "/torch/", "/lib/python", "/tidemark_with/",
             "/tidemark_known/")


class Reads:
    def __init__(self, log, density):
        self.log, self.density = log, density
        self.lines, self.looked, self.total, self.shown = {}, {}, 0, False
        self.of_a_mask, self.said = False, set()
        atexit.register(self.at_end)

    def read(self, name, assumed):
        """A value went to the host."""
        if not assumed & GUESSED:
            use = "finite"
        elif name == "__bool__":
            use = "branch"
        elif name in ("__index__", "__array__"):
            use = "index"
        else:
            use = used.after(self.frame())
        self.count(use, name, assumed)

    def sized(self, assumed, name):
        if assumed & GUESSED:
            self.count("size", name, assumed)

    def flag(self, assumed):
        """equal() and the like gave a flag."""
        if assumed:
            self.count("branch" if assumed & GUESSED else "finite", "a comparison", assumed)

    def frame(self):
        """Of who called PyTorch."""
        frame = sys._getframe(1)
        while frame and frame.f_code.co_filename.startswith(HERE):
            frame = frame.f_back
        return frame

    def place(self):
        """The program's line; of a library alone, its own."""
        first = frame = self.frame()
        while frame and any(part in frame.f_code.co_filename for part in LIBRARIES):
            frame = frame.f_back
        frame = frame or first
        return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?"

    @contextlib.contextmanager
    def printing(self):
        """What is read to be shown decides nothing."""
        former, self.shown = self.shown, True
        try:
            yield
        finally:
            self.shown = former

    def count(self, use, name, assumed=0):
        if self.shown:
            use, name = "number", "print"
        place = self.place()
        if assumed & SHARE and use not in ("number", "finite") and not self.of_a_mask:
            self.of_a_mask = True
            self.write(f"assumed share: {name} at {place}")
        key = (use, name, place)
        self.total += 1
        self.lines[key] = self.lines.get(key, 0) + 1
        if self.lines[key] == 1 and len(self.lines) <= 64:
            self.write(f"assumed {use}: {name} at {place}")

    def falling(self):
        place = self.place()
        looked = self.looked[place] = self.looked.get(place, 0) + 1
        return max(1e-4, 0.99 ** (looked - 1))

    def copied_back(self, mode, result, source):
        """From the device to the host: exact where it is known."""
        holder = mode.memory.of(source)
        if holder is None and source.numel() == 1:
            holder = mode.assume(source)
        if holder is not None:
            mode.copy(result.detach(), mode.memory.on_host(source))
            if holder.assumed:
                use = used.after(self.frame()) if holder.assumed & GUESSED else "finite"
                self.count(use, "copy to the host", holder.assumed)
        elif mode.plausible and source.numel() * source.element_size() <= 1 << 16:
            is_number = result.is_floating_point() or result.is_complex()
            fill = self.falling() if is_number else 0
            mode.calculate(mode.torch.Tensor.fill_, (result.detach(), fill), {})
            self.count("number", "copy to the host")

    def once(self, text):
        if text not in self.said:
            self.said.add(text)
            self.write(text)

    def write(self, text):
        if not self.log:
            return
        try:
            file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.write(file, f"{os.getpid()} {text}\n"[:500].encode(errors="replace"))
            os.close(file)
        except OSError:
            pass

    def at_end(self):
        if not self.total:
            return
        by_use = {}
        for (use, _, _), times in self.lines.items():
            by_use[use] = by_use.get(use, 0) + times
        told = ", ".join(f"{use} {times}" for use, times in sorted(by_use.items()))
        self.write(f"unknown values read: {self.total} ({told})")
