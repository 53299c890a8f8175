"""oracle.py - what Python and PyTorch's allocator say about a training, from inside it.

A workload calls watch() with its model and optimizer and moment("forward"), ("backward"),
("step") where it stands. What a moment does depends on the way the run is watched:

  truth     counts the blocks in which parameters, gradients, optimizer state, buffers and
            inputs lie, beside the allocator's own total. On a CUDA device the allocator's
            history is kept too: which event was the how-many-th, and so what lived when.
  saved     the same, and which blocks autograd has saved (a run of its own: the hooks for
            saved tensors hold Python objects that the first run does not have)
  profiler  torch.profiler's category of each byte; of a compiled model from the second step
            on (it keeps a record of every Python frame, and compiling runs through too many)
  tracker   torch.distributed._tools.mem_tracker's

Every moment leaves a mark in the allocator's events: an allocation of a size of its own,
given back at once. That is how a trace made of the run is lined up with it.
"""
import bisect
import contextlib
import importlib.util
import json
import pathlib
import weakref

import torch

from answer import KNOWN, MARKS


def beside(path):
    """A module by its file's place beside this one (its name may be taken)."""
    place = (pathlib.Path(__file__).parent / path).resolve()
    spec = importlib.util.spec_from_file_location(
        f"{place.parent.name}_{place.stem}", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensors_in(thing):
    """Tensors in nested containers and in objects with __dict__ (quantised states)."""
    if torch.is_tensor(thing):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from tensors_in(value)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            yield from tensors_in(value)


def plain(tensor):
    """The tensors with memory of their own behind one: a DTensor's local part, the inner
    ones of a wrapper subclass."""
    local = getattr(tensor, "_local_tensor", None)
    if local is not None:
        return plain(local)
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is not None:
        return [p for name in flatten()[0] for p in plain(getattr(tensor, name))]
    return [tensor]


def quantised(parameter):
    """What bitsandbytes keeps beside a 4-bit weight, and beside its scales."""
    state = getattr(parameter, "quant_state", None)
    while state is not None:
        yield from tensors_in([state.absmax, state.code, state.offset])
        state = state.state2


def parameters_of(model):
    """Its parameters; of a fully sharded module the shards, also while they are gathered."""
    shards, gathered = [], set()
    for module in model.modules():
        state = getattr(module, "_get_fsdp_state", lambda: None)()
        group = getattr(state, "_fsdp_param_group", None)
        for p in group.fsdp_params if group else ():
            shards.append(p.sharded_param)
            gathered.add(id(getattr(p, "_unsharded_param", None)))
    seen = {id(p) for p in shards}
    return shards + [p for p in model.parameters() if id(p) not in seen | gathered]


def storage_of(tensor, device):
    """(address, bytes) of the storage, or None where it has none on this device."""
    try:
        if tensor.device.type != device or tensor.layout is not torch.strided:
            return None
        storage = tensor.untyped_storage()
        return (storage.data_ptr(), storage.nbytes()) if storage.data_ptr() else None
    except (NotImplementedError, RuntimeError):
        return None


class Blocks:
    """The allocator's live blocks, to find the one that holds an address."""

    def __init__(self, segments):
        found = sorted((b["address"], b["size"]) for s in segments for b in s["blocks"]
                       if b["state"] == "active_allocated")
        self.start = [a for a, _ in found]
        self.size = [s for _, s in found]

    def around(self, address):
        i = bisect.bisect_right(self.start, address) - 1
        if i < 0 or address >= self.start[i] + self.size[i]:
            return None
        return self.start[i], self.size[i]


class Storages:
    """Where nothing lists the blocks (the CPU), a storage is its block."""

    def __init__(self):
        self.size = {}

    def around(self, address):
        return address, self.size[address]


class Packed:
    __slots__ = ("tensor", "__weakref__")

    def __init__(self, tensor):
        self.tensor = tensor


class Oracle:
    def __init__(self, mode, device, path):
        self.mode, self.device, self.path = mode, device, path
        self.models, self.optimizers = [], []
        self.given, self.held = [], []
        self.moments, self.batches = [], []
        self.packed = weakref.WeakSet()
        self.tracker = self.profile = self.unprofiled = None
        self.cuda = device == "cuda" and mode in ("truth", "saved")
        if self.cuda:
            # No stacks: the history is asked for order and lifetimes alone.
            torch.cuda.memory._record_memory_history(
                enabled="all", context=None, max_entries=4_000_000)

    def watch(self, model, *optimizers):
        if model not in self.models:
            self.models.append(model)
        self.optimizers += [o for o in optimizers if o not in self.optimizers]

    def inputs(self, *things):
        """A batch; where it lies is noted at once, since it may be gone at the next moment."""
        self.given = [weakref.ref(t) for t in tensors_in(things)]
        if self.cuda:
            self.batches.append(self.count("batch", ("input",)))

    def outputs(self, *things):
        """What the program itself holds of a forward: its results."""
        self.held = [weakref.ref(t) for t in tensors_in(things)]

    @contextlib.contextmanager
    def running(self):
        """Around the whole training."""
        with contextlib.ExitStack() as stack:
            if self.mode == "saved":
                stack.enter_context(
                    torch.autograd.graph.saved_tensors_hooks(self.pack, lambda p: p.tensor))
            elif self.mode == "profiler":
                self.profile = torch.profiler.profile(
                    record_shapes=True, profile_memory=True, with_stack=True)
                if not any(hasattr(m, "_orig_mod") for m in self.models):
                    self.begin_profile()
                stack.callback(self.profile.stop)
            elif self.mode == "tracker":
                from torch.distributed._tools.mem_tracker import MemTracker
                self.tracker = MemTracker()
                self.tracker.track_external(*self.models, *self.optimizers)
                stack.enter_context(self.tracker)
            yield
        self.finish()

    def begin_profile(self):
        self.unprofiled = len(self.moments)
        self.profile.start()

    def pack(self, tensor):
        packed = Packed(tensor)
        self.packed.add(packed)
        return packed

    def moment(self, kind, step=None):
        if self.mode == "tracker":
            found = self.tracker.get_tracker_snapshot("current")
            self.moments.append({"kind": kind, "categories": {
                str(getattr(k, "value", k)).lower(): v
                for d, kinds in found.items() if torch.device(d).type == self.device
                for k, v in kinds.items()}})
            if kind == "step":
                self.tracker.reset_mod_stats()  # it takes one iteration at a time
            return
        if self.mode in ("truth", "saved"):
            self.moments.append(self.count(kind))
        if self.profile and self.unprofiled is None:
            self.moments.append(None)
            if kind == "step":
                self.begin_profile()
            return
        mark = torch.empty(MARKS[kind], dtype=torch.uint8, device=self.device)
        del mark

    def of_kind(self, kind):
        if kind == "parameter":
            own = [p for m in self.models for p in parameters_of(m)]
            return own + [t for p in own for t in quantised(p)]
        if kind == "buffer":
            return (b for m in self.models for b in m.buffers())
        if kind == "gradient":
            own = [p for m in self.models for p in parameters_of(m)]
            own += [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
            return (p.grad for p in own if p.is_leaf and p.grad is not None)
        if kind == "optimizer":
            return tensors_in([s for o in self.optimizers for s in o.state.values()])
        if kind == "input":
            return (t for t in (r() for r in self.given) if t is not None)
        if kind == "saved":
            return (p.tensor for p in list(self.packed))
        return (t for t in (r() for r in self.held) if t is not None)

    def count(self, kind, categories=(*KNOWN, "saved", "output")):
        """{category: bytes}, each block once, by the first category that claims it."""
        found = {"kind": kind}
        if self.cuda:
            snapshot = torch.cuda.memory._snapshot()
            blocks = Blocks(snapshot["segments"])
            events = sum(e["action"] in ("alloc", "free_requested")
                         for e in snapshot["device_traces"][0])
            found.update(total=torch.cuda.memory_allocated(), event=events,
                         peak=torch.cuda.max_memory_allocated())
        else:
            blocks = Storages()
        claimed, found["blocks"] = set(), {}
        for category in categories:
            found[category] = 0
            for tensor in self.of_kind(category):
                for part in plain(tensor):
                    storage = storage_of(part, self.device)
                    if not storage:
                        continue
                    if not self.cuda:
                        blocks.size[storage[0]] = storage[1]
                    block = blocks.around(storage[0])
                    if block and block not in claimed:
                        claimed.add(block)
                        found[category] += block[1]
                        found["blocks"].setdefault(category, []).append(block)
        return found

    def finish(self):
        found = {"mode": self.mode, "device": self.device, "moments": self.moments,
                 "torch": torch.__version__}
        if self.mode == "profiler":
            found["moments"] = self.moments + profiled(self.profile, self.device)
        if self.cuda:
            trace = torch.cuda.memory._snapshot()["device_traces"][0]
            found["batches"] = self.batches
            found["peak"] = torch.cuda.max_memory_allocated()
            found["history"] = [(e["action"] == "alloc", e["addr"]) for e in trace
                                if e["action"] in ("alloc", "free_requested")]
        with open(self.path, "w") as file:
            json.dump(found, file)


def profiled(profile, device):
    """The profiler's categories at each mark: its memory timeline, summed up to there."""
    from torch.profiler._memory_profiler import Action
    kinds = {size: kind for kind, size in MARKS.items()}
    memory, live, moments, mark = profile._memory_profile(), {}, [], None
    categories = memory._categories
    for _, action, (key, version), size in memory.timeline:
        if key.device.type != device:
            continue
        category = categories.get(key, version)
        name = category.name.lower() if category else "unknown"
        if action in (Action.PREEXISTING, Action.CREATE):
            if size in kinds and action is Action.CREATE:
                moments.append({"kind": kinds[size], "categories": dict(live)})
                mark = key
                continue
            live[name] = live.get(name, 0) + size
        elif action is Action.INCREMENT_VERSION:
            # the same bytes under the category of the next version
            after = categories.get(key, version + 1)
            live[name] = live.get(name, 0) - size
            name = after.name.lower() if after else "unknown"
            live[name] = live.get(name, 0) + size
        elif action is Action.DESTROY and key != mark:
            live[name] = live.get(name, 0) - size
    return moments
