#!/usr/bin/env python3
"""Builds traces of known content from schema.sql, with nothing but the standard library.

A Recording is a list of steps, each a list of allocations and frees; it can say by plain
replay what was alive at any instant, and it can be written as a trace, folded or not.
Tests compare the two ways. Called as a program it writes one of the SCENARIOS to a file.
"""
import argparse
import collections
import pathlib
import sqlite3
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA = (ROOT / "schema.sql").read_text()
PHASES = "setup data forward backward recompute clip optimizer zero_grad eval other".split()
BUCKETS = ("parameter buffer gradient optimizer activation input temporary workspace "
           "communication cache context").split()
MIB = 1 << 20
CARD = 24 * 1024 * MIB
CONTEXT = 400 * MIB  # what the driver and the libraries hold

Site = collections.namedtuple("Site", "phase module op shape dtype stack")


class Allocation:
    __slots__ = ("device", "bytes", "site", "bucket", "name", "address", "born_step",
                 "born", "born_ns", "died_step", "died", "died_ns", "died_phase")


Event = collections.namedtuple("Event", "kind allocation phase time_ns")


class Step:
    def __init__(self, number, start_ns, complete):
        self.number, self.start_ns, self.complete = number, start_ns, complete
        self.end_ns = start_ns
        self.events = []
        self.micro_steps = 0


