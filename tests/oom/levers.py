#!/usr/bin/env python3
"""levers.py - does the advice of `tidemark oom` come true?

Each program of tests/oom/programs is run on the simulated device with the memory that its
head names, and must run out of it there. What `tidemark oom` then says is held against runs:
every lever that the script can apply is applied (or, where it cannot, `tidemark simulate --with`),
and the script is run again with the same memory. docs/advice.md says what the columns mean;
--write puts the table there.

The head of a program is comments:
  # memory: 6GiB                          as `tidemark simulate --memory` takes it
  # cause: a sentence
  # fix: no_grad stop_leak                what is known to make it fit; any one of them
  # levers: no_grad smaller_batch=64      what the script applies for LEVER=id or LEVER=id=VALUE;
                                          after the sign: what it has without a lever.
                                          VALUE of accumulate: micro-batches in a step
  # simulate: --rank 0 --world 4          more words for `tidemark simulate` (may be missing)

What a run said is kept under the build folder, by the script's text, the simulated device's source
and, where the trace is read, the library's: changes under analysis/ need no new runs but those of
levers that were not named before. The files of another build folder may be copied there.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import where  # noqa: E402

TORCH = where.CACHE / "torch-2.11.0"
KEPT = where.BUILD / "levers"
PAGE = where.ROOT / "docs" / "advice.md"
BEGIN, END = "<!-- levers.py writes from here -->", "<!-- to here -->"
SIGN = {"fits": "✓", "short": "✗", "unknown": "?"}

HEAD = re.compile(r"^# (memory|cause|fix|levers|simulate): *(.*)$", re.M)

#: the words of traces read by a `tidemark oom` that gives no ids
OLD_NAMES = {"stop the leak": "stop_leak", "free gradients": "zero_grad_first",
             "raise the limit": "raise_limit", "free the device": "free_device",
             "8-bit optimizer": "8bit_optimizer"}

#: levers: {id: Way}; words are for `tidemark simulate`
Program = collections.namedtuple("Program", "name path memory cause fixes levers words")
#: how a lever is applied: {variable: text}, words for the script, "{}" for the value in both;
#: and the value without a lever
Way = collections.namedtuple("Way", "env arguments value", defaults=({}, (), None))

#: applied from outside the script, whatever its head says
OUTSIDE = {"expandable_segments": Way({"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"})}

#: what `tidemark simulate --with` can do where the script cannot
WITH = ("foreach_off", "fused_optimizer", "8bit_optimizer", "bf16_autocast", "smaller_batch",
        "chunked_loss", "flash_attention")


# ------------------------------------------------------------------ programs

def from_head(path):
    head = dict(HEAD.findall(path.read_text()))
    levers = {}
    for word in head.get("levers", "").split():
        name, _, value = word.partition("=")
        levers[name] = Way({"LEVER": f"{name}={{}}" if value else name},
                           value=int(value) if value else None)
    return Program(path.stem, path, head["memory"], head.get("cause", ""),
                   head.get("fix", "").split(), levers, shlex.split(head.get("simulate", "")))


def from_list(folder, listed):
    """Programs without heads of ours: the file has name -> {memory, cause, fix, levers}."""
    for name, entry in json.loads(listed.read_text()).items():
        levers = {lever: Way(**way) for lever, way in entry.get("levers", {}).items()}
        yield Program(name, folder / f"{entry.get('file', name)}.py", entry["memory"],
                      entry.get("cause", ""), entry.get("fix", "").split(), levers,
                      shlex.split(entry.get("simulate", "")))


def programs(options):
    folder = pathlib.Path(options.folder).resolve() if options.folder else HERE / "programs"
    if options.heads:
        found = list(from_list(folder, pathlib.Path(options.heads)))
    else:
        found = [from_head(p) for p in sorted(folder.glob("*.py"))
                 if re.search(r"^# memory:", p.read_text(), re.M)]
    chosen = [p for p in found if not options.only or any(w in p.name for w in options.only)]
    if not chosen:
        sys.exit(f"levers.py: no program in {folder}"
                 + (f" with {' or '.join(options.only)} in its name" if options.only else ""))
    return chosen


# ------------------------------------------------------------------ runs, and what is kept of them

def digest(*parts):
    one = hashlib.sha256()
    for part in parts:
        part = part if isinstance(part, bytes) else repr(part).encode()
        one.update(len(part).to_bytes(8, "little") + part)
    return one.hexdigest()[:20]


def version_of(*names):
    """What these files and folders of the source hold, as one word."""
    files = sorted(p for name in names for p in [where.ROOT / name, *(where.ROOT / name).rglob("*")]
                   if p.is_file() and p.suffix != ".pyc")
    return digest(*[str(p.relative_to(where.ROOT)) for p in files],
                  *[p.read_bytes() for p in files])


class Runs:
    def __init__(self, again, kept_only=False):
        self.kept_only = kept_only
        self.device = version_of("simulator")
        self.library = version_of("tracer", "hooks", "schema.sql")
        self.again = again
        self.made = 0
        self.lock = threading.Lock()
        KEPT.mkdir(parents=True, exist_ok=True)

    def run(self, program, memory, setting, trace=False):
        """{fits, peak, status, error?}; with `trace` also the trace's place."""
        env, words, arguments = setting
        key = digest(HEAD.sub("", program.path.read_text()), sorted(env.items()), memory,
                     [*words, *arguments], self.device, TORCH.name,
                     self.library if trace else None)
        kept, db = KEPT / f"{program.name}-{key}.json", KEPT / f"{program.name}-{key}.db"
        if kept.exists() and not self.again and (not trace or db.exists()):
            return json.loads(kept.read_text()) | {"trace": str(db)}
        if self.kept_only:
            return {"fits": False, "peak": None, "status": None, "error": "not run yet",
                    "trace": str(db)}
        with tempfile.TemporaryDirectory(prefix="levers.") as folder:
            result = self.start(program, memory, setting, pathlib.Path(folder))
            if trace and (pathlib.Path(folder) / "a.db").exists():
                shutil.move(f"{folder}/a.db", db)
        with self.lock:
            self.made += 1
        if "error" not in result or "--with" in words:
            kept.write_text(json.dumps(result))
        return result | {"trace": str(db)}

    def start(self, program, memory, setting, folder):
        env, words, arguments = setting
        command = [where.COMMAND, "simulate", "--gpu", "a100-80gb",
                   *(["--memory", memory] if memory else []), *words,
                   "-o", folder / "a.db", "--json", folder / "a.json",
                   "--", where.PYTHON, program.path, *arguments]
        try:
            done = subprocess.run(
                command, cwd=folder, text=True, timeout=900,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env=where.clean_environment(
                    PYTHONPATH=f"{TORCH}:{where.LIBRARIES}", PYTHONDONTWRITEBYTECODE=1,
                    HF_HUB_OFFLINE=1, TMPDIR=folder, **env))
        except subprocess.TimeoutExpired:
            return {"fits": False, "peak": 0, "status": None, "error": "took over 900 seconds"}
        try:
            gpu = json.loads((folder / "a.json").read_text())["gpus"][0]
        except (OSError, ValueError, IndexError):
            gpu = {}
        result = {"fits": done.returncode == 0 and gpu.get("verdict") == "fits",
                  "peak": gpu.get("peak_allocated_bytes"), "status": done.returncode}
        if not result["fits"] and gpu.get("verdict") != "does not fit":
            lines = [x for x in done.stderr.splitlines() if x.strip()]
            error = next((x for x in reversed(lines) if "Error" in x),
                         lines[-1] if lines else f"exit status {done.returncode}")
            result["error"] = error[:160]
        return result


