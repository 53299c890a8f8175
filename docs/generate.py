"""Writes the pages that are made from the source's own lists: docs/hooks.md and
docs/environment.md. With --check nothing is written and a stale page is an error."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

LIBRARIES = {
    "C10": "libc10", "CPU": "libtorch_cpu", "C10_CUDA": "libc10_cuda", "CUDART": "libcudart",
    "CUDA": "libcuda", "NCCL": "libnccl", "LIBC": "libc",
}


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def losses():
    """What a user loses without each capability."""
    text = without_comments((ROOT / "analysis/run/signals.def").read_text())
    return dict(re.findall(r'^(?:SIGNAL|ALSO)\((\w+),(?: \w+,)?\s+"(.*?)"\)$', text, flags=re.M))


def hooks():
    text = without_comments((ROOT / "hooks/hooks.def").read_text())
    rows = re.findall(
        r"^(HOOK|HOOK_TOO|REAL|REAL_TOO)\((\w+), (\w+), (\w+),.*?[,(]\s*(\w+)\)$",
        text, flags=re.S | re.M)
    out = [
        "# Hooks",
        "",
        "Made from `hooks/hooks.def` and `analysis/run/signals.def` by `docs/generate.py`.",
        "*Interposed*: a call of the program goes through the library first. *Called*: the library",
        "only calls it. If a function is missing, its capability is missing: table `capability` of",
        "the trace says so, and everything else goes on working.",
        "",
        "| function | library | how | capability |",
        "|---|---|---|---|",
    ]
    for kind, _, library, need, symbol in rows:
        how = "interposed" if kind.startswith("HOOK") else "called"
        out.append(f"| `{symbol}` | {LIBRARIES[library]} | {how} | {need} |")
    out += ["", "## Capabilities", "", "| capability | what you lose without it |", "|---|---|"]
    lost = losses()
    unsaid = {need for *_, need, _ in rows} - lost.keys()
    if unsaid:
        sys.exit(f"not in analysis/run/signals.def: {', '.join(sorted(unsaid))}")
    out += [f"| {name} | {without} |" for name, without in lost.items()]
    return "\n".join(out) + "\n"


def environment():
    text = without_comments((ROOT / "tracer/base/settings.def").read_text())
    rows = re.findall(r'SETTING\(\w+, "(\w+)", (\w+), (.*?),\s*"(.*?)"\)', text, flags=re.S)
    out = [
        "# Environment variables of the library",
        "",
        "Made from `tracer/base/settings.def` by `docs/generate.py`. `tidemark help environment` prints",
        "the same list. Set a variable in the environment of the traced program; without it, the",
        "default holds.",
        "",
        "| variable | kind | default | what it does |",
        "|---|---|---|---|",
    ]
    for name, kind, default, what in rows:
        what = re.sub(r'"\s*"', "", what)  # a string in several lines
        default = re.sub(r"TMK_([GM])IB\((\d+)\)", r"\2\1", default).strip('"') or "(none)"
        out.append(f"| `{name}` | {kind.lower()} | `{default}` | {what} |")
    return "\n".join(out) + "\n"


stale = []
for name, make in {"hooks.md": hooks, "environment.md": environment}.items():
    page = ROOT / "docs" / name
    if "--check" in sys.argv:
        if not page.exists() or page.read_text() != make():
            stale.append(name)
    else:
        page.write_text(make())
if stale:
    sys.exit(f"stale: {', '.join(stale)}; run docs/generate.py")
