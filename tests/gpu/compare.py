"""Lay two folders of recordings (record.py) side by side.

usage: compare.py [--markdown] REAL SIMULATED
       compare.py --card DEVICES REAL       the card whose profile has the GPU's name
Exit status 1 where an allocation, a peak or a refusal differs.
"""
import argparse, difflib, glob, json, os, re, sys


def load(folder):
    found = {os.path.basename(path)[:-5]: json.load(open(path))
             for path in glob.glob(os.path.join(folder, "*.json"))}
    if not found:
        sys.exit(f"compare: no recordings in '{folder}'")
    return found


def differences(real, simulated):
    """How many sizes stand in one sequence alone, and the first place where they part."""
    if real is None or simulated is None:
        return None, None
    start = 0
    while start < min(len(real), len(simulated)) and real[start] == simulated[start]:
        start += 1
    end = 0
    while (end < min(len(real), len(simulated)) - start
           and real[-1 - end] == simulated[-1 - end]):
        end += 1
    a, b = real[start:len(real) - end], simulated[start:len(simulated) - end]
    same = sum(m.size for m in difflib.SequenceMatcher(None, a, b, False).get_matching_blocks())
    first = None if not a and not b else (start, a[:1], b[:1])
    return len(a) + len(b) - 2 * same, first


def mib(n):
    return f"{n / 2**20:,.1f}"


def rows(real, simulated):
    """For each workload: cells of the table, and whether everything but the device's own
    figure is equal (that one holds the context and other processes)."""
    for name in sorted(real.keys() | simulated.keys()):
        if name not in real or name not in simulated:
            yield [name, "only " + ("real" if name in real else "simulated")] + [""] * 6, False
            continue
        r, s = real[name], simulated[name]
        apart, _ = differences(r["allocations"], s["allocations"])
        segments, _ = differences(r["segments"], s["segments"])
        count = "no history" if apart is None else f"{len(r['allocations'])} / {apart}"
        pairs = [f"{mib(r[k])} / {mib(s[k])}" for k in ("allocated", "reserved", "device")]
        beyond = [x["device"] - x["context"] for x in (r, s)]
        refusal = "" if not (r["refused"] or s["refused"]) else \
            "same" if r["refused"] == s["refused"] else f"{r['refused']} / {s['refused']}"
        same = (not apart and not segments and r["refused"] == s["refused"]
                and all(r[k] == s[k] for k in ("allocated", "reserved")))
        yield [name, count, "" if segments is None else f"{len(r['segments'])} / {segments}",
               *pairs, mib(beyond[0] - beyond[1]), refusal], same


HEADS = ["workload", "allocations / differ", "segments / differ", "allocated MiB",
         "reserved MiB", "device MiB", "beside context", "refused"]


def table(cells, markdown):
    lines = [HEADS, *cells]
    if markdown:
        lines.insert(1, ["---"] * len(HEADS))
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip()
                     for line in lines)


def card(devices, real):
    one = next(iter(load(real).values()))
    found = {}
    for path in sorted(glob.glob(os.path.join(devices, "*.conf"))):
        text = open(path).read()
        if re.search(rf"^name *= *{re.escape(one['gpu'])} *(#.*)?$", text, re.M):
            memory = int(re.search(r"^memory_bytes *= *(\d+)", text, re.M)[1])
            found[abs(memory - one["total"])] = os.path.basename(path)[:-5]
    if not found:
        sys.exit(f"compare: no card's profile has the name '{one['gpu']}'")
    return found[min(found)]  # an RTX 3080 has 10 or 12 GB


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--markdown", action="store_true")
    p.add_argument("--card", metavar="DEVICES")
    p.add_argument("folders", nargs="+")
    o = p.parse_args()
    if o.card:
        print(card(o.card, o.folders[0]))
        return 0
    real, simulated = map(load, o.folders)
    for side, runs in (("real", real), ("simulated", simulated)):
        one = next(iter(runs.values()))
        print(f"{side}: {one['gpu']}, {mib(one['total'])} MiB, PyTorch {one['torch']}"
              + ("  " if o.markdown else ""))
    print("pairs are real / simulated; 'beside context' is the difference of what the device "
          "held\nbesides what it held once the context was there, in MiB\n")
    cells, equal = zip(*rows(real, simulated))
    print(table(cells, o.markdown))
    for name in sorted(real.keys() & simulated.keys()):
        _, first = differences(real[name]["allocations"], simulated[name]["allocations"])
        if first:
            print(f"{name}: the allocations part at number {first[0]}: {first[1]} / {first[2]}")
    print(f"\n{sum(equal)} of {len(equal)} workloads equal in every allocation, segment, "
          "peak and refusal")
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