class Recording:
    """What happened, in order. Times: each event takes a microsecond and a bit."""

    def __init__(self):
        self.steps = []
        self.allocations = []
        self.now = 0
        self.address = 0x7F0000000000
        self.level = collections.Counter()   # allocated bytes by device
        self.before = collections.Counter()  # allocated before tracing began

    def begin(self, complete=True, micro_steps=1):
        self.now += 1000
        step = Step(len(self.steps), self.now, complete and bool(self.steps))
        step.micro_steps = micro_steps if self.steps else 0
        self.steps.append(step)

    def _event(self, kind, allocation, phase):
        step = self.steps[-1]
        self.now += 1000 + 7 * (step.number % 5)  # steps differ in length, not in shape
        step.events.append(Event(kind, allocation, phase, self.now))
        step.end_ns = self.now + 1

    def alloc(self, bytes, phase, bucket, device="cuda:0", module=None, op=None, shape=None,
              dtype="float32", stack=("train.py:10 main",), name=None):
        a = Allocation()
        a.device, a.bytes, a.bucket, a.name = device, bytes, bucket, name
        a.site = Site(phase, module, op, shape, dtype if shape else None, stack)
        a.address = self.address
        self.address += (bytes + 511) // 512 * 512
        a.born_step, a.born = len(self.steps) - 1, len(self.steps[-1].events)
        a.died_step = a.died = a.died_ns = a.died_phase = None
        self._event("alloc", a, phase)
        a.born_ns = self.now
        self.allocations.append(a)
        return a

    def free(self, a, phase):
        a.died_step, a.died = len(self.steps) - 1, len(self.steps[-1].events)
        a.died_phase = phase
        self._event("free", a, phase)
        a.died_ns = self.now

    # -- plain replay --------------------------------------------------------------

    def devices(self):
        return sorted({a.device for a in self.allocations})

    def live(self, device, step, ordinal):
        """The allocations alive after event `ordinal` of a step, from first principles."""
        alive = {}
        for s in self.steps[:step + 1]:
            last = len(s.events) if s.number < step else ordinal + 1
            for event in s.events[:last]:
                if event.allocation.device != device:
                    continue
                if event.kind == "alloc":
                    alive[id(event.allocation)] = event.allocation
                else:
                    alive.pop(id(event.allocation))
        return list(alive.values())

    def walk(self):
        """(step, ordinal, event, allocated after it) of every event."""
        level = collections.Counter(self.before)
        for step in self.steps:
            for ordinal, event in enumerate(step.events):
                a = event.allocation
                level[a.device] += a.bytes if event.kind == "alloc" else -a.bytes
                yield step, ordinal, event, level[a.device]

    def reserved_changes(self):
        """(device, step, ordinal, time, allocated, reserved): never given back here."""
        reserved = collections.Counter()
        for step, ordinal, event, allocated in self.walk():
            device = event.allocation.device
            if device.startswith("cuda") and allocated > reserved[device]:
                reserved[device] = (allocated + 20 * MIB - 1) // (20 * MIB) * (20 * MIB)
                yield device, step.number, ordinal, event.time_ns, allocated, reserved[device]

    def step_figures(self):
        """{(step, device): start, end, peak, peak ordinal, ns, phase; phases}."""
        figures = {}
        level = collections.Counter(self.before)
        for step in self.steps:
            for device in self.devices():
                figures[step.number, device] = {
                    "start": level[device], "peak": level[device], "ordinal": -1,
                    "ns": step.start_ns, "phase": step.events[0].phase if step.events
                    else "other", "phases": {}}
            for ordinal, event in enumerate(step.events):
                a = event.allocation
                f = figures[step.number, a.device]
                was = level[a.device]
                level[a.device] += a.bytes if event.kind == "alloc" else -a.bytes
                most, count = f["phases"].get(event.phase, (0, 0))
                f["phases"][event.phase] = (max(most, was, level[a.device]), count + 1)
                if level[a.device] > f["peak"]:
                    f.update(peak=level[a.device], ordinal=ordinal, ns=event.time_ns,
                             phase=event.phase)
            for device in self.devices():
                figures[step.number, device]["end"] = level[device]
        return figures

    # -- folding, as schema.sql says -------------------------------------------------

    def patterns(self):
        seen, same = {}, {}
        for step in self.steps:
            shape = []
            for event in step.events:
                a = event.allocation
                back = () if event.kind == "alloc" else (step.number - a.born_step, a.born)
                shape.append((event.kind, a.bytes, a.device, event.phase, a.site) + back)
            key = (step.complete, tuple(shape))
            if step.number and step.complete and key in seen:
                same[step.number] = seen[key]
            else:
                seen[key] = step.number
        return same

    def write(self, path, fold=True, thin=(), **run):
        db = sqlite3.connect(path)
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        same = self.patterns() if fold else {}
        writer = Writer(db)
        for device in self.devices():
            writer.device(device)
        own = collections.defaultdict(list)
        for a in self.allocations:
            if self._has_row(a, same, thin):
                own[a.born_step].append(writer.allocation(a))
        self._write_steps(writer, same, thin, own)
        for device, step, ordinal, ns, allocated, reserved in self.reserved_changes():
            db.execute("INSERT INTO memory_sample VALUES (NULL,?,?,?,?,?,?,?,?)",
                       (writer.devices[device], step, ordinal, ns, allocated, reserved,
                        CARD - CONTEXT - reserved, CARD))
        for a in self.allocations:
            if a.name:
                db.execute("INSERT INTO tensor VALUES (NULL,?,?,?,?,?,?,?,1,?,?)",
                           (a.bucket, a.name, a.device, a.address, a.bytes, a.site.shape,
                            a.site.dtype, a.born_step, a.born + 1))
        values = {"id": 1, "tidemark_version": "0.1.0", "command": "python train.py",
                  "argv": '["python", "train.py"]', "script": "train.py", "host": "node07",
                  "pid": 41822, "started_unix_ns": 1790000000000000000,
                  "ended_ns": self.now + 1000, "ended": "exit", "exit_status": 0,
                  "python_version": "3.11.7", "torch_version": "2.11.0+cu130",
                  "cuda_version": "13.0", "cuda_driver": 13000, "stacks": "python",
                  "model_class": "GPT", "optimizer_class": "AdamW", **run}
        db.execute("INSERT INTO run (%s) VALUES (%s)" % (
            ", ".join(values), ", ".join("?" * len(values))), tuple(values.values()))
        db.execute("INSERT INTO capability VALUES ('native_stacks', 'off', "
                   "'TIDEMARK_STACKS=python'), ('python_stacks', 'live', '')")
        if thin:
            db.execute("INSERT INTO lost VALUES ('thinned_steps', ?, "
                       "'raw steps reduced to their per-phase figures')", (len(thin),))
        db.commit()
        db.close()

    def _has_row(self, a, same, thin):
        folded = a.born_step in same
        next_step = a.born_step + 1
        crosses = a.died_step is None or a.died_step > next_step
        # What dies in the next step is known from the pattern there, unless that step
        # is raw: then the row is what its own free refers to.
        crosses = crosses or (a.died_step == next_step and next_step not in same)
        if a.born_step in thin:
            return a.died_step is None or a.died_step > a.born_step
        return crosses or not folded

    def _write_steps(self, writer, same, thin, own):
        figures = self.step_figures()
        reserved = collections.Counter()
        changes = collections.defaultdict(list)
        for device, step, _, _, _, after in self.reserved_changes():
            changes[step].append((device, after))
        for step in self.steps:
            for device, after in changes[step.number]:
                reserved[device] = after
            ids = own[step.number] if step.number not in same else []
            writer.db.execute("INSERT INTO step VALUES (?,?,?,?,?,?,?,?,?,?)", (
                step.number, same.get(step.number), step.start_ns, step.end_ns,
                len(step.events), step.micro_steps, int(step.complete),
                min(ids, default=None), max(ids, default=None), int(step.number in thin)))
            for device in self.devices():
                f = figures[step.number, device]
                d = writer.devices[device]
                writer.db.execute("INSERT INTO step_device VALUES (?,?,?,?,?,?,?,?,?)", (
                    step.number, d, f["start"], f["end"], f["peak"], reserved[device],
                    f["ordinal"], f["ns"], PHASES.index(f["phase"])))
                if step.number not in same:
                    writer.db.executemany("INSERT INTO step_phase VALUES (?,?,?,?,?)", [
                        (step.number, d, PHASES.index(phase), most, count)
                        for phase, (most, count) in f["phases"].items()])
            if step.number not in same:
                self._write_spans(writer.db, step)

    @staticmethod
    def _write_spans(db, step):
        last, number = None, 0
        for ordinal, event in enumerate(step.events):
            if event.phase != last:
                db.execute("INSERT INTO span VALUES (?,?,?,?,?)", (
                    step.number, number, PHASES.index(event.phase),
                    event.time_ns if number else step.start_ns, ordinal))
                last, number = event.phase, number + 1


