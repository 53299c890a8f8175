"""snapshot.py - reads a memory snapshot of PyTorch's from stdin and tells it as lines.

Part of `tidemark import`, which puts reader.py before it and starts both with `python -I -S`, little
memory and little time. What the pickle holds is checked, put in order, and told on stdout in
lines of numbers that lines.c checks again:

  T text            the next text, its bytes escaped
  F kind name file line                   the next frame; kind 0: Python's, 1: native
  K parent frame                          the next stack; parent 0: none
  B device time address bytes asked python native category    the next block; asked -1: not known
  X block time                            it was freed
  M device time address bytes piece       the next segment; piece 1: of one that grows
  N segment time                          it was given back
  O device time bytes free python native  a request was refused; free -1: not known
  P phase time    S time    a phase begins; a step ends
  I name number                           a fact for the trace
  . count                                 the end; how many lines came before
  ! sentence                              why it cannot be read

Texts, frames, stacks, blocks and segments are numbered from 1; times are microseconds since the
first of them.
"""
import bisect
import heapq
import sys

ALIGNED, SMALL, MIB = 512, 2 << 20, 1 << 20
PHASES = ("setup", "data", "forward", "backward", "recompute", "clip", "optimizer", "zero_grad",
          "eval", "other")
BUCKETS = ("parameter", "buffer", "gradient", "optimizer", "activation", "input", "temporary",
           "workspace", "communication")
DEVICES, FRAMES = 64, 512


class Teller:
    def __init__(self, out, budget):
        self.out, self.budget, self.lines = out, budget, 0
        self.texts, self.frames, self.stacks, self.known = {}, {}, {}, {}
        self.blocks = self.segments = 0
        self.start = None
        self.latest = 0

    def tell(self, *words):
        self.lines += 1
        if self.lines > self.budget:
            raise Wrong("unpacks to far more than a snapshot of its size does")
        self.out.write(" ".join(map(str, words)) + "\n")

    def time(self, us):
        self.latest = max(self.latest, us - self.start)
        return self.latest

    def number_of(self, table, key, *words):
        found = table.get(key)
        if found is None:
            found = table[key] = len(table) + 1
            self.tell(*words)
        return found

    def text(self, text):
        if type(text) is not str:
            text = "??"
        plain = "".join(c if " " < c < "\x7f" and c != "%" else
                        "".join("%%%02x" % b for b in c.encode("utf-8", "replace"))
                        for c in text[:1000])
        return self.number_of(self.texts, text[:1000], "T", plain)

    def frame(self, frame):
        name, file, line = frame.get("name"), frame.get("filename"), frame.get("line")
        line = line if type(line) is int and 0 < line < 1 << 31 else 0
        python = type(file) is str and (file.endswith(".py") or file.startswith("<")) and line
        key = (str(name)[:1000] if type(name) is str else "??",
               file[:1000] if type(file) is str else "??", line)
        found = self.frames.get(key)
        if found is None:
            words = "F", 0 if python else 1, self.text(key[0]), self.text(key[1]), line
            found = self.frames[key] = len(self.frames) + 1, not python
            self.tell(*words)
        return found

    def stack(self, frames):
        """(number of Python's stack, of the native one); 0: there is none."""
        if type(frames) is not list or not frames:
            return 0, 0
        if id(frames) in self.known:
            return self.known[id(frames)]
        made = [0, 0]
        for frame in reversed(frames[:FRAMES]):
            if type(frame) is dict:
                index, native = self.frame(frame)
                made[native] = self.number_of(self.stacks, (made[native], index), "K",
                                              made[native], index)
        self.known[id(frames)] = tuple(made)
        return self.known[id(frames)]


