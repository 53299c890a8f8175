"""Holds a trace against what the witness saw of the same process.

A trace names every event of a step by its ordinal; a step that repeats an earlier one
points there. read_trace() unrolls that into the events of the whole run, and audit() lays
the witness's beside it. Of one thread both are the same list, to the byte and the address.
Threads are numbered by the library a moment after the witness saw them, so of several
threads it is each thread's own list, all of them together, and what is alive at the end."""

import collections
import pathlib
import sqlite3
import struct
import sys

RECORD = struct.Struct("<QqQQiibbBx4x")
RETURNED = 2

Seen = collections.namedtuple("Seen", "ptr bytes allocated reserved pid tid type index state")
Told = collections.namedtuple("Told", "bytes ptr tid")


def make_file(path, records=1_500_000):
    """The file must be there, of its whole size, before the program starts."""
    with open(path, "wb") as f:
        f.truncate(RECORD.size * (records + 1))
    return path


def used(path):
    """How many records the witness has begun."""
    with open(path, "rb") as f:
        return int.from_bytes(f.read(8), "little")


def read_witness(path, first=0):
    """{pid: its records in the order in which their calls began}, from the first-th on."""
    with open(path, "rb") as f:
        count, dropped = struct.unpack("<QQ", f.read(16))
        f.seek(RECORD.size * (first + 1))
        data = f.read(RECORD.size * max(0, count - first))
    assert not dropped, f"the witness had no room for {dropped} records"
    of = collections.defaultdict(list)
    for at in range(0, len(data), RECORD.size):
        seen = Seen._make(RECORD.unpack_from(data, at))
        if seen.state:  # else killed before it was filled in
            of[seen.pid].append(seen)
    return of


def allocations(records):
    """Without tensors in shared memory, which are mapped and not allocated: a birth has
    "reserved" bytes, its end no total at all (docs/reliability.md)."""
    mapped, rest = set(), []
    for seen in records:
        if seen.type == 0 and seen.bytes > 0 and not seen.allocated and seen.reserved:
            mapped.add(seen.ptr)
        elif seen.type == 0 and seen.bytes < 0 and seen.ptr in mapped:
            mapped.discard(seen.ptr)
        else:
            rest.append(seen)
    return rest


class Trace:
    """The events of a whole run, steps unrolled."""

    def __init__(self, path):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.pid, self.ended = db.execute("SELECT pid, ended FROM run").fetchone()
        self.lost = dict(db.execute("SELECT name, count FROM lost WHERE count > 0"))
        self.notes = dict(db.execute("SELECT key, value FROM meta"))
        self.steps = db.execute("SELECT id, same_as, events FROM step ORDER BY id").fetchall()
        self.integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
        rows = db.execute(
            "SELECT a.address, a.bytes, a.born_step, a.born, a.died_step, a.died, t.tid "
            "FROM allocation a JOIN site s ON s.id = a.site "
            "LEFT JOIN thread t ON t.id = s.thread").fetchall()
        db.close()
        self.live = collections.Counter((r[0], r[1]) for r in rows if r[4] is None)
        own = collections.defaultdict(dict)  # step -> ordinal -> event
        for ptr, size, born_step, born, died_step, died, tid in rows:
            own[born_step][born] = Told(size, ptr, tid)
            if died_step is not None:
                own[died_step][died] = Told(-size, ptr, None)
        self.events = []
        for step, same_as, events in self.steps:
            image = own[same_as] if same_as is not None else {}
            for ordinal in range(events):
                event = own[step].get(ordinal)
                if event is None and ordinal in image:
                    event = image[ordinal]._replace(ptr=None)  # addresses differ
                self.events.append(event)  # None: a free of what is not known

    @property
    def dropped(self):
        """Events that the trace itself says are missing."""
        return sum(self.lost.get(n, 0) for n in ("ring_full", "gap", "out_of_memory"))


