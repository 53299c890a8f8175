"""dlclose() on handles of the library, of torch's libraries and of what is nobody's."""

import ctypes
import os

import torch
from common import Training, say, steps

close = ctypes.CDLL(None).dlclose
close.argtypes = [ctypes.c_void_p]
folder = os.path.join(os.path.dirname(torch.__file__), "lib")
names = [os.path.join(folder, n) for n in ("libc10.so", "libtorch_cpu.so")]
names += os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
training = Training(39)
for i in range(steps(30)):
    for name in names:
        handle = ctypes.CDLL(name)._handle
        close(handle)
        if "tidemark" in name:
            close(handle)
    say(i, training.step())
