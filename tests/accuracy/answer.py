"""answer.py TRACE.db TRUTH.json - what the trace says where the oracle looked, compared.

The trace is read with nothing but schema.sql's word for it. On a CUDA device the allocator's
history numbers the events as the trace does; everywhere the oracle's marks are in both.
"""
import bisect
import collections
import json
import sqlite3
import sys

#: bytes asked for at each moment; the blocks have these sizes too (multiples of 512)
MARKS = {"forward": 512 * 37, "backward": 512 * 41, "step": 512 * 43}
KNOWN = ("parameter", "buffer", "gradient", "optimizer", "input")
REST = ("activation", "temporary", "workspace", "communication")

LIVE = """
SELECT b.name, a.bytes, a.address, r.name, p.name, o.name, coalesce(m.name, m.class), s.dims,
       a.born_step, a.born
FROM allocation a JOIN bucket b ON b.id = a.bucket JOIN rule r ON r.id = a.rule
JOIN site i ON i.id = a.site JOIN phase p ON p.id = i.phase LEFT JOIN op o ON o.id = i.op
LEFT JOIN module m ON m.id = i.module LEFT JOIN shape s ON s.id = i.shape
WHERE a.device = :device AND (
	(a.born_step < :step AND (a.died_step IS NULL OR a.died_step > :step))
	OR ((a.born_step = :pattern OR (a.born_step < :pattern AND a.died_step = :pattern))
	    AND (a.born_step < :pattern OR a.born <= :at)
	    AND NOT (a.died_step IS :pattern AND a.died <= :at)))
"""
Live = collections.namedtuple("Live", "bucket bytes address rule phase op module shape step born")


class Trace:
    def __init__(self, path, device):
        self.path = path
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        name = "cpu" if device == "cpu" else "cuda:0"
        self.device = self.db.execute(
            "SELECT id FROM device WHERE name = ?", (name,)).fetchone()[0]
        self.steps = self.db.execute(
            "SELECT id, coalesce(same_as, id), events FROM step ORDER BY id").fetchall()
        self.starts, events = [], 0
        for _, _, count in self.steps:
            self.starts.append(events)
            events += count

    @property
    def losses(self):
        return dict(self.db.execute("SELECT name, count FROM lost WHERE count > 0"))

    def live(self, events):
        """What is alive when this many events have happened."""
        i = bisect.bisect_right(self.starts, events) - 1
        step, pattern, _ = self.steps[i]
        return [Live(*row) for row in self.db.execute(LIVE, {
            "device": self.device, "step": step, "pattern": pattern,
            "at": events - self.starts[i] - 1})], step == pattern

    def marks(self):
        """[(kind, events before it)] of the oracle's marks, in order."""
        found, kinds = [], {size: kind for kind, size in MARKS.items()}
        for (_, pattern, _), start in zip(self.steps, self.starts):
            rows = self.db.execute(
                "SELECT requested, born FROM allocation a JOIN site s ON s.id = a.site "
                "JOIN shape h ON h.id = s.shape WHERE a.device = ? AND born_step = ? AND "
                f"h.dtype = 'uint8' AND requested IN ({', '.join(map(str, kinds))}) "
                "ORDER BY born", (self.device, pattern))
            found += [(kinds[size], start + born) for size, born in rows]
        return found

    def mark_times(self):
        """{which mark it is: nanoseconds} of those in steps that have rows of their own."""
        found, times = {}, dict(self.db.execute(
            "SELECT a.born_step || ' ' || a.born, a.born_ns FROM allocation a"))
        for i, (_, events) in enumerate(self.marks()):
            at = bisect.bisect_right(self.starts, events) - 1
            step, pattern, _ = self.steps[at]
            if step == pattern:
                found[i] = times[f"{step} {events - self.starts[at]}"]
        return found

    def peak(self):
        """(allocated bytes, events until it was reached)."""
        allocated, step, at = self.db.execute(
            "SELECT peak_allocated, step, peak FROM step_device WHERE device = ? "
            "ORDER BY peak_allocated DESC, step LIMIT 1", (self.device,)).fetchone()
        start = dict(zip((s[0] for s in self.steps), self.starts))[step]
        return allocated, start + at + 1


def sums(live):
    found = collections.Counter()
    for row in live:
        found[row.bucket] += row.bytes
    return found


