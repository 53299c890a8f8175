"""ctypes over libstacks.so, shared by the tests. Python 3.8 and later."""
import ctypes
import os
import sys

lib = ctypes.CDLL(os.environ["TIDEMARK_STACKS_LIB"])
SKIP = 77


def init():
    why = ctypes.create_string_buffer(256)
    rc = lib.stk_py_init(why, ctypes.c_size_t(256))
    if rc:
        print("refused:", why.value.decode())
    return rc


def watch():
    """From here on the keys of codes are remembered until a code dies."""
    assert ctypes.PyDLL(os.environ["TIDEMARK_STACKS_LIB"]).stk_py_watch() == 1


class Capture:
    """One walk: [(function, file, line)] innermost first, hashes, module."""

    def __init__(self, text, numbers, cls):
        frames = text.split("\x1e")[:-1]
        self.frames = []
        for f in frames:
            function, file, line = f.split("\x1f")
            self.frames.append((function, file, int(line)))
        self.hash, self.check, self.truncated, self.module, self.module_type = numbers
        self.cls = cls


_buf = ctypes.create_string_buffer(1 << 20)
_numbers = (ctypes.c_uint64 * 5)()
_cls = ctypes.create_string_buffer(128)


def capture_raw():
    """The one call that walks; the caller's own line is the innermost frame's."""
    lib.stk_py_capture(_buf, ctypes.c_size_t(len(_buf)), _numbers, _cls, ctypes.c_size_t(128))


def capture():
    depth = lib.stk_py_capture(
        _buf, ctypes.c_size_t(len(_buf)), _numbers, _cls, ctypes.c_size_t(128)
    )
    assert depth >= 0, "another stack was known for this one"
    c = Capture(_buf.value.decode("utf-8"), list(_numbers), _cls.value.decode("utf-8"))
    # This frame has moved on since; the caller has not.
    c.frames = c.frames[1:]
    return c


def expected():
    """The caller's frames as sys._getframe tells them."""
    f = sys._getframe(1)
    out = []
    while f:
        code = f.f_code
        out.append((getattr(code, "co_qualname", code.co_name), code.co_filename, f.f_lineno))
        f = f.f_back
    return out
