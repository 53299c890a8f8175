"""run.py [--only TEXT] [--modes LIST] [--again] [--docs FILE] - every workload against the oracle.

Each workload is run under trace with the oracle inside, and again with Python enrichment
off, with hooks for saved tensors, under torch.profiler, under MemTracker, and on the CPU: one
mode of all workloads after the other. What each run said is kept under build/accuracy (--again
makes them anew); docs/accuracy.md is written from that. Exit status 1 if the trace differs
from the oracle where CAUSES names no cause.
"""
import argparse
import collections
import datetime
import json
import re
import subprocess
import sys
import time

import answer
import runs

MODES = ("trace", "without Python", "saved", "profiler", "tracker", "cpu")
BUCKETS = ("parameter", "gradient", "optimizer", "buffer", "input", "rest", "total")
STEPS = "steps=3"  # of the runs beside: the same first three steps
ON_CPU = ("parameter", "gradient", "optimizer", "buffer")  # what Python can count there

#: by a part of the workload's name: what needs a CUDA device
NO_CPU = {"DDP": "NCCL", "FSDP": "NCCL", "fp16": "a CUDA device",
          "capturable": "a CUDA device", "bitsandbytes": "a CUDA device"}

#: why a row differs, by workload; whoever adds one has looked at the allocations
CAUSES = {
    "Llama, HF Trainer": "the Trainer's running loss (one scalar, 512 bytes) is made in setup "
    "and is no parameter or buffer: the trace calls it input, the oracle knows the batch alone",
    "Llama, 4-bit QLoRA (bitsandbytes)": "bitsandbytes keeps the code table of its last "
    "quantised scales (1,024 bytes) in a dictionary of its own; made in setup and no parameter: "
    "the trace calls it input",
}

#: why activations differ from what was saved, by a part of the workload's name
SAVED_CAUSES = {
    "GradScaler": "the scaler's scale and growth tracker (two scalars) are made between forward "
    "and backward, and kept",
    "FSDP": "autograd also saves the gathered parameters, which the trace calls communication",
    "Trainer": "the loss before it was divided (one scalar), held by the Trainer",
    "Lightning": "the closure's loss, divided and cloned (two scalars), held by Lightning",
}


def one(name, mode, folder):
    """What a run of this mode said: {"answers"}, {"moments"} or {"why"} it could not."""
    try:
        if mode == "trace":
            answers, losses = runs.compared(name, folder)
            truth = json.loads((folder / "truth.json").read_text())
            return {"answers": answers, "losses": losses, "moments": bare(truth),
                    "reconcile": runs.reconciled(folder / "t.db")}
        if mode == "cpu":
            for part, need in NO_CPU.items():
                if part in name:
                    return {"why": f"needs {need}"}
            answers, losses = runs.compared(name, folder, device="cpu")
            return {"answers": answers, "losses": losses}
        if mode == "without Python":
            answers, losses = runs.compared(name, folder, TIDEMARK_ENRICH="0")
            return {"answers": answers, "losses": losses}
        truth, _ = runs.run(name, folder, mode=mode, words=[STEPS])
        return {"moments": bare(truth)}
    except runs.Missing as missing:
        return {"why": str(missing), "missing": True}
    except subprocess.TimeoutExpired as late:
        return {"why": f"no answer in {late.timeout:.0f} s"}
    except Exception as error:
        return {"why": f"{type(error).__name__}: {error}"[:300]}


def bare(truth):
    return [m and {k: v for k, v in m.items() if k != "blocks"} for m in truth["moments"]]


def worst(pairs):
    """The difference that is furthest from 0."""
    return max((a - b for a, b in pairs), key=abs, default=None)


def differences(answers):
    return {b: worst(a[b] for a in answers if b in a) for b in BUCKETS}


def activations(result):
    """[(the trace's activations after a forward, what autograd saved and Python holds)]"""
    saved = [m for m in result["saved"].get("moments", ()) if m["kind"] == "forward"]
    found = [a for a in result["trace"]["answers"] if a["at"] == "forward"]
    return [(a["parts"]["activation"], s["saved"] + s["output"]) for a, s in zip(found, saved)]


def tool(result, mode):
    """{bucket: worst difference} of another tool from the oracle at the same moments."""
    names = {"optimizer": ("optimizer_state", "optstate")}
    pairs = {b: [] for b in ("parameter", "gradient", "optimizer", "activation")}
    for i, (told, truth) in enumerate(zip(result[mode]["moments"], result["trace"]["moments"])):
        if told is None:
            continue
        for bucket in ("parameter", "gradient", "optimizer"):
            said = sum(told["categories"].get(n, 0) for n in names.get(bucket, (bucket,)))
            pairs[bucket].append((said, truth[bucket]))
        if truth["kind"] == "forward" and "moments" in result["saved"]:
            saved = result["saved"]["moments"][i]
            pairs["activation"].append(
                (told["categories"].get("activation", 0), saved["saved"] + saved["output"]))
    return {bucket: worst(p) for bucket, p in pairs.items()}


def bytes_text(n):
    return "–" if n is None else f"{n:,}".replace("-", "−")


