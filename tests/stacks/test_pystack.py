"""The Python walker against sys._getframe. A plain program: it runs on every
interpreter there is, and few of those have pytest."""
import gc
import sys
import tempfile
import threading

import walkers
from walkers import capture, expected

DEPTH = 128
checked = 0


def same():
    """Both views of the caller's stack are equal."""
    global checked
    checked += 1
    got, want = capture(), expected()
    # Both calls stand on this function's own line; drop it.
    got.frames, want = got.frames[1:], want[1:]
    short = [(f.encode("utf-8", "replace").decode(), p.encode("utf-8", "replace").decode(), l)
             for f, p, l in want]
    assert got.frames == short, (got.frames[:3], want[:3], len(got.frames), len(want))
    assert not got.truncated
    return got


def recurse(n, then):
    if n:
        return recurse(n - 1, then)
    return then()


class Thing:
    def method(self):
        list(map(lambda n: recurse(n, same), [0, 1, 10]))
        return [recurse(n, same) for n in (2, 3)]

    def __getattr__(self, name):
        same()
        return 1

    @property
    def prop(self):
        return same()

    def __del__(self):
        same()


def test_calls():
    recurse(0, same)
    recurse(50, same)
    Thing().method()
    Thing().missing
    Thing().prop
    {k: same() for k in (1, 2)}
    sorted([3, 1, 2], key=lambda x: (same(), x)[1])
    (
        same
    )(
    )
    try:
        raise ValueError
    except ValueError:
        same()
    finally:
        same()


def test_generators():
    def gen():
        yield recurse(3, same)
        yield (same(), 2)

    def outer():
        yield from gen()

    for _ in outer():
        same()
    list(same() for _ in range(3))


def test_coroutines():
    import asyncio

    async def leaf():
        same()
        await asyncio.sleep(0)
        return same()

    async def agen():
        for _ in range(2):
            yield await leaf()

    async def main():
        async for _ in agen():
            same()
        await asyncio.gather(leaf(), leaf())

    asyncio.run(main())


def test_names_beyond_ascii():
    names = ["latin_é", "naïve", "имя", "名前", "𝐟𝐮𝐧𝐜"]
    for file in ("plain.py", "répertoire/é.py", "目录/файл.py", "emoji/\U0001F600.py"):
        for name in names:
            space = {"same": same}
            exec(compile("def %s():\n\n    return same()\n" % name, file, "exec"), space)
            [f for k, f in space.items() if k not in ("same", "__builtins__")][0]()


def test_long_file_keeps_its_end():
    file = "é" * 2000 + "/end.py"
    space = {"capture": capture}
    exec(compile("got = capture()", file, "exec"), space)
    got = space["got"].frames[0][1]
    assert got.startswith("…é") and got.endswith("/end.py"), got
    assert 1018 <= len(got.encode()) <= 1023, len(got.encode())
    name = "f" * 400
    exec(compile("def %s():\n return capture()\ngot = %s()" % (name, name), "x.py", "exec"), space)
    got = space["got"].frames[0][0]
    assert got == "f" * 252 + "…", got


def test_same_place_same_hash():
    captures = [recurse(4, capture) for _ in range(100)]
    # The first calls may stand elsewhere in the same instruction; see pystack.c.
    assert len({(c.hash, c.check) for c in captures[50:]}) == 1
    assert len({c.hash for c in captures}) <= 2
    assert len({capture().hash, recurse(1, capture).hash, recurse(2, capture).hash}) == 3
    a = capture(); b = capture()
    assert a.frames == b.frames and a.hash != b.hash  # one line, two call sites


def test_dropped_functions():
    """Code addresses are reused; the stack's hash must not take one for another."""
    text, reused, addresses = {}, 0, set()
    for i in range(400):
        space = {"capture": capture}
        file = "<made %d>" % i
        lines = "\n" * (i % 7)
        exec(compile(lines + "def f%d():\n  return capture()\n" % (i % 5), file, "exec"), space)
        f = space["f%d" % (i % 5)]
        reused += id(f.__code__) in addresses
        addresses.add(id(f.__code__))
        got = f()
        me = got.frames[0]
        assert me == ("f%d" % (i % 5), file, 2 + i % 7), me
        before = text.setdefault((got.hash, got.check), got.frames)
        assert before == got.frames, (before[0], me)
        del f, space, got
        if i % 3 == 0:
            gc.collect()
    print("  dropped functions: %d of 400 at a reused address" % reused)


