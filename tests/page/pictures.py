#!/usr/bin/env python3
"""Makes docs/pictures from real runs on the simulated device: a GPT-2, and one that runs out.

usage: pictures.py [TRACE OOM_TRACE]; without them it records both, with the PyTorch that
tests/setup.sh has put in place.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import where  # noqa: E402
from conftest import start_browser  # noqa: E402

PICTURES = where.ROOT / "docs" / "pictures"
RUNS = [("examples/gpt2.py", "24GiB"), ("tests/oom/programs/gpt_float_logits.py", "6GiB")]


def record(folder):
    torch = f"{where.CACHE / 'torch-2.11.0'}:{where.LIBRARIES}"
    traces = []
    for program, memory in RUNS:
        traces.append(folder / f"{pathlib.Path(program).stem}.db")
        subprocess.run([where.COMMAND, "simulate", "--gpu", "rtx4090", "--memory", memory,
                        "-o", traces[-1], "--", where.PYTHON, where.ROOT / program],
                       env={**os.environ, "PYTHONPATH": torch}, cwd=folder)
    return traces


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        traces = [pathlib.Path(trace) for trace in sys.argv[1:]] or record(folder)
        playwright, browser = start_browser()
        for trace, stem, themes in zip(traces, ("page", "oom"), (("light", "dark"), ("light",))):
            page = folder / f"{stem}.html"
            subprocess.run([where.COMMAND, "html", "-q", trace.name, "-o", page], check=True,
                           cwd=trace.parent)
            for theme in themes:
                tab = browser.new_page(viewport={"width": 1000, "height": 1080},
                                       color_scheme=theme, offline=True)
                tab.goto(page.as_uri())
                tab.wait_for_timeout(500)
                tab.screenshot(path=PICTURES / f"{stem}-{theme}.png")
                tab.close()
        browser.close()
        playwright.stop()


if __name__ == "__main__":
    main()
