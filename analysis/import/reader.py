"""reader.py - the first half of what `tidemark import` has Python do: a pickle is read by an Unpickler
that knows no class and no function, so that nothing of it is run. snapshot.py is the second half."""
import gc
import gzip
import io
import pickle
import re

MOST = 1 << 62
PICKLE = re.compile(rb"\x80[\x02-\x05]", re.S)
# A dictionary whose first key is a text, put into the memo or not, in a frame or not.
SNAPSHOT = re.compile(rb"..(\x95.{8})?}(\x94|q.|r....)?\(?(X...\0|\x8c.)[a-z_]", re.S)


class Wrong(Exception):
    """A sentence without its subject, 'it'."""


class Reader(pickle.Unpickler):
    """Containers, texts and numbers; whatever would need code is refused."""

    def find_class(self, module, name):
        raise Wrong(f"would run the code {ascii(module)[1:-1][:60]}.{ascii(name)[1:-1][:60]}; "
                    "a snapshot holds nothing but data, so this was not done")

    def persistent_load(self, identity):
        raise Wrong("refers to something outside of the file, and a snapshot holds nothing but data")


class Counted(io.RawIOBase):
    """A stream that ends in a sentence where it is longer than it may be."""

    def __init__(self, stream, most):
        self.stream, self.most, self.count = stream, most, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        got = self.stream.readinto(buffer)
        self.count += got or 0
        if self.count > self.most:
            raise Wrong("unpacks to far more than a snapshot of its size does")
        return got


def load(stream, size):
    gc.disable()  # all of it is alive until the end
    if stream.peek(2)[:2] == b"\x1f\x8b":
        stream = io.BufferedReader(Counted(gzip.GzipFile(fileobj=stream), 100 * size), 1 << 20)
        if not stream.peek(1):
            raise Wrong("is truncated")
    if not PICKLE.match(stream.peek(2)):
        raise Wrong("is not a pickle of protocol 2 or later, as PyTorch writes")
    if not SNAPSHOT.match(stream.peek(64)) and len(stream.peek(64)) > 64:
        raise Wrong("is not a memory snapshot of PyTorch: it does not begin like one")
    return Reader(stream).load(), (stream.raw.count if isinstance(stream.raw, Counted) else size)


def number(of, key, least=0, most=MOST, otherwise=None):
    value = of.get(key, otherwise)
    if value is None and otherwise is None:
        raise Wrong(f"is damaged: an entry has no '{key}'")
    if type(value) is not int or not least <= value <= most:
        raise Wrong(f"is damaged: the '{key}' of an entry is "
                    f"{ascii(value)[:40] if type(value) in (int, str) else 'not a number'}")
    return value


def entries(of, key, kind=list):
    value = of.get(key) if type(of) is dict else None
    if type(value) is not kind:
        raise Wrong(f"is not a memory snapshot of PyTorch: it has no '{key}'")
    return value


def dicts(entries_):
    for entry in entries_:
        if type(entry) is not dict:
            raise Wrong("is damaged: an entry of a list is not a dictionary")
        yield entry