def test_deeper_than_kept():
    for n in (100, 140, 300):
        got, want = recurse(n, lambda: (capture(), expected()))
        assert len(got.frames) == min(DEPTH - 1, len(want)), (n, len(got.frames))
        assert bool(got.truncated) == (len(want) > DEPTH - 1), n
        # The lambda's frame is in both; the walk keeps the innermost.
        assert got.frames == want[:len(got.frames)], n


IMPL = '''
class Module:
    def _wrapped_call_impl(self, *args):
        return self._call_impl(*args)
    def _call_impl(self, *args):
        def inner():
            return self.forward(*args)
        return inner()
    __call__ = _wrapped_call_impl
'''
OLD_IMPL = '''
class Module:
    def _call_impl(self, *args):
        return self.forward(*args)
    __call__ = _call_impl
'''


def modules_from(source, file):
    space = {}
    exec(compile(source, file, "exec"), space)
    Module = space["Module"]

    class Leaf(Module):
        def forward(self):
            return capture()

    class Nest(Module):
        def __init__(self, child):
            self.child = child

        def forward(self):
            before = capture()
            got = self.child()
            after = capture()
            assert before.module == after.module == id(self) and before.cls == "Nest"
            return got

    leaf = Leaf()
    for top in (leaf, Nest(leaf), Nest(Nest(leaf))):
        got = recurse(3, top)
        assert got.module == id(leaf) and got.cls == "Leaf", (file, got.cls)
        assert got.module_type == id(Leaf)
    return got


def test_innermost_module():
    assert capture().module == 0 and capture().cls == ""
    for i in range(3):
        modules_from(IMPL, "/x%d/torch/nn/modules/module.py" % i)
        modules_from(OLD_IMPL, "/é%d/torch/nn/modules/module.py" % i)
    # The same names elsewhere mean nothing.
    try:
        modules_from(IMPL, "/x/other/module.py")
    except AssertionError:
        return
    assert False, "a module was seen in a foreign file"


def test_threads_under_gc():
    stop = threading.Event()
    failures = []

    def work(seed):
        n = 0
        try:
            while not stop.is_set():
                space = {"walk": lambda: (walk(), want()), "recurse": recurse}
                exec(compile("def f(n):\n return recurse(n, walk)\n", "<t%d>" % seed, "exec"), space)
                got, exp = space["f"](seed + n % 5)
                assert got == exp, (got[:2], exp[:2])
                del space
                n += 1
        except BaseException as e:
            failures.append(e)
        counts.append(n)

    import ctypes

    def walk():
        buf, numbers = ctypes.create_string_buffer(1 << 16), (ctypes.c_uint64 * 5)()
        cls = ctypes.create_string_buffer(8)
        assert walkers.lib.stk_py_capture(
            buf, ctypes.c_size_t(1 << 16), numbers, cls, ctypes.c_size_t(8)) >= 0
        text = buf.value.decode().split("\x1e")[1:-1]
        return [tuple(f.split("\x1f")[:2]) for f in text]

    def want():
        return [f[:2] for f in expected()[1:]]

    counts = []
    gc.set_threshold(50)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for _ in range(20):
        gc.collect()
        stop.wait(0.05)
    stop.set()
    for t in threads:
        t.join()
    gc.set_threshold(700)
    if failures:
        raise failures[0]
    print("  threads: %d walks on 6 threads" % sum(counts))


def known_again():
    return walkers.lib.stk_py_known_again()


def main():
    if walkers.init():
        return walkers.SKIP
    for rounds in range(2):
        for name, test in sorted(globals().items()):
            if name.startswith("test_"):
                test()
        assert rounds or not known_again()  # deaths are not counted yet
        walkers.watch()
    assert known_again() > 100
    print("python %s: %d stacks equal" % (sys.version.split()[0], checked))
    return 0


if __name__ == "__main__":
    sys.exit(main())