def detail_rows(name, answers):
    """Bucket by bucket at the peak, with the worst of all other moments."""
    peak = next(a for a in answers if a["at"] == "peak")
    for bucket in BUCKETS:
        measured, truth = peak[bucket]
        most = worst(a[bucket] for a in answers)
        yield (f"| {name} | {bucket} | {bytes_text(measured)} | {bytes_text(truth)} | "
               f"{bytes_text(measured - truth)} | {len(answers)} | {bytes_text(most)} |")
        name = ""


def ran_beside(result):
    return any(result[mode].get("why") != "not run"
               for mode in ("without Python", "profiler", "tracker"))


def tool_row(name, result):
    cells = [name]
    plain = result["without Python"]
    if "why" in plain:
        cells.append(plain["why"])
    else:
        found = {b: d for b, d in differences(plain["answers"]).items() if d}
        cells.append(", ".join(f"{b} {bytes_text(d)}" for b, d in found.items()) or "0")
    for mode in ("profiler", "tracker"):
        if "why" in result[mode]:
            cells.append(result[mode]["why"].replace("|", "/").split(". ")[0])
        else:
            cells.append(" / ".join(bytes_text(d) for d in tool(result, mode).values()))
    return "| " + " | ".join(cells) + " |"


HEAD = """# How exact the buckets are

Written by `tests/accuracy/run.py` on {date}: PyTorch {torch} on the simulated A100-80GB
(`docs/simulator.md`; not a real card), Python {python}{libraries}. The command that prints it:

    tests/accuracy/run.py --again --docs docs/accuracy.md

An oracle inside each traced process (`tests/accuracy/oracle.py`) counts the allocator's blocks
that hold parameters, gradients, optimizer state, buffers and the batch, after every forward,
backward and optimizer step; the trace of the run is asked for the same moments and for the
peak. A block is for its whole life what it is at any moment (a gradient's block is one also
while the backward is filling it). *rest* is what is allocated and none of these: activations,
temporaries, workspaces, communication. All sizes are bytes of blocks.

{summary}

## Bucket by bucket
*worst* is the difference furthest from 0 at any of the *moments* (the peak is one of them).

| workload | bucket | at the peak: trace | oracle | difference | moments | worst |
|---|---|--:|--:|--:|--:|--:|
"""

RECONCILE = """
## Every byte of the difference from the formula
`tidemark reconcile` at the peak of the same traces: what the formula says (`docs/formula.md`),
what was allocated, what is left when every cause is taken off, and the kinds of causes, the
largest first.

| workload | formula | allocated | unexplained | causes |
|---|--:|--:|--:|---|
"""

TOOLS = """
## Activations
What the trace calls activation after a forward, beside the blocks that
`torch.autograd.graph.saved_tensors_hooks` saw saved in a twin run, with the results that the
program itself holds. The last forward of the twin; worst of all its forwards.

{causes}

| workload | trace | saved and held | worst difference |
|---|--:|--:|--:|
{activations}

## Without Python, and other tools
The worst differences from the oracle at the same moments. *without Python*: the trace with
`TIDEMARK_ENRICH=0`. The two tools: parameter / gradient / optimizer / activation, each the
tool's category of that name. They count what tensors need, the oracle counts blocks: some
hundred bytes a tensor are rounding. Where a tool gave nothing, its error stands there. Of a
compiled model torch.profiler sees the steps from the second on: it keeps every Python frame, and
those of compiling in the first are more than it gets through in ten minutes.

| workload | without Python | torch.profiler | MemTracker |
|---|---|---|---|
"""


CPU = """
## On the CPU
The same trainings on CPU tensors, with PyTorch {torch}: the worst differences in what Python
can count there (the CPU has no allocator that could be asked for the rest).

| workload | moments | {buckets} |
|---|--:|{lines}|
"""


def versions():
    import importlib.metadata as metadata
    found = []
    for name in ("transformers", "peft", "accelerate", "lightning", "bitsandbytes",
                 "torchvision", "triton"):
        hits = list(metadata.distributions(name=name, path=[str(runs.LIBRARIES)]))
        found += [f"{name} {hits[0].version}"] if hits else []
    return "".join(f", {f}" for f in found)


def activation_row(name, pairs):
    measured, saved = pairs[-1]
    return (f"| {name} | {bytes_text(measured)} | {bytes_text(saved)} | "
            f"{bytes_text(worst(pairs))} |")


def reconcile_row(name, device):
    inside = device["rows"][:9]
    kinds = collections.Counter()
    for row in inside:
        for cause in row["causes"]:
            kinds[cause["kind"]] += abs(cause["bytes"])
    formula = sum(row["predicted_bytes"] for row in inside)
    return (f"| {name} | {bytes_text(formula)} | {bytes_text(device['allocated_bytes'])} | "
            f"{bytes_text(device['unexplained_bytes'])} | "
            f"{', '.join(kind for kind, _ in kinds.most_common())} |")


def cpu_row(name, result):
    found = differences(result["answers"])
    cells = [name, str(len(result["answers"])), *(bytes_text(found[b]) for b in ON_CPU)]
    return "| " + " | ".join(cells) + " |"


