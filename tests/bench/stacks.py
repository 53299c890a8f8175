"""ns per walk of Python frames met before, at several depths. Prints; asserts nothing.
TIDEMARK_STACKS_LIB=.../libstacks.so python3 stacks.py"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "stacks"))
import ctypes

import walkers

walkers.lib.stk_py_ns.restype = ctypes.c_double


def at_depth(n, then):
    return then() if n <= 0 else at_depth(n - 1, then)


def measure():
    return min(walkers.lib.stk_py_ns(100000) for _ in range(15))


if walkers.init() == 0:
    walkers.watch()
    print("Python %s" % sys.version.split()[0])
    for frames in (3, 13, 33):
        # module, measure: two frames without at_depth's own
        print("  %2d frames %6.1f ns" % (frames, at_depth(frames - 3, measure)))
