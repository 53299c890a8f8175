"""sitecustomize.py - lets a process that poses as one rank of many do without peers where
PyTorch itself would wait for them: in Gloo, which connects to each. In Gloo's place stands
PyTorch's own FakeProcessGroup, and peers do what this process does, as in the simulated NCCL.
Imported by Python at its start because `tidemark simulate --rank` puts this folder into
PYTHONPATH; changes torch.distributed when that is imported, and nothing else.
"""
import functools, importlib.util, inspect, os, pickle, sys, threading, types
from importlib.machinery import PathFinder

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = "torch.distributed.distributed_c10d"


class Gloo(type):
    """Class of the class that stands for ProcessGroupGloo: makes fake groups."""

    def __call__(cls, store, rank, size, *_, **__):
        return getattr(cls.fake, "_create_internal", cls.fake)(rank, size)

    def __instancecheck__(cls, group):
        return isinstance(group, cls.fake)


within = threading.local()


def wrap(c10d, name):
    """Replace a function by one that is given the former and its arguments by name."""
    former = getattr(c10d, name)
    signature = inspect.signature(former)

    def decorate(function):
        @functools.wraps(former)
        def wrapper(*args, **kwargs):
            if getattr(within, name, False):  # torch asks a mode, and that asks us
                return former(*args, **kwargs)
            given = signature.bind(*args, **kwargs).arguments
            setattr(within, name, True)
            try:
                return function(lambda: former(*args, **kwargs), given)
            finally:
                setattr(within, name, False)
        setattr(c10d, name, wrapper)
    return decorate


def pose(c10d):
    fake = getattr(c10d.torch._C._distributed_c10d, "FakeProcessGroup", None)
    if not fake or not hasattr(c10d, "ProcessGroupGloo"):
        return
    # the device that objects travel by; 2.6 has both names
    device_of = getattr(c10d, "_get_object_coll_device", None) or c10d._get_pg_default_device
    fake._set_sequence_number_for_group = lambda self: None  # asked of Gloo, seen up to 2.11
    if not hasattr(fake, "options"):  # 2.8 writes to Gloo's
        fake.options = property(lambda self: types.SimpleNamespace())
    c10d.ProcessGroupGloo = Gloo("ProcessGroupGloo", (), {"fake": fake})

    def on_host(given):
        return str(device_of(given.get("group"))) == "cpu"

    def sent_by_me(given):
        if given.get("group_src") is not None:
            return given["group_src"] == c10d.get_rank(given.get("group"))
        return (given.get("src") or 0) == c10d.get_rank()

    @wrap(c10d, "gather_object")
    def _(former, given):
        slots = given.get("object_gather_list")
        if not slots or not on_host(given):
            return former()
        for rank in range(c10d.get_world_size(given.get("group"))):
            slots[rank] = pickle.loads(pickle.dumps(given["obj"]))

    @wrap(c10d, "broadcast_object_list")
    def _(former, given):  # nobody knows what another rank would send: the list stays
        return former() if sent_by_me(given) else None

    @wrap(c10d, "scatter_object_list")
    def _(former, given):
        if sent_by_me(given):
            mine = given["scatter_object_input_list"][c10d.get_rank(given.get("group"))]
            given["scatter_object_output_list"][0] = pickle.loads(pickle.dumps(mine))

    @wrap(c10d, "monitored_barrier")
    def _(former, given):
        return None

    @wrap(c10d, "all_reduce")
    def _(former, given):
        work, tensor = former(), given["tensor"]
        if tensor.device.type == "cpu" and given.get("op", c10d.ReduceOp.SUM) == c10d.ReduceOp.SUM:
            tensor.mul_(c10d.get_world_size(given.get("group")))
        return work


class Finder:
    """Finds torch.distributed's module as usual, and changes it once it has run."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != MODULE:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec:
            run = spec.loader.exec_module

            def run_and_pose(module):
                run(module)
                pose(module)
            spec.loader.exec_module = run_and_pose
        return spec


def run_the_next_sitecustomize():
    """The one that this file stands before."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]
    spec = PathFinder.find_spec("sitecustomize")
    if spec:
        sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


sys.meta_path.insert(0, Finder)
run_the_next_sitecustomize()