class Writer:
    """Interns what repeats and hands out ids."""

    def __init__(self, db):
        self.db, self.devices, self.ids = db, {}, {}

    def intern(self, sql, *values):
        key = (sql,) + values
        if key not in self.ids:
            self.ids[key] = self.db.execute(sql, values).lastrowid
        return self.ids[key]

    def device(self, name):
        cuda = name.startswith("cuda")
        self.devices[name] = self.intern(
            "INSERT INTO device VALUES (NULL,?,?,?,?,?)", name, name.split(":")[0],
            "NVIDIA GeForce RTX 4090" if cuda else None, CARD if cuda else None,
            "8.9" if cuda else None)

    def stack(self, frames):
        """frames innermost first, 'file:line function'."""
        stack = None
        for frame in reversed(frames):
            place, function = frame.split(" ", 1)
            file, line = place.rsplit(":", 1)
            stack = self.intern("INSERT INTO stack VALUES (NULL,?,?)", stack, self.intern(
                "INSERT INTO frame VALUES (NULL,'python',?,?,?,NULL)", function, file,
                int(line)))
        return stack

    def site(self, s):
        return self.intern(
            "INSERT INTO site VALUES (NULL,?,NULL,?,NULL,?,?,?,NULL)", PHASES.index(s.phase),
            self.stack(s.stack),
            s.module and self.intern("INSERT INTO module VALUES (NULL,'Module',?,NULL)",
                                     s.module),
            s.op and self.intern("INSERT INTO op VALUES (NULL,?)", s.op),
            s.shape and self.intern("INSERT INTO shape VALUES (NULL,?,?)", s.shape, s.dtype))

    def allocation(self, a):
        rule = self.intern("INSERT INTO rule VALUES (NULL,?,'pointer','made up for tests')",
                           a.bucket)
        return self.db.execute(
            "INSERT INTO allocation VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (self.devices[a.device], self.site(a.site), BUCKETS.index(a.bucket), rule,
             a.bytes, a.bytes, a.address, a.born_step, a.born, a.born_ns, a.died_step,
             a.died, a.died_ns - a.born_ns if a.died_step is not None else None,
             PHASES.index(a.died_phase) if a.died_phase else None)).lastrowid


