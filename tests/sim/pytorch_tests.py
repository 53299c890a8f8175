#!/usr/bin/env python3
"""Run PyTorch's own, unmodified memory tests on the simulated device; say how many pass.

usage: pytorch_tests.py [options] TORCHDIR TEST_CUDA.PY

TORCHDIR is a folder that holds torch/, TEST_CUDA.PY the file of the same release (release
archive, or `apt-get source pytorch`); PYTHONPATH holds expecttest, hypothesis and psutil.
The tests of a class share a process until one fails, crashes or takes too long; that one
is run again by itself, and only what it does then counts.
Exit status 1 if a test failed for which pytorch_tests.reasons gives no reason.
"""
import argparse, collections, fnmatch, json, os, re, select, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = ("TestCuda,TestCudaMallocAsync,TestBlockStateAbsorption,TestMemPool,"
           "TestCachingHostAllocator*,TestCudaOptims*,TestCudaAllocator*")
sys.path.insert(0, os.path.dirname(HERE))
from where import SIMULATOR  # noqa: E402

HOME = str(SIMULATOR)


def work(path, expandable):
    """The process that runs tests: reads names from stdin, writes one JSON line each."""
    import importlib, unittest
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.path.insert(0, os.path.dirname(path))
    sys.argv = [path]
    module = importlib.import_module(os.path.basename(path)[:-3])
    if expandable:  # what test_cuda_expandable_segments.py does
        import torch
        torch.cuda.memory._set_allocator_settings("expandable_segments:True")
        for name in ("TestCuda", "TestBlockStateAbsorption"):
            getattr(module, name).expandable_segments = lambda _: True
    cases = {}
    for suite in unittest.defaultTestLoader.loadTestsFromModule(module):
        for case in suite:
            cases[f"{type(case).__name__}.{case._testMethodName}"] = case
    print(json.dumps({"names": list(cases)}), file=say)
    for name in sys.stdin:
        result = unittest.TestResult()
        started = time.monotonic()
        cases[name.strip()].run(result)
        bad = result.failures + result.errors
        outcome, why = "passed", ""
        if bad or result.unexpectedSuccesses:
            outcome, why = "failed", bad[0][1] if bad else "passed where failure is expected"
        elif result.skipped:
            outcome, why = "skipped", result.skipped[0][1]
        print(json.dumps({"name": name.strip(), "outcome": outcome, "why": why,
                          "seconds": time.monotonic() - started}), file=say)


class Worker:
    """A process of the above; ended with whatever it started."""

    def __init__(self, options):
        self.stderr = tempfile.TemporaryFile("w+")
        command = [f"{HOME}/simrun.sh", "--gpu", options.gpu, "--count", str(options.count),
                   options.torch, "--", sys.executable, os.path.abspath(__file__), "--work",
                   *(["--expandable"] if options.expandable else []), options.torch, options.tests]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.stderr, text=True, start_new_session=True)
        first = self.process.stdout.readline()
        if not first:
            sys.exit(f"pytorch_tests: the tests can't be loaded:\n{self.said()}")
        self.names = json.loads(first)["names"]

    def said(self):
        self.stderr.seek(0)
        return self.stderr.read()[-3000:]

    def run(self, name, limit):
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], limit)[0]:
            self.end()
            return {"name": name, "outcome": "timed out", "why": f"after {limit} s"}
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        return {"name": name, "outcome": "crashed",
                "why": f"status {status}\n{self.said()}"}

    def alive(self):
        return self.process.poll() is None

    def end(self):
        if self.alive():
            os.killpg(self.process.pid, 9)
        self.process.wait()


def run_all(options):
    worker = Worker(options)
    patterns = options.classes.split(",")
    names = [n for n in worker.names
             if any(fnmatch.fnmatch(n.split(".")[0], p) for p in patterns)
             and re.search(options.only, n)]
    results, current = [], None
    for name in names:
        if current != name.split(".")[0] or not worker.alive():
            worker.end()
            worker, current = Worker(options), name.split(".")[0]
        result = worker.run(name, options.timeout)
        if result["outcome"] not in ("passed", "skipped"):
            worker.end()
            alone = Worker(options)
            result = alone.run(name, options.timeout)
            alone.end()
        results.append(result)
        if options.json:  # what was done stays, however this ends
            with open(options.json, "w") as file:
                json.dump(results, file, indent=1)
        if options.verbose:
            print(result["outcome"], name, last_line(result["why"]), file=sys.stderr, flush=True)
    worker.end()
    return results


def last_line(text):
    """What went wrong, in a line: the exception, not the hint how to run the test again."""
    text = text.split("\nTo execute this test")[0].strip()
    lines = [l for l in text.splitlines() if re.match(r"[\w.]*(Error|Exception|Skip)\b", l)]
    return (lines or text.splitlines() or [""])[-1][:150]


def reasons(version):
    """Rows of pytorch_tests.reasons that speak of this release: (glob, reason)."""
    rows = []
    for line in open(os.path.join(HERE, "pytorch_tests.reasons")):
        if line.strip() and not line.startswith("#"):
            versions, glob, reason = line.strip().split(None, 2)
            if versions == "*" or version in versions.split(","):
                rows.append((glob, reason))
    return rows


def report(results, version):
    counts = collections.Counter(r["outcome"] for r in results)
    known, unexplained = reasons(version), 0
    print(f"PyTorch {version}: " + ", ".join(f"{n} {o}" for o, n in counts.most_common()))
    print("\n| Class | " + " | ".join(counts) + " |\n|---" + "|---" * len(counts) + "|")
    by_class = collections.defaultdict(collections.Counter)
    for r in results:
        by_class[r["name"].split(".")[0]][r["outcome"]] += 1
    for name, row in by_class.items():
        print(f"| `{name}` | " + " | ".join(str(row[o]) for o in counts) + " |")
    print("\n| Test | Outcome | Why |\n|---|---|---|")
    for r in results:
        if r["outcome"] in ("passed", "skipped"):
            continue
        why = next((why for glob, why in known if fnmatch.fnmatch(r["name"], glob)), None)
        unexplained += why is None
        print(f"| `{r['name']}` | {r['outcome']} | "
              f"{why or 'UNEXPLAINED: ' + last_line(r['why']).replace('|', '/')} |")
    print("\n| Skipped by PyTorch | Tests |\n|---|---|")
    skips = collections.Counter(last_line(r["why"]) for r in results if r["outcome"] == "skipped")
    for why, n in skips.most_common():
        print(f"| {why} | {n} |")
    return unexplained


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("torch")
    p.add_argument("tests")
    p.add_argument("--classes", default=CLASSES, help="globs, separated by commas")
    p.add_argument("--only", default="", help="regular expression for Class.test")
    p.add_argument("--gpu", default="a100-80gb")
    p.add_argument("--count", type=int, default=1, help="devices")
    p.add_argument("--expandable", action="store_true", help="with expandable segments")
    p.add_argument("--timeout", type=float, default=120, help="seconds a test may take")
    p.add_argument("--json", help="file for all results, with tracebacks")
    p.add_argument("--report", help="print the tables of an earlier run's --json; run nothing")
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = p.parse_args()
    options.tests = os.path.abspath(options.tests)
    if options.work:
        return work(options.tests, options.expandable)
    with open(f"{options.torch}/torch/version.py") as file:
        version = re.search(r"__version__ = '([\d.]+)", file.read())[1]
    results = json.load(open(options.report)) if options.report else run_all(options)
    return 1 if report(results, version) else 0


if __name__ == "__main__":
    sys.exit(main())