# ------------------------------------------------------------------ one program

def oom_of(trace):
    done = subprocess.run([where.COMMAND, "oom", trace, "--json"], capture_output=True, text=True,
                          timeout=300, env=where.clean_environment(LC_ALL="C"))
    if done.returncode:
        raise RuntimeError(f"tidemark oom: {done.stderr.strip()}")
    events = json.loads(done.stdout)["events"]
    fatal = [e for e in events if e.get("fatal")]
    return (fatal or events or [None])[-1]


def lever_id(lever):
    return lever.get("id") or OLD_NAMES.get(lever["lever"], lever["lever"].replace(" ", "_"))


def lever_value(lever, base):
    """The number that the lever's change names; None: none."""
    if lever.get("value") is not None:
        return int(lever["value"])
    change = lever.get("change", "")
    if number := re.search(r"\b(\d+) instead of \d+", change):
        return int(number[1])
    if share := re.search(r"shorter by (\d+) %", change):
        return int((base or 0) * (100 - int(share[1])) / 100) or None
    return None


def how(program, name, value):
    """(environment, words for simulate, words for the script) with a lever; None: no way to."""
    words = program.words
    if name == "free_device" and "--outside" in words:
        at = words.index("--outside")
        return {}, words[:at] + words[at + 2:], []
    way = program.levers.get(name) or OUTSIDE.get(name)
    texts = [*way.env.values(), *way.arguments] if way else []
    if not way or (value is None and any("{}" in text for text in texts)):
        return None
    return ({key: text.format(value) for key, text in way.env.items()}, words,
            [text.format(value) for text in way.arguments])