# -- training runs ---------------------------------------------------------------------

def gpt(steps=6, layers=4, leak=0, queue=0, evals=0, devices=1, before=0, hidden=768):
    """A GPT-like training. leak: bytes that each step never gives back. queue: for how
    many steps the loss is kept. evals: every n-th step is followed by an evaluation.
    Gradients and the batch of a step die in the next one, as in PyTorch."""
    r = Recording()
    names = [f"cuda:{i}" for i in range(devices)]
    for name in names:
        r.before[name] = before
    unit = 4 * hidden * hidden
    r.begin()
    parameters = []
    for layer in range(layers):
        for part, scale, shape in (("attn.weight", 4, [hidden, 4 * hidden]),
                                   ("mlp.weight", 8, [hidden, 8 * hidden])):
            for name in names:
                parameters.append(r.alloc(
                    scale * unit, "setup", "parameter", name, shape=str(shape),
                    op="aten::empty", name=f"transformer.h.{layer}.{part}",
                    stack=("model.py:31 GPT.__init__", "train.py:12 main")))
    gradients, batch, kept, state = [], [], collections.deque(), []
    for number in range(1, steps + 1):
        r.begin()
        for g in gradients:
            r.free(g, "zero_grad")
        gradients = []
        for b in batch:
            r.free(b, "data")
        batch = [r.alloc(4 * 1024 * 8 + 8, "data", "input", name, shape="[4, 1025]",
                         dtype="int64", op="aten::to", stack=("train.py:20 batches",))
                 for name in names]
        saved = []
        for layer in range(layers):
            for part, scale in (("attn", 6), ("mlp", 9)):
                for name in names:
                    t = r.alloc(3 * unit + 10001, "forward", "temporary", name,
                                module=f"transformer.h.{layer}.{part}", op="aten::mm",
                                shape=f"[4, 1024, {3 * hidden}]",
                                stack=(f"model.py:{50 + scale} Block.forward",
                                       "train.py:25 main"))
                    saved.append(r.alloc(
                        scale * unit + 20002, "forward", "activation", name,
                        module=f"transformer.h.{layer}.{part}", op="aten::mm",
                        shape=f"[4, 1024, {scale * hidden}]",
                        stack=(f"model.py:{50 + scale} Block.forward", "train.py:25 main")))
                    r.free(t, "forward")
        if queue:
            kept.append([r.alloc(512, "forward", "activation", name, op="aten::mean",
                                 shape="[]") for name in names])
            if len(kept) > queue:
                for loss in kept.popleft():
                    r.free(loss, "forward")
        if leak:
            r.alloc(leak, "forward", "activation", names[0], op="aten::clone", shape="[30]",
                    stack=("train.py:27 main",))
        for a in reversed(saved):
            t = r.alloc(a.bytes // 2, "backward", "temporary", a.device,
                        module=a.site.module, op="MmBackward0")
            r.free(a, "backward")
            r.free(t, "backward")
        for p in parameters:
            gradients.append(r.alloc(p.bytes, "backward", "gradient", p.device,
                                     shape=p.site.shape, op="AccumulateGrad"))
        if not state:
            for p in parameters:
                for moment in ("exp_avg", "exp_avg_sq"):
                    state.append(r.alloc(p.bytes, "optimizer", "optimizer", p.device,
                                         shape=p.site.shape, op="aten::zeros_like",
                                         name=f"{p.name} {moment}",
                                         stack=("adamw.py:90 AdamW.step",
                                                "train.py:30 main")))
        norm = r.alloc(512, "clip", "temporary", names[0], op="aten::norm", shape="[]")
        r.free(norm, "clip")
        t = r.alloc(unit, "optimizer", "temporary", names[0], op="aten::sqrt")
        r.free(t, "optimizer")
        if evals and number % evals == 0:
            t = r.alloc(2 * unit, "eval", "temporary", names[0], op="aten::mm")
            r.free(t, "eval")
    r.begin(complete=False, micro_steps=0)
    for g in gradients:
        r.free(g, "zero_grad")
    return r