def owners(truth):
    """{number of the birth: (category, bytes)} by the history: a block is for its whole life
    what it is at any moment, by the first category that claims it."""
    live, owner = {}, {}
    moments = iter(sorted(truth["moments"] + truth["batches"], key=lambda m: m["event"]))
    wanted = next(moments, None)
    for i, (born, address) in enumerate([*truth["history"], (None, None)]):
        while wanted and wanted["event"] == i:
            for category in KNOWN:
                for place, size in wanted["blocks"].get(category, []):
                    had = owner.get(live[place])
                    if not had or KNOWN.index(category) < KNOWN.index(had[0]):
                        owner[live[place]] = category, size
            wanted = next(moments, None)
        if born:
            live[address] = i
        else:
            live.pop(address, None)
    return owner


def for_life(truth):
    """The same at the moments: a gradient's block is one before and after it is .grad."""
    owner, live, moments = owners(truth), {}, iter(truth["moments"])
    wanted = next(moments, None)
    for i, (born, address) in enumerate([*truth["history"], (None, None)]):
        while wanted and wanted["event"] == i:
            wanted["blocks"] = {c: [] for c in KNOWN}
            for place, birth in live.items():
                if birth in owner:
                    category, size = owner[birth]
                    wanted["blocks"][category].append((place, size))
            for category, blocks in wanted["blocks"].items():
                wanted[category] = sum(size for _, size in blocks)
            wanted = next(moments, None)
        if born:
            live[address] = i
        else:
            live.pop(address, None)


def at_peak(truth, events):
    """The truth at the peak: owners of what the history says was alive then."""
    owner, live = owners(truth), {}
    for i, (born, address) in enumerate(truth["history"][:events]):
        if born:
            live[address] = i
        else:
            live.pop(address, None)
    found = dict.fromkeys(KNOWN, 0)
    for birth in live.values():
        if birth in owner:
            category, size = owner[birth]
            found[category] += size
    found["total"] = truth["peak"]
    return found


def compare(path, truth):
    """[{"at", "bucket": (measured, truth), ...}] for every moment and the peak."""
    trace, answers = Trace(path, truth["device"]), []
    if "history" in truth:
        for_life(truth)
    marks = trace.marks()
    told = [m["kind"] for m in truth["moments"]]
    if [kind for kind, _ in marks] != told:
        raise ValueError(f"the oracle's moments {told} are not the trace's {marks}")
    for moment, (kind, events) in zip(truth["moments"], marks):
        if moment.get("event", events) != events:
            raise ValueError(f"event {events} of the trace is {moment['event']} of the history")
        live, raw = trace.live(events)
        answers.append(answer_of(kind, sums(live), moment))
        if raw:
            answers[-1]["confused"] = confusion(live, moment)
    if "history" in truth:
        allocated, events = trace.peak()
        live, _ = trace.live(events)
        measured = sums(live)
        answers.append(answer_of("peak", measured, at_peak(truth, events)))
        answers[-1]["total"] = (allocated, truth["peak"])
    return answers, trace.losses


def answer_of(kind, measured, truth):
    found = {"at": kind}
    for category in KNOWN:
        found[category] = measured[category], truth[category]
    if "total" in truth:
        found["total"] = sum(measured.values()), truth["total"]
        rest = truth["total"] - sum(truth[c] for c in KNOWN)
        found["rest"] = sum(measured[b] for b in REST), rest
    found["parts"] = {b: measured[b] for b in REST}
    return found


def confusion(live, moment):
    """Where trace and oracle put one block into different buckets: [(bytes, theirs, row)]."""
    where = {address: category for category in KNOWN
             for address, _ in moment["blocks"].get(category, ())}
    found = collections.Counter()
    for row in live:
        category = where.get(row.address)
        if row.bucket != category and (category or row.bucket in KNOWN):
            found[category or "none of these", row.bucket, row.rule, row.phase, row.op or "",
                  row.module or "", row.shape or ""] += row.bytes
    return [(size, *key) for key, size in found.most_common()]


def main(path, truth_path):
    with open(truth_path) as file:
        truth = json.load(file)
    answers, losses = compare(path, truth)
    for answer in answers:
        different = {k: v for k, v in answer.items() if isinstance(v, tuple) and v[0] != v[1]}
        print(answer["at"], "differs" if different else "agrees", different, answer["parts"])
        for line in answer.get("confused", ())[:6]:
            print("    oracle: {1}, trace: {2} by {3}: {0} bytes, {4} {5} {6} {7}".format(*line))
    print("lost:", losses)


if __name__ == "__main__":
    main(*sys.argv[1:])