def applied_from_outside(program, name, value):
    """The same, by `tidemark simulate --with`."""
    if name not in WITH or (name == "smaller_batch" and value is None):
        return None
    word = f"{name}={value}" if name == "smaller_batch" else name
    return {}, ["--with", word, *program.words], []


def held_against(runs, program, rank, lever, need):
    name = lever_id(lever)
    value = lever_value(lever, program.levers.get(name, Way()).value)
    mark = lever.get("mark") or ("fits" if lever.get("enough") else "short")
    row = {"id": name, "value": value, "mark": mark, "rank": rank, "change": lever.get("change"),
           "why": lever.get("why"), "saves_bytes": lever.get("saves_bytes"), "tried": False,
           "predicted_bytes": lever.get("peak_bytes")}
    if row["predicted_bytes"] is None and need and row["saves_bytes"] is not None:
        row["predicted_bytes"] = need - row["saves_bytes"]
    applied = how(program, name, value)
    outside = None if applied else applied_from_outside(program, name, value)
    if not applied and not outside:
        return row
    result = runs.run(program, program.memory, applied or outside)
    row |= {"tried": True, "fits": result["fits"], "peak_bytes": result["peak"],
            "by": "hand" if applied else "--with"}
    if "error" in result and applied and mark == "fits":  # a promise that ended the program
        row |= {"broke": result["error"], "fits": False}
    elif "error" in result:
        row |= {"tried": False, "broke" if applied else "refused": result["error"]}
    elif result["fits"] and result["peak"] and row["predicted_bytes"] is not None:
        row["off"] = row["predicted_bytes"] / result["peak"] - 1
    return row


