#!/usr/bin/env python3
"""largest.py - is the batch that `tidemark plan` calls the largest the largest that runs?

Trainings are drawn as accuracy.py draws them, each with a card. `plan` names the largest batch that
fits the card; then the script of `plan --measure --print-script` trains on the simulated card with
that batch and with one more. The first has to run and the second to run out of memory: then no
search could have found another batch. Where it is not so, the batches between are searched.

  tests/plan/largest.py --count 20 --seed 1 --write    the second table of docs/accuracy-plan.md
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import accuracy
import where

BEGIN, END = "<!-- largest.py writes from here -->", "<!-- to here: largest.py -->"
CARDS = ("t4", "rtx-3090", "rtx-4090", "l4", "a100-40gb", "a100-80gb")
MOST = 4096  # a batch above it is no question that anybody asks
NO_QUESTION = {"error": "nothing to hold a run against"}


def command(folder, *words):
    return subprocess.run([where.COMMAND, *map(str, words)], capture_output=True, text=True,
                          timeout=900, cwd=folder, env=where.clean_environment(
                              PYTHONPATH=f"{accuracy.TORCH}:{where.LIBRARIES}", HF_HUB_OFFLINE=1,
                              TMPDIR=folder))


def runs(folder, config, words, batch, card):
    """Does it run with this batch? None: it ended for another reason."""
    shown = command(folder, "plan", "--config", config, *words, "--batch", batch, "--measure",
                    "--print-script")
    assert shown.returncode == 0, shown.stderr
    script = folder / "train.py"
    script.write_text(shown.stdout)
    done = command(folder, "simulate", "--gpu", card, "--json", folder / "verdict.json", "--",
                   where.PYTHON, script, folder / "said.json")
    said = (folder / "verdict.json").read_text()
    verdict = json.loads(said)["gpus"][0]["verdict"] if said else None
    if verdict in ("fits", "does not fit"):
        return verdict == "fits"
    print(done.stderr[-500:], file=sys.stderr)
    return None


def bisected(fits, low, high):
    """The largest batch that runs, between one that does and one that does not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest(config, words, card):
    with tempfile.TemporaryDirectory(prefix="largest.") as name:
        folder = pathlib.Path(name)
        path = folder / "config.json"
        path.write_text(json.dumps(config))
        done = command(folder, "plan", "--config", path, *words, "--gpu", card, "--json")
        if done.returncode:
            return {"error": done.stderr.strip()[-200:]}
        answer, = json.loads(done.stdout)["fits"]
        said = answer["max_batch"]
        if answer["basis"] != "predicted" or not said or said > MOST:
            return NO_QUESTION

        def fits(batch):
            return runs(folder, path, words, batch, card)
        at = fits(said)
        beyond = fits(said + 1)
        if at is None or beyond is None:
            return {"error": "the run ended for another reason"}
        if at and not beyond:
            return {"said": said, "ran": said}
        if at:
            step, low = 2, said + 1
            while fits(low + step):
                low, step = low + step, 2 * step
            return {"said": said, "ran": bisected(fits, low, low + step)}
        step, high = 1, said
        while high > step and not fits(high - step):
            high, step = high - step, 2 * step
        return {"said": said, "ran": bisected(fits, max(high - step, 0), high)}


def table(rows):
    good = [got for *_, got in rows if "said" in got]
    same = sum(got["said"] == got["ran"] for got in good)
    above = sum(got["said"] > got["ran"] for got in good)
    yield f"{len(good)} pairs of a training and a card: the same batch in {same}, " \
          f"too large in {above}."
    yield ""
    yield "| architecture | layers × hidden | training | card | plan | runs |"
    yield "|---|---|---|---|--:|--:|"
    for config, words, card, got in rows:
        name, layers, hidden = accuracy.what(config)
        yield f"| {name} | {layers} × {hidden} | {' '.join(words[1::2])} | {card} | " + (
            f"{got['said']} | {got['ran']} |" if "said" in got else f"{got['error']} | |")


def more_options(parser):
    parser.add_argument("--minutes", metavar="N", type=float, default=float("inf"),
                        help="begin no other pair after so many minutes")


def main():
    options = accuracy.options_of(__doc__, count=20, more=more_options)
    draw = random.Random(options.seed)
    rows, begin = [], time.monotonic()
    while len(rows) < options.count and time.monotonic() - begin < 60 * options.minutes:
        config, words = accuracy.drawn(draw, options.only)
        card = draw.choice(CARDS)
        at = words.index("--batch")
        words = words[:at] + words[at + 2:]
        if "--zero" in words:  # the script alone is one process
            continue
        found = largest(config, words, card)
        print(len(rows) + 1, *accuracy.what(config), *words[1::2], card, found, file=sys.stderr,
              flush=True)
        if found != NO_QUESTION:
            rows.append((config, words, card, found))
    accuracy.put("\n".join([f"Seed {options.seed}, torch 2.11.0 on simulated cards.", "",
                            *table(rows)]), BEGIN, END, options.write)


if __name__ == "__main__":
    main()
