"""memory.py - which tensors on the simulated device hold values that are known, and their
memory as tensors on the host: device memory is address space of this process, so that what is
computed there really lies in it.

A tensor is known as long as it is the object, the address and the version that it was when its
values were written. What changes it unseen (a backward, an optimizer's kernel) leaves another
version. Views share their holder: what makes one unknown makes all of them so.
"""
import ctypes, weakref

from . import device

#: What values rest on, as bits: that numbers are finite, that a plausible one is right, and that
#: a mask is as full as masks are taken to be.
FINITE, GUESSED, SHARE = 1, 2, 4


class Holder:
    """Of a tensor and its views, which count versions together."""
    __slots__ = ("version", "assumed", "memory")

    def __init__(self, version, assumed, memory=None):
        self.version, self.assumed = version, assumed
        self.memory = memory or [True]  # of all that lie there: still known


class Entry(weakref.ref):
    __slots__ = ("key", "address", "holder")


class Memory:
    def __init__(self, torch):
        self.torch, self.entries = torch, {}
        self.kinds = (torch.Tensor, torch.nn.Parameter)
        entries = self.entries

        def drop(entry):
            if entries.get(entry.key) is entry:
                del entries[entry.key]
        self.drop = drop

    def of(self, tensor):
        """The holder of a tensor whose values are known; else None."""
        entry = self.entries.get(id(tensor))
        if entry is None:
            return None
        holder, version = entry.holder, version_of(tensor)
        if holder.memory[0] and entry.address == tensor.data_ptr():
            if holder.version == version:
                return holder
            if self.is_delivered(tensor):  # written unseen, but by a collective
                holder.version = version
                return holder
        del self.entries[id(tensor)]
        return None

    def learn(self, tensor, assumed=0):
        """Its values have been written."""
        self.share(tensor, Holder(version_of(tensor), assumed))

    def write(self, tensor, assumed):
        """The same, of values that a collective may take."""
        self.learn(tensor, assumed)
        bytes = tensor.numel() * tensor.element_size()
        if bytes <= device.SHARED:
            device.wrote(tensor.data_ptr(), bytes)

    def is_delivered(self, tensor):
        bytes = tensor.numel() * tensor.element_size()
        return tensor.is_contiguous() and device.delivered(tensor.data_ptr(), bytes)

    def is_just_written(self, tensor):
        """By a copy from the host."""
        bytes = tensor.numel() * tensor.element_size()
        return tensor.is_contiguous() and device.just_written(tensor.data_ptr(), bytes)

    def share(self, tensor, holder):
        entry = Entry(tensor, self.drop)
        entry.key, entry.address, entry.holder = id(tensor), tensor.data_ptr(), holder
        self.entries[entry.key] = entry

    def lose(self, tensor):
        entry = self.entries.pop(id(tensor), None)
        if entry is not None:
            entry.holder.memory[0] = False

    def forget(self, tensor):
        """Takes our weak reference away; views stay known."""
        self.entries.pop(id(tensor), None)

    def versions(self):
        """Of all that is known, by address."""
        return {entry.address: (entry, entry.holder.version) for entry in self.entries.values()}

    def changed(self, before):
        """Addresses of those that another version has been made of since."""
        tensors = ((address, entry(), version) for address, (entry, version) in before.items())
        return {address for address, tensor, version in tensors
                if tensor is not None and version_of(tensor) != version}

    def lose_at(self, addresses):
        for entry in list(self.entries.values()) if addresses else ():
            if entry.address in addresses:
                entry.holder.memory[0] = False

    def on_host(self, tensor):
        """The same memory as a tensor on the host. Only as long as the tensor lives."""
        torch = self.torch
        size, stride = tensor.size(), tensor.stride()
        if not tensor.numel():
            return torch.empty(size, dtype=tensor.dtype, device="cpu")
        span = 1
        for length, step in zip(size, stride):
            span += (length - 1) * step
        buffer = (ctypes.c_char * (span * tensor.element_size())).from_address(tensor.data_ptr())
        return torch.frombuffer(buffer, dtype=tensor.dtype, count=span).as_strided(size, stride)


def version_of(tensor):
    return 0 if tensor.is_inference() else tensor._version