def live_of(records):
    """What is alive after these records, and what may be, for calls cut in the middle."""
    live, unsure = collections.OrderedDict(), set()
    for seen in records:
        if seen.bytes > 0:
            live[seen.ptr] = seen.bytes
        else:
            live.pop(seen.ptr, None)
        if seen.state != RETURNED:
            unsure.add(seen.ptr)
    return live, unsure


def differences(seen, trace):
    """Sentences; none where the trace and the witness agree."""
    wrong = []
    seen = allocations(seen)
    returned = sum(s.state == RETURNED for s in seen)
    told = len(trace.events)  # what was dropped may have been more than events: names, steps
    if told > len(seen) or told + trace.dropped < returned:
        wrong.append(f"{returned} to {len(seen)} events were seen, the trace has {told} and "
                     f"counts {trace.dropped} as lost")
    if trace.integrity != "ok":
        wrong.append(f"integrity: {trace.integrity}")
    if trace.dropped or trace.lost.get("thinned_steps"):
        return wrong + not_in_order(seen, trace)  # what is missing is counted
    wrong += different_live(seen, trace)
    if len({s.tid for s in seen}) == 1:
        wrong += different_order(seen, trace)
    else:
        wrong += different_sizes(seen, trace)
    return wrong


def different_live(seen, trace):
    return wrong_live(*live_of(seen), trace)


def wrong_live(live, unsure, trace):
    want = collections.Counter(live.items())
    missing = [b for b in (want - trace.live).elements() if b[0] not in unsure]
    extra = [b for b in (trace.live - want).elements() if b[0] not in unsure]
    wrong = []
    if missing:
        wrong.append(f"{len(missing)} of {len(live)} live blocks are missing: "
                     + " ".join(f"{p:#x}+{n}" for p, n in missing[:3]))
    if extra:
        wrong.append(f"{len(extra)} blocks live in the trace are dead: "
                     + " ".join(f"{p:#x}+{n}" for p, n in extra[:3]))
    return wrong


def different_order(seen, trace):
    for at, (s, t) in enumerate(zip(seen, trace.events)):
        if t is None:
            if s.bytes > 0:
                return [f"event {at}: an allocation of {s.bytes} bytes is not in the trace"]
        elif s.bytes != t.bytes or t.ptr not in (None, s.ptr):
            return [f"event {at}: seen {s.bytes} at {s.ptr:#x}, "
                    f"told {t.bytes} at {t.ptr or 0:#x}"]
    return []


def different_sizes(seen, trace):
    """All events by size; what was in the middle of its call may be there or not."""
    want = collections.Counter(s.bytes for s in seen if s.state == RETURNED and s.bytes > 0)
    unsure = collections.Counter(s.bytes for s in seen if s.state != RETURNED)
    have = collections.Counter(t.bytes for t in trace.events if t and t.bytes > 0)
    wrong = []
    for missing in ((want - have), (have - want - unsure)):
        if missing:
            some = ", ".join(f"{n} of {size}" for size, n in missing.most_common(3))
            wrong.append(f"births that only one side has: {some}")
    return wrong + different_threads(seen, trace)


def different_threads(seen, trace):
    """The births of each thread, in its own order, where a thread has one whole run's."""
    by = collections.defaultdict(list)
    for s in seen:
        if s.bytes > 0:
            by[s.tid].append(s.bytes)
    if len(by) > 6:
        return []  # threads that come and go: a step may stand for another thread's
    told = collections.defaultdict(list)
    for t in trace.events:
        if t and t.bytes > 0:
            told[t.tid].append(t.bytes)
    return [f"thread {tid}: its births are not in its order" for tid, sizes in by.items()
            if told[tid][:len(sizes) - 1] != sizes[:len(told[tid])][:len(sizes) - 1]]


