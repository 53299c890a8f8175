"""The short form of the tests (TIDEMARK_TESTS=short, which tests/run.sh sets unless told --all).

A test that runs with several PyTorches runs with one of them for each of its other parameters.
Which one depends on the names of those parameters alone: it is the same in every run, all
PyTorches have their turn over the parameters, and tests that look at one shared run choose the
same. Of a test that is repeated over `seed` or `moment` the first repetitions run, as many as
its mark `repeated(short=N)` says. Of tests with the mark `turns(N)`, or of one test's cases, an
N-th runs, and each in one of N turns: TIDEMARK_TURN is the number of commits, so that every case
runs every N commits, and a commit always with the same ones. A test that is named on the command
line always runs.
"""
import collections
import os
import re
import zlib

PYTORCH = re.compile(r"cpu|cuda1[23]|(.*/)?torch-[\d.]+|\d\.\d+\.\d+")


def _name(value):
    return str(value).rpartition("/")[2]


def _split(item):
    """The PyTorches among an item's parameters, and the rest of what tells it from others."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    own = tuple(_name(v) for k, v in sorted(params.items()) if PYTORCH.fullmatch(str(v)))
    rest = item.callspec.id if params else ""
    for name in own:
        rest = re.sub(rf"(^|-){re.escape(name)}(?=-|$)", "", rest, count=1).strip("-")
    return own, rest


def _repetition(item):
    mark = item.get_closest_marker("repeated")
    params = getattr(getattr(item, "callspec", None), "params", {})
    number = params.get("seed", params.get("moment"))
    return mark and number is not None and number >= mark.kwargs["short"]


def _waits(item, turn):
    mark = item.get_closest_marker("turns")
    params = getattr(item, "callspec", None)
    name = params.id if params else item.name
    return mark and (zlib.crc32(name.encode()) + turn) % mark.args[0]


def _beside(item):
    """Has a test nothing to say of its PyTorch? Its mark `beside` says so; it never runs then."""
    mark = item.get_closest_marker("beside")
    params = getattr(getattr(item, "callspec", None), "params", {})
    return bool(mark and set(mark.args) & {str(value) for value in params.values()})


def left_out(items, turn=0):
    """What the short form does not run of a list of pytest's items."""
    groups = collections.defaultdict(list)
    for item in items:
        own, rest = _split(item)
        if own:
            groups[item.nodeid.partition("[")[0], rest].append((own, item))
    leave = {item for item in items if _repetition(item) or _waits(item, turn)}
    for (test, rest), members in groups.items():
        members.sort(key=lambda member: member[0])
        chosen = zlib.crc32((rest or test).encode()) % len(members)
        leave.update(item for i, (_, item) in enumerate(members) if i != chosen)
    return leave


def pytest_configure(config):
    config.addinivalue_line("markers", "repeated(short): repetitions that the short form runs")
    config.addinivalue_line("markers", "beside(device): not for this device")
    config.addinivalue_line("markers", "turns(n): of these cases the short form runs an n-th")


def pytest_collection_modifyitems(config, items):
    leave = {item for item in items if _beside(item)}
    if os.environ.get("TIDEMARK_TESTS") == "short" and not any("::" in arg for arg in config.args):
        leave |= left_out([item for item in items if item not in leave],
                          int(os.environ.get("TIDEMARK_TURN") or 0))
    config.hook.pytest_deselected(items=[item for item in items if item in leave])
    items[:] = [item for item in items if item not in leave]