def evaluate(runs, program, everything):
    out = {"program": program.name, "memory": program.memory, "cause": program.cause,
           "fixes": program.fixes, "levers": [], "unnamed": []}
    plain = ({}, program.words, [])
    base = runs.run(program, program.memory, plain, trace=True)
    if "error" in base:
        return out | {"problem": base["error"]}
    if base["fits"]:
        return out | {"problem": "it does not run out of memory"}
    ample = runs.run(program, None, plain)
    out["need_bytes"] = ample["peak"] if ample["fits"] else None
    try:
        event = oom_of(base["trace"])
    except (RuntimeError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        return out | {"problem": str(error)}
    if not event:
        return out | {"problem": "tidemark oom finds no refusal in its trace"}
    out |= {key: event.get(key) for key in ("step", "phase", "verdict")}
    out["levers"] = [held_against(runs, program, i, lever, out["need_bytes"])
                     for i, lever in enumerate(event["levers"], 1)]
    named = [row["id"] for row in out["levers"]]
    out["fix_rank"] = next((i for i, n in enumerate(named, 1) if n in program.fixes), None)
    for name in dict.fromkeys([*program.fixes, *(program.levers if everything else [])]):
        whole = program.levers.get(name, Way()).value
        value = 4 if name == "accumulate" else whole and whole // 2
        applied = name not in named and how(program, name, value)
        if applied:
            result = runs.run(program, program.memory, applied)
            out["unnamed"].append({"id": name, "fits": result["fits"], "peak_bytes":
                                   result["peak"], "broke": result.get("error")})
    return out


# ------------------------------------------------------------------ the sums and the table

def sums(results):
    rows = [row | {"program": r["program"]} for r in results for row in r["levers"]]
    tried = [row for row in rows if row["tried"]]
    marked = {m: [row for row in tried if row["mark"] == m] for m in SIGN}
    first = [row for row in marked["fits"] if row["rank"] == 1]
    off = [abs(row["off"]) for row in tried if "off" in row and row["mark"] != "unknown"]
    unsure = [abs(row["off"]) for row in marked["unknown"] if "off" in row]
    good = [r for r in results if "problem" not in r]
    return {
        "programs": len(results), "problems": len(results) - len(good),
        "causes": len({r["cause"] for r in results}),
        "fits": len(marked["fits"]), "fits_true": sum(r["fits"] for r in marked["fits"]),
        "first": len(first), "first_true": sum(row["fits"] for row in first),
        "short": len(marked["short"]), "short_fitted": sum(r["fits"] for r in marked["short"]),
        "unknown": len(marked["unknown"]),
        "unknown_fitted": sum(r["fits"] for r in marked["unknown"]),
        "not_tried": sum(not row["tried"] for row in rows),
        "compared": len(off), "off_median": statistics.median(off) if off else None,
        "off_worst": max(off) if off else None,
        "unknown_compared": len(unsure),
        "unknown_off_median": statistics.median(unsure) if unsure else None,
        "fix_named": sum(bool(r.get("fix_rank")) for r in good),
        "fix_first": sum(r.get("fix_rank") == 1 for r in good),
        "with_fix": sum(bool(r["fixes"]) for r in good),
    }


def share(part, whole):
    return f"{part} of {whole}" + (f" ({100 * part / whole:.1f} %)" if whole else "")


def percent(x):
    return "–" if x is None else f"{100 * x:.1f} %"


def summary(results):
    s = sums(results)
    return [
        ("programs, of so many causes", f"{s['programs']}, {s['causes']}", "40, 20"),
        ("✓ that came true", share(s["fits_true"], s["fits"]), "98 %"),
        ("✓ in the first place that came true", share(s["first_true"], s["first"]), "all"),
        ("✗ that would have fitted", share(s["short_fitted"], s["short"]), "at most 5 %"),
        ("? that fitted", share(s["unknown_fitted"], s["unknown"]), ""),
        ("predicted peak of ✓ and ✗ off by, median", f"{percent(s['off_median'])} of {s['compared']}", "3 %"),
        ("predicted peak of ✓ and ✗ off by, worst", percent(s["off_worst"]), "15 %"),
        ("... of levers marked ?, median",
         f"{percent(s['unknown_off_median'])} of {s['unknown_compared']}", ""),
        ("known fix named", share(s["fix_named"], s["with_fix"]), ""),
        ("known fix in the first place", share(s["fix_first"], s["with_fix"]), ""),
        ("levers that the script cannot apply", str(s["not_tried"]), ""),
    ]


def lever_text(row):
    text = row["id"] + (f"={row['value']:g}" if row["value"] else "")
    if not row["tried"]:
        return f"({text})"
    wrong = row["fits"] != (row["mark"] == "fits") and row["mark"] != "unknown"
    text += " fits" if row["fits"] and row["mark"] != "fits" else ""
    text += " ran out" if not row["fits"] and row["mark"] == "fits" else ""
    text += f" {100 * row['off']:+.1f} %" if "off" in row else ""
    return f"**{text}**" if wrong else text


def fix_text(result):
    rank = result.get("fix_rank")
    text = ", ".join(result["fixes"])
    if not rank:
        short = [u["id"] for u in result["unnamed"] if u["id"] in result["fixes"]
                 and not u["fits"]]
        return f"{text}: not named" + (f" ({', '.join(short)} ran out)" if short else "")
    return f"{text}: first" if rank == 1 else f"{text}: place {rank}"


def markdown(results):
    lines = ["| | | aim |", "|---|---|---|"]
    lines += [f"| {a} | {b} | {c} |" for a, b, c in summary(results)]
    lines += ["", "| program | memory | cause | known fix | ✓ | ✗ | ? |", "|---|---|---|---|---|---|---|"]
    for r in results:
        if "problem" in r:
            lines.append(f"| {r['program']} | {r['memory']} | {r['cause']} | {r['problem']} | | | |")
            continue
        cells = [", ".join(lever_text(row) for row in r["levers"] if row["mark"] == m)
                 for m in SIGN]
        lines.append(f"| {r['program']} | {r['memory']} | {r['cause']} | {fix_text(r)} | "
                     + " | ".join(cells) + " |")
    return "\n".join(lines)


def gib(n):
    return "–" if not n else f"{n / 2**30:.3f} GiB"


def show(result):
    print(f"\n{result['program']}  {result['memory']}  {result['cause']}")
    if "problem" in result:
        print(f"  PROBLEM: {result['problem']}")
        return
    print(f"  needs {gib(result['need_bytes'])}; refused in step {result['step']}, "
          f"{result['phase']}, {result['verdict']}; known fix {fix_text(result)}")
    for row in result["levers"]:
        said = "not tried" if not row["tried"] else "fits" if row["fits"] else "ran out"
        said = f"broke: {row['broke']}" if row.get("broke") else said
        said = f"not tried: {row['refused']}" if row.get("refused") else said
        said += " (--with)" if row["tried"] and row["by"] == "--with" else ""
        wrong = row["tried"] and row["mark"] != "unknown" and row["fits"] != (row["mark"] == "fits")
        off = f"  predicted {gib(row['predicted_bytes'])}, {100 * row['off']:+.1f} %" \
            if "off" in row else ""
        value = f"={row['value']:g}" if row["value"] else ""
        print(f"  {row['rank']:2} {SIGN[row['mark']]} {row['id'] + value:26} {said:9} "
              f"{gib(row.get('peak_bytes')):>11}{off}{'   <-- WRONG' if wrong else ''}")
    for row in result["unnamed"]:
        said = row["broke"] or ("fits" if row["fits"] else "ran out")
        print(f"     · {row['id']:26} {said:9} {gib(row['peak_bytes']):>11}  not named")


def write_page(results):
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{markdown(results)}\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="TEXT",
                        help="programs with TEXT in their names (may be given again)")
    parser.add_argument("--folder", help="other programs than tests/oom/programs")
    parser.add_argument("--heads", metavar="FILE.json",
                        help="what heads would say, for programs that have none")
    parser.add_argument("-j", type=int, default=1, help="runs at a time; default: 1")
    parser.add_argument("--all", action="store_true",
                        help="apply also the levers that are not named (with half of their numbers)")
    parser.add_argument("--again", action="store_true", help="run all anew")
    parser.add_argument("--kept", action="store_true",
                        help="run nothing: only what earlier calls have kept")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="put the table into docs/advice.md")
    options = parser.parse_args()

    chosen, runs = programs(options), Runs(options.again, options.kept)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        jobs = {pool.submit(evaluate, runs, p, options.all): p for p in chosen}
        for i, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            print(f"\r\033[K{i} of {len(jobs)}, {runs.made} new runs: {jobs[job].name}",
                  end="" if os.isatty(2) else "\n", file=sys.stderr, flush=True)
        results = [job.result() for job in jobs]
    print("\r\033[K" if os.isatty(2) else "", end="", file=sys.stderr)
    if options.json:
        print(json.dumps({"sums": sums(results), "programs": results}, indent=1))
    else:
        for result in results:
            show(result)
        print()
        for what, is_so, aim in summary(results):
            print(f"{what:40} {is_so}" + (f"   (aim: {aim})" if aim else ""))
    if options.write:
        write_page(results)
    return 1 if any("problem" in r or any(row.get("broke") for row in r["levers"])
                    for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