def cpu_section(results):
    """Nothing where no workload ran there; the others with what they need."""
    ran = {n: r["cpu"] for n, r in results.items() if "answers" in r["cpu"]}
    if not ran:
        return ""
    torch = subprocess.run([runs.PYTHON, "-c", "import torch; print(torch.__version__)"],
                           text=True, capture_output=True, check=True).stdout.strip()
    text = CPU.format(torch=torch, buckets=" | ".join(ON_CPU), lines="|".join(["--:"] * 4))
    text += "\n".join(cpu_row(n, r) for n, r in ran.items()) + "\n"
    reasons = collections.defaultdict(list)
    for name, result in results.items():
        if name not in ran:
            reasons[result["cpu"]["why"]].append(name)
    for why, names in reasons.items():
        because = "" if why == "not run" else f" ({why})"
        text += f"\nNot run there{because}: {'; '.join(names)}.\n"
    return text


def document(results):
    done = {n: r for n, r in results.items() if "answers" in r["trace"]}
    exact = [n for n in done if not any(differences(done[n]["trace"]["answers"]).values())]
    moments = sum(len(r["trace"]["answers"]) for r in done.values())
    lines = [f"**{len(exact)} of {len(done)} workloads agree to the byte in every bucket at "
             f"every moment ({moments} moments).** {len(results) - len(done)} were not run."]
    for name, result in results.items():
        if name not in done:
            lines.append(f"- {name}: not run, {result['trace']['why']}")
        elif name not in exact:
            lines.append(f"- {name}: {CAUSES.get(name, 'cause not found yet')}.")
        if any(result["trace"].get("losses", {}).values()):
            lines.append(f"- {name}: the trace counts losses, {result['trace']['losses']}.")
    text = HEAD.format(date=datetime.date.today(), torch=torch_version(),
                       python=".".join(map(str, sys.version_info[:3])), libraries=versions(),
                       summary="\n".join(lines))
    text += "\n".join(row for n, r in done.items() for row in detail_rows(n, r["trace"]["answers"]))
    text += "\n" + RECONCILE + "\n".join(
        reconcile_row(n, r["trace"]["reconcile"]) for n, r in done.items()) + "\n"
    pairs = {n: activations(r) for n, r in done.items()}
    causes = [f"- {part}: {why}." for part, why in SAVED_CAUSES.items()
              if any(part in n and p and worst(p) for n, p in pairs.items())]
    causes += [f"- {n}: cause not found yet." for n, p in pairs.items()
               if p and worst(p) and not any(part in n for part in SAVED_CAUSES)]
    text += "\n" + TOOLS.format(causes="\n".join(causes), activations="\n".join(
        activation_row(n, p) for n, p in pairs.items() if p))
    return text + "\n".join(tool_row(n, r) for n, r in done.items() if ran_beside(r)) + "\n" + (
        "" if all(map(ran_beside, done.values())) else
        "\nWorkloads that are not in this table were not run beside.\n") + cpu_section(results)


def files(name, mode):
    """(folder of the run, file of what it said)"""
    plain = ["".join(c if c.isalnum() else "-" for c in text) for text in (name, mode)]
    folder = runs.BUILD.parent / "accuracy" / plain[0] / plain[1]
    return folder, folder.with_suffix(".json")


def kept_or(name, mode, otherwise):
    kept = files(name, mode)[1]
    return json.loads(kept.read_text()) if kept.exists() else otherwise


def watch(name, mode, again):
    """One run, or what is kept of it."""
    folder, kept = files(name, mode)
    if kept.exists() and not again:
        return kept_or(name, mode, None)
    result = one(name, mode, folder)
    if not result.get("missing"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(result))
    for leftover in folder.glob("t.db*"):
        leftover.unlink()
    return result


def verdict(name, result):
    if "answers" not in result:
        return result.get("why", "done")
    found = {b: d for b, d in differences(result["answers"]).items() if d}
    return f"differs, {found}" if found else "agrees"


def torch_version():
    text = (runs.pathlib.Path(runs.TORCH) / "torch" / "version.py").read_text()
    return re.search(r"__version__ = '([^']*)'", text)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="workloads whose name has this")
    parser.add_argument("--again", action="store_true", help="also what was run before")
    parser.add_argument("--docs", help="write the document there")
    parser.add_argument("--modes", default=",".join(MODES), help="of " + ", ".join(MODES))
    options = parser.parse_args()
    names = [n for n in runs.WORKLOADS if options.only in n]
    results = {n: {m: kept_or(n, m, {"why": "not run"}) for m in MODES} for n in names}
    for mode in filter(None, options.modes.split(",")):
        for i, name in enumerate(names):
            began = time.time()
            result = results[name][mode] = watch(name, mode, options.again)
            print(f"{mode} [{i + 1}/{len(names)}] {name}: {verdict(name, result)} "
                  f"({time.time() - began:.0f} s)", flush=True)
    failed = [n for n in names if n not in CAUSES and not results[n]["trace"].get("missing")
              and verdict(n, results[n]["trace"]) != "agrees"]
    if options.docs:
        with open(options.docs, "w") as file:
            file.write(document(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