def big(path, allocations=10_000_000, per_step=10_000):
    """Ten million allocations in raw steps, written by SQL alone: for the speed check."""
    small = gpt(steps=1)
    small.write(path)
    db = sqlite3.connect(path)
    steps = allocations // per_step
    site, device = db.execute("SELECT max(site), max(device) FROM allocation").fetchone()
    first = db.execute("SELECT max(id) FROM step").fetchone()[0] + 1
    base = db.execute("SELECT max(id) FROM allocation").fetchone()[0]
    start = db.execute("SELECT max(end_ns) FROM step").fetchone()[0]
    level = db.execute("SELECT end_allocated FROM step_device ORDER BY step DESC").fetchone()[0]
    db.executescript(f"""
        PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
        WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < {steps - 1})
        INSERT INTO step SELECT {first} + i, NULL, {start} + i * 40000000,
            {start} + (i + 1) * 40000000, {2 * per_step}, 1, 1,
            {base} + 1 + i * {per_step}, {base} + (i + 1) * {per_step}, 0 FROM s;
        INSERT INTO step_device SELECT id, {device}, {level}, {level},
            {level} + {per_step} * (65536 + 512 * (id = {first + steps // 2})),
            {level} + {per_step} * 70000, {per_step - 1}, start_ns + {per_step} * 1000, 2
            FROM step WHERE id >= {first};
        WITH RECURSIVE e(i) AS (
            SELECT 0 UNION ALL SELECT i + 1 FROM e WHERE i < {per_step - 1})
        INSERT INTO allocation SELECT {base} + 1 + (s.id - {first}) * {per_step} + i,
            {device}, 1 + i % {site}, 4, 1, 65536 + 512 * (s.id = {first + steps // 2}), 65000,
            140000000000000 + i * 66048, s.id, i, s.start_ns + i * 1000, s.id,
            {2 * per_step - 1} - i, ({2 * per_step - 1} - 2 * i) * 1000, 3
            FROM step s, e WHERE s.id >= {first} ORDER BY s.id, i;
    """)
    db.commit()
    db.close()


SCENARIOS = {
    "gpt": lambda: gpt(),
    "raw": lambda: gpt(steps=1),
    "leak": lambda: gpt(steps=9, leak=30003, queue=3),
    "evals": lambda: gpt(steps=9, evals=3, queue=2),
    "many": lambda: gpt(steps=40, layers=2, leak=30003, queue=3),
    "devices": lambda: gpt(steps=5, devices=2),
    "long": lambda: gpt(steps=1200, layers=12, leak=512),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="gpt")
    parser.add_argument("--raw", action="store_true", help="fold nothing")
    parser.add_argument("--big", type=int, metavar="N", help="N allocations, raw")
    parser.add_argument("--per-step", type=int, default=10_000, metavar="N",
                        help="with --big: how many of them in one step")
    options = parser.parse_args()
    if options.big:
        big(options.file, options.big, options.per_step)
    else:
        SCENARIOS[options.scenario]().write(options.file, fold=not options.raw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