class Area:
    """What lies side by side: intervals by their beginning, none over another."""

    def __init__(self, what):
        self.what, self.starts, self.ends, self.held = what, [], {}, {}

    def at(self, address):
        """The beginning of the one that holds an address; None."""
        i = bisect.bisect_right(self.starts, address) - 1
        if i >= 0 and self.ends[self.starts[i]] > address:
            return self.starts[i]
        return None

    def after(self, address):
        i = bisect.bisect_right(self.starts, address)
        return self.starts[i] if i < len(self.starts) else MOST

    def put(self, address, bytes_, held):
        if self.at(address) is not None or self.after(address) < address + bytes_:
            raise Wrong(f"is damaged: two {self.what} overlap at {address:#x}")
        bisect.insort(self.starts, address)
        self.ends[address], self.held[address] = address + bytes_, held

    def take(self, address):
        i = bisect.bisect_left(self.starts, address)
        if i == len(self.starts) or self.starts[i] != address:
            return None
        del self.starts[i], self.ends[address]
        return self.held.pop(address)


class Device:
    """One device's history, told from its beginning: (time, function to call) in order."""

    def __init__(self, teller, index, segments, events, settings):
        self.teller, self.index, self.events = teller, index, events
        self.settings = settings if type(settings) is dict else {}
        self.blocks, self.segments = Area("blocks"), Area("segments")
        self.now = Area("blocks"), Area("segments")  # as they are at the end
        self.pending = {}  # freed, and still in use by a stream
        self.late = []     # of the end, made after the history ended
        for segment in dicts(segments):
            self.read_segment(segment)
        self.before = self.made_before()

    def read_segment(self, segment):
        start, size = number(segment, "address"), number(segment, "total_size", 1)
        grows = segment.get("is_expandable") is True
        self.now[1].put(start, size, grows)
        at = start
        for block in dicts(entries(segment, "blocks")):
            bytes_ = number(block, "size", 1)
            if number(block, "address", otherwise=at) != at or at + bytes_ > start + size:
                raise Wrong(f"is damaged: blocks of the segment at {start:#x} overlap "
                            "or lie outside of it")
            state = block.get("state")
            if type(state) is str and state.startswith("active"):
                self.now[0].put(at, bytes_, (block, state == "active_allocated"))
            at += bytes_

    def made_before(self):
        """Blocks that were alive before the history, and segments: (address, bytes, entry)."""
        alive, blocks = {}, {}
        mapped, segments = Area("segments"), []
        for event in dicts(self.events):
            action, address = event.get("action"), event.get("addr", 0)
            if action == "alloc":
                alive[number(event, "addr")] = True
            elif action in ("free_requested", "free_completed", "free"):
                if not alive.pop(address, False) and action != "free_completed":
                    blocks.setdefault(number(event, "addr"), event)
                elif action == "free_completed":
                    alive.pop(address, None)
            elif action in ("segment_alloc", "segment_map"):
                mapped.put(number(event, "addr"), number(event, "size", 1), None)
            elif action in ("segment_free", "segment_unmap"):
                self.unmap_before(mapped, event, segments)
        for start in self.now[1].starts:
            self.rest(mapped, start, self.now[1].ends[start], self.now[1].held[start], segments)
        self.alive_at_the_end = alive
        return blocks, segments

    @staticmethod
    def rest(mapped, start, end, grows, segments):
        """What of start..end no event has mapped was there before."""
        at = start
        while at < end:
            here = mapped.at(at)
            stop = min(end, mapped.ends[here] if here is not None else mapped.after(at))
            if here is None:
                segments.append((at, stop - at, grows))
            at = stop

    def unmap_before(self, mapped, event, segments):
        start = number(event, "addr")
        end = start + number(event, "size", 1)
        self.rest(mapped, start, end, event["action"] == "segment_unmap", segments)
        self.cut(mapped, start, end, lambda held: None, lambda at, bytes_, held: held)

    @staticmethod
    def cut(area, start, end, gone, again):
        """Takes start..end away; what of an interval is left lies there again."""
        at = start
        while at < end:
            here = area.at(at)
            if here is None:
                at = min(end, area.after(at))
                continue
            stop = area.ends[here]
            held = area.take(here)
            gone(held)
            if here < at:
                area.put(here, at - here, again(here, at - here, held))
            if stop > end:
                area.put(end, stop - end, again(end, stop - end, held))
            at = min(end, stop)

    # -- telling ---------------------------------------------------------------------------

    def tell_segment(self, us, address, bytes_, grows):
        piece = 0
        step = bytes_
        if grows:  # pieces as PyTorch maps them: 20 MiB, or 2 MiB for small blocks
            piece, step = 1, 20 * MIB if bytes_ % (20 * MIB) == 0 else 2 * MIB
        for at in range(address, address + bytes_, step):
            self.put_segment(us, at, min(step, address + bytes_ - at), piece)

    def put_segment(self, us, address, bytes_, piece):
        self.segments.put(address, bytes_, (self.say_segment(us, address, bytes_, piece), piece))

    def say_segment(self, us, address, bytes_, piece):
        t = self.teller
        t.segments += 1
        t.tell("M", self.index, t.time(us), address, bytes_, piece)
        return t.segments

    def tell_block(self, us, address, bytes_, asked, entry):
        t = self.teller
        category = entry.get("category")
        bucket = BUCKETS.index(category) if category in BUCKETS else -1
        python, native = t.stack(entry.get("frames") or history(entry).get("frames"))
        t.blocks += 1
        self.blocks.put(address, bytes_, t.blocks)
        t.tell("B", self.index, t.time(us), address, bytes_, asked, python, native, bucket)

    def begin(self, us):
        for address, bytes_, grows in self.before[1]:
            self.tell_segment(us, address, bytes_, grows)
        first = self.teller.blocks
        for address, event in self.before[0].items():
            asked = number(event, "size", 0)
            bytes_ = self.block_size(address, max(asked, 1))
            self.tell_block(us, address, bytes_, asked, {"category": event.get("category")})
        for address in list(self.now[0].starts):
            block, allocated = self.now[0].held[address]
            bytes_ = self.now[0].ends[address] - address
            if address in self.alive_at_the_end or address in self.before[0] or not allocated:
                continue
            if self.blocks.at(address) is None and self.blocks.after(address) >= address + bytes_ \
                    and not self.used_later(address, bytes_):
                self.tell_block(us, address, bytes_, asked_of(block), block)
            else:
                self.late.append((address, bytes_, block))
        self.told_before = self.teller.blocks - first

    def used_later(self, address, bytes_):
        """Does the history use these addresses for other blocks?"""
        if not hasattr(self, "touched"):
            self.touched = sorted(e["addr"] for e in self.events if e.get("action") == "alloc")
        i = bisect.bisect_left(self.touched, address)
        return i < len(self.touched) and self.touched[i] < address + bytes_

    def block_size(self, address, asked):
        """What PyTorch's allocator makes of a request at an address: it cuts off what is left of
        a free block unless that is too little (c10/cuda/CUDACachingAllocator.cpp, should_split)."""
        rounded = max(ALIGNED, -(-asked // ALIGNED) * ALIGNED)
        segment = self.segments.at(address)
        if segment is None:
            return rounded
        end = self.segments.ends[segment]
        piece = self.segments.held[segment][1]
        while piece and end < address + rounded + ALIGNED and self.segments.at(end) == end:
            end = self.segments.ends[end]
        following = self.blocks.after(address), min(
            (a for a in self.pending if a > address), default=MOST)
        room = min(end, *following) - address
        if room < asked:
            raise Wrong(f"is damaged: two blocks overlap at {address:#x}, or one ends "
                        "outside its segment")
        small = piece or end - segment <= SMALL
        left = room - rounded
        most = self.settings.get("max_split_size", -1)
        split = left >= ALIGNED if small else left > MIB and not 0 <= most <= rounded
        return rounded if split else room

    def alloc(self, us, event):
        address, asked = number(event, "addr"), number(event, "size")
        self.pending.pop(address, None)
        bytes_ = self.block_size(address, asked)
        self.tell_block(us, address, bytes_, event.get("requested_size", asked), event)

    def free(self, us, event):
        address = number(event, "addr")
        block = self.blocks.take(address)
        if block is not None:
            self.pending[address] = True
            self.teller.tell("X", block, self.teller.time(us))
        if event["action"] != "free_requested":
            self.pending.pop(address, None)

    def unmap(self, us, event):
        start = number(event, "addr")
        t = self.teller
        self.cut(self.segments, start, start + number(event, "size", 1),
                 lambda held: t.tell("N", held[0], t.time(us)),
                 lambda at, bytes_, held: (self.say_segment(us, at, bytes_, held[1]), held[1]))

    def refuse(self, us, event):
        t = self.teller
        python, native = t.stack(event.get("frames"))
        t.tell("O", self.index, t.time(us), number(event, "size"),
               number(event, "device_free", -1, otherwise=-1), python, native)

    def happen(self, us, event):
        action = event.get("action")
        if action == "alloc":
            self.alloc(us, event)
        elif action in ("free_requested", "free_completed", "free"):
            self.free(us, event)
        elif action in ("segment_alloc", "segment_map"):
            self.tell_segment(us, number(event, "addr"), number(event, "size", 1),
                              action == "segment_map")
        elif action in ("segment_free", "segment_unmap"):
            self.unmap(us, event)
        elif action == "oom":
            self.refuse(us, event)

    def end(self, us):
        """The snapshot's own list is what is alive: it is right where the history stopped early."""
        for address in list(self.blocks.starts):
            if address not in self.now[0].held or not self.now[0].held[address][1]:
                self.teller.tell("X", self.blocks.take(address), self.teller.time(us))
        for address, bytes_, block in self.late:
            if self.blocks.at(address) is None and self.blocks.after(address) >= address + bytes_:
                self.tell_block(us, address, bytes_, asked_of(block), block)
        for address, (block, allocated) in self.now[0].held.items():
            if allocated and address not in self.blocks.ends:
                raise Wrong(f"is damaged: the block at {address:#x} is alive and overlaps others")


def history(block):
    """Snapshots up to PyTorch 2.0 have a block's stack and request in there."""
    past = block.get("history")
    return past[0] if type(past) is list and past and type(past[0]) is dict else {}


def asked_of(block):
    asked = block.get("requested_size", history(block).get("real_size", -1))
    return asked if type(asked) is int and 0 <= asked <= MOST else -1


class Marks(list):
    own = False  # tidemark's own steps, from an export


def when(annotation):
    return number(annotation, "time_us"), 0 if annotation["stage"] == "START" else 2


def phases(annotations):
    """((time, order), 'P', phase) and (..., 'S'): a step ends where an optimizer's step does, or where
    an export of tidemark says so. In one microsecond what starts comes before events, what ends
    after them."""
    named = [a for a in dicts(annotations) if a.get("stage") in ("START", "END")
             and type(a.get("name")) is str]
    named.sort(key=when)
    first = min((number(a, "device", -1) for a in named), default=0)
    own = any(a["name"].startswith("step ") for a in named)
    open_ = []
    for a in named:
        name, us, start = a["name"], when(a), a["stage"] == "START"
        if a["device"] != first:
            continue
        phase = PHASES.index(name) if name in PHASES else \
            6 if name.startswith("Optimizer.step#") else \
            7 if name.startswith("Optimizer.zero_grad#") else None
        if phase is None:
            if own and name.startswith("step ") and not start:
                yield us, "S", None
            continue
        if start:
            open_.append(phase)
        elif phase in open_:
            del open_[len(open_) - 1 - open_[::-1].index(phase)]
        yield us, "P", open_[-1] if open_ else 9
        if phase == 6 and not start and not own:
            yield us, "S", None


def timed(device, events):
    """Events with times that never go back; an old snapshot has none, and then they are counted."""
    latest = 0
    for event in dicts(events):
        latest = max(latest, number(event, "time_us", otherwise=0) or latest + 1)
        yield latest, 1, device, event


def tell(snapshot, teller):
    segments = entries(snapshot, "segments")
    traces = snapshot.get("device_traces", [])
    annotations = snapshot.get("external_annotations", [])
    if type(traces) is not list or len(traces) > DEVICES or type(annotations) is not list:
        raise Wrong("is not a memory snapshot of PyTorch: its 'device_traces' is not a list")
    of = {}
    for segment in dicts(segments):
        of.setdefault(number(segment, "device", 0, DEVICES - 1), []).append(segment)
    marks = Marks(phases(annotations))
    marks.own = any(type(a.get("name")) is str and a["name"].startswith("step ")
                    for a in dicts(annotations))
    devices = {}
    streams = []
    for index in sorted(set(of) | {i for i, t in enumerate(traces) if t}):
        events = traces[index] if index < len(traces) else []
        if type(events) is not list:
            raise Wrong("is damaged: the trace of a device is not a list")
        devices[index] = Device(teller, index, of.get(index, []), events,
                                snapshot.get("allocator_settings"))
        streams.append(timed(index, events))
    streams.append((*at, kind, phase) for at, kind, phase in since_the_history(marks, traces))
    begun = False
    us = 0
    for us, order, what, more in heapq.merge(*streams, key=lambda entry: entry[:2]):
        if not begun:
            begin(teller, devices, us, marks)
            begun = True
        if order == 1:
            devices[what].happen(us, more)
        elif what == "P":
            teller.tell("P", more, teller.time(us))
        else:
            teller.tell("S", teller.time(us))
    if not begun:
        begin(teller, devices, us, marks)
    for device in devices.values():
        device.end(us)
    facts(teller, devices, marks, traces, snapshot.get("allocator_settings"))


def since_the_history(marks, traces):
    """Annotations go back further than a ring of events: of those before it the last phase holds."""
    firsts = [number(t[0], "time_us", otherwise=0) for t in traces if t and type(t[0]) is dict]
    since = min(firsts, default=MOST)
    if marks.own:
        return marks
    before = [mark for mark in marks if mark[0][0] < since]
    held = [((since, 0), "P", mark[2]) for mark in before if mark[1] == "P"][-1:]
    return (held if firsts else []) + marks[len(before):]


def begin(teller, devices, us, marks):
    teller.start = us
    teller.tell("I", "started_us", us)
    for device in devices.values():
        device.begin(us)
    if any(kind == "S" for _, kind, _ in marks) and not marks.own:
        teller.tell("S", 0)  # step 0 is what was before; the first optimizer's step ends step 1


def facts(teller, devices, marks, traces, settings):
    settings = settings if type(settings) is dict else {}
    teller.tell("I", "before", sum(d.told_before for d in devices.values()))
    teller.tell("I", "cut", int(any(d.told_before or d.before[1] for d in devices.values())))
    teller.tell("I", "late", sum(len(d.late) for d in devices.values()))
    teller.tell("I", "annotated", int(bool(marks)))
    teller.tell("I", "history", sum(len(t) for t in traces if type(t) is list))
    rounding = settings.get("roundup_power2_divisions")
    teller.tell("I", "rounded", int(type(rounding) is dict and any(rounding.values())))


def main():
    size = int(sys.argv[1])
    out = sys.stdout
    try:
        snapshot, unpacked = load(io.BufferedReader(io.FileIO(0), 1 << 20), size)
        teller = Teller(out, unpacked // 4 + 1000)
        tell(snapshot, teller)
        out.write(f". {teller.lines}\n")
    except Wrong as e:
        out.write(f"! {e}\n")
    except MemoryError:
        out.write("! takes more memory to read than a snapshot of its size does\n")
    except (EOFError, gzip.BadGzipFile):
        out.write("! is truncated\n")
    except pickle.UnpicklingError as e:
        out.write("! is truncated\n" if "truncated" in str(e) else "! is not a sound pickle\n")
    except Exception as e:
        out.write(f"! is damaged: {type(e).__name__}\n")
    out.flush()


main()