def births_of_threads(seen, trace):
    """{tid: (the births seen, the births told)}"""
    by, told = collections.defaultdict(list), collections.defaultdict(list)
    for s in seen:
        if s.bytes > 0:
            by[s.tid].append(s)
    for t in trace.events:
        if t and t.bytes > 0:
            told[t.tid].append(t)
    return {tid: (by[tid], told[tid]) for tid in by.keys() | told.keys()}


def is_told(seen, told):
    return seen.bytes == told.bytes and told.ptr in (None, seen.ptr)


def stopped_short(seen, trace):
    """Sentences about a trace that may lack what came last, and nothing before that: what it
    has of each thread is how that thread's list begins, and what lives in it lived then."""
    seen = allocations(seen)
    wrong = [] if trace.integrity == "ok" else [f"integrity: {trace.integrity}"]
    if len(trace.events) > len(seen):
        wrong.append(f"{len(seen)} events were seen, the trace has {len(trace.events)}")
    if trace.dropped or trace.lost.get("thinned_steps"):
        return wrong + not_in_order(seen, trace)
    if len({s.tid for s in seen}) == 1:
        return wrong + different_order(seen, trace) + different_live(
            seen[:len(trace.events)], trace)
    threads = births_of_threads(seen, trace)
    wrong += [f"thread {tid}: it has {len(told)} births, which are not the first of {len(births)}"
              for tid, (births, told) in threads.items()
              if len(told) > len(births) or not all(map(is_told, births, told))]
    return wrong or different_live_of_threads(
        seen, {tid: len(told) for tid, (_, told) in threads.items()}, trace)


def not_in_order(seen, trace):
    """Of a trace that counts what it lacks: what it has happened, in that order."""
    if trace.lost.get("thinned_steps") or len({s.tid for s in seen}) > 6:
        return []  # rows that are gone on purpose; threads as in different_threads()
    wrong = []
    for tid, (births, told) in births_of_threads(seen, trace).items():
        rest = iter(births)
        if not all(any(is_told(s, t) for s in rest) for t in told):
            wrong.append(f"thread {tid}: its births in the trace are not in its order")
    return wrong


def different_live_of_threads(seen, told, trace):
    """What lives once each thread has made as many births as are told of it. A free is told
    without its thread: one between the last birth told and the next may be there or not."""
    live, unsure = collections.OrderedDict(), set()
    births = collections.Counter()
    for s in seen:
        births[s.tid] += s.bytes > 0
        if s.bytes > 0 and births[s.tid] <= told[s.tid]:
            live[s.ptr] = s.bytes
            unsure.discard(s.ptr)
        elif s.bytes <= 0 and births[s.tid] < told[s.tid]:
            live.pop(s.ptr, None)
        elif s.bytes <= 0 and births[s.tid] == told[s.tid]:
            unsure.add(s.ptr)
    return wrong_live(live, unsure, trace)


def traces_in(folder):
    """{pid: its trace}. A file without tables is none: readers refuse it, and say so."""
    traces = {}
    for path in pathlib.Path(folder).glob("*.db"):
        try:
            trace = Trace(path)
        except sqlite3.OperationalError:
            continue
        traces[trace.pid] = trace
    return traces


def audit(witness, folder, judge=lambda pid: differences, untraced=lambda pid: False):
    """{pid: sentences} over every process that allocated, in `folder`'s traces. judge(pid) is
    differences or stopped_short; untraced(pid) is true where a trace need not be there."""
    found = {}
    traces = traces_in(folder)
    for pid, seen in read_witness(witness).items():
        mine = allocations(seen)
        if pid in traces:
            found[pid] = judge(pid)(seen, traces[pid])
        elif not untraced(pid) and any(s.state == RETURNED and s.bytes > 0 for s in mine):
            found[pid] = [f"{len(mine)} events were seen, and there is no trace"]
    return {pid: sentences for pid, sentences in found.items() if sentences}


if __name__ == "__main__":
    for pid, sentences in audit(sys.argv[1], sys.argv[2]).items():
        print(pid, *sentences, sep="\n\t")
