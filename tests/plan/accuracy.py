#!/usr/bin/env python3
"""accuracy.py - does training have the peak that `tidemark plan` predicts?

Configurations are drawn at random: an architecture, its sizes, precision, optimizer, checkpoints,
attention, batch and sequence. Each is predicted by `plan` and trained two steps on the simulated
device by `plan --measure`, of the same configuration; the two peaks stand side by side. The same
seed draws the same list; another seed draws another.

  tests/plan/accuracy.py --count 30 --seed 1 --write     the table of docs/accuracy-plan.md
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import decoders  # noqa: E402
import where  # noqa: E402

TORCH = where.CACHE / "torch-2.11.0"
PAGE = where.ROOT / "docs" / "accuracy-plan.md"
BEGIN, END = "<!-- accuracy.py writes from here -->", "<!-- to here -->"

SHARED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3", "starcoder2", "granite",
          "olmo2", "stablelm", "cohere", "phi", "gemma2")
ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM", "gemma": "GemmaForCausalLM", "phi3": "Phi3ForCausalLM",
    "gpt2": "GPT2LMHeadModel", "opt": "OPTForCausalLM", "gpt_neox": "GPTNeoXForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM", "granite": "GraniteForCausalLM",
    "olmo2": "Olmo2ForCausalLM", "stablelm": "StableLmForCausalLM", "cohere": "CohereForCausalLM",
    "phi": "PhiForCausalLM", "gemma2": "Gemma2ForCausalLM", **decoders.CLASSES,
}


def drawn(draw, kinds):
    """(config.json, words for plan) of one training."""
    kind = draw.choice(sorted(kinds))
    head = draw.choice([64, 128])
    heads = draw.choice([4, 6, 8, 12, 16])
    hidden, layers = heads * head, draw.randint(3, 24)
    vocab = draw.choice([8192, 32000, 50257, 128256])
    config = {"model_type": kind, "architectures": [ARCHITECTURES[kind]], "vocab_size": vocab}
    if kind in decoders.DRAWN:
        config |= decoders.DRAWN[kind](draw, hidden, layers, heads)
    elif kind == "gpt2":
        config |= {"n_embd": hidden, "n_layer": layers, "n_head": heads, "n_positions": 2048}
    else:
        wide = draw.choice([2, 3, 4]) * hidden
        config |= {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
                   "max_position_embeddings": 4096,
                   ("ffn_dim" if kind == "opt" else "intermediate_size"): wide}
    if kind == "opt":
        config |= {"word_embed_proj_dim": hidden}
    if kind in SHARED:  # keys and values are shared by heads
        config |= {"num_key_value_heads": draw.choice([k for k in (1, 2, 4, 8) if heads % k == 0]
                                                      + [heads])}
        config |= {"tie_word_embeddings": draw.choice([True, False])}
        if kind not in ("stablelm", "phi"):
            config |= {"head_dim": head}
        config |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    words = ["--precision", draw.choice(["fp32", "bf16", "bf16-mixed"]),
             "--optimizer", draw.choice(["adamw", "adamw", "adam", "sgd", "sgd-momentum"]),
             "--checkpoint", draw.choice(["none", "none", "full"]),
             "--attention", draw.choice(["flash", "flash", "math"]),
             "--batch", str(draw.choice([1, 2, 4, 8])),
             "--seq", str(draw.choice([128, 256, 512, 1024]))]
    return config, words


def run(config, words):
    with tempfile.TemporaryDirectory(prefix="accuracy.") as folder:
        path = pathlib.Path(folder) / "config.json"
        path.write_text(json.dumps(config))
        done = subprocess.run(
            [where.COMMAND, "plan", "--config", path, *words, "--measure", "--json",
             "--python", where.PYTHON], capture_output=True, text=True, timeout=600,
            env=where.clean_environment(PYTHONPATH=f"{TORCH}:{where.LIBRARIES}",
                                        HF_HUB_OFFLINE=1, TMPDIR=folder))
    if done.returncode:
        return {"error": done.stderr.strip()[-200:]}
    answer = json.loads(done.stdout)
    measured = answer["measured"]
    return {"predicted": answer["peak_allocated_bytes"], "phase": answer["peak_phase"],
            "total": answer["total_bytes"], "measured": measured["peak_allocated_bytes"],
            "measured_phase": measured["peak_phase"],
            "reserved": (answer["peak"] or {}).get("reserved_bytes"),
            "measured_reserved": measured["peak_reserved_bytes"], "bound": measured["bound"]}


def off(predicted, measured):
    return 100 * (predicted / measured - 1)


def said(value):
    return "–" if value is None else f"{value:+.2f} %"


def table(rows):
    yield "| architecture | layers × hidden | training | measured | peak | reserved | four buckets |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for config, words, got in rows:
        layers, hidden = (next(config[name] for name in names if name in config) for names in (
            ("num_hidden_layers", "num_layers", "n_layers", "n_layer"),
            ("hidden_size", "n_embd", "d_model")))
        if "error" in got:
            yield f"| {config['model_type']} | {layers} × {hidden} | {' '.join(words[1::2])} | " \
                  f"not run: {got['error']} | | | |"
            continue
        peak = off(got["predicted"], got["measured"]) if got["predicted"] else None
        reserved = off(got["reserved"], got["measured_reserved"]) if got["reserved"] else None
        yield f"| {config['model_type']} | {layers} × {hidden} | {' '.join(words[1::2])} | " \
              f"{got['measured'] / 2**20:,.0f} MiB | {said(peak)} | {said(reserved)} | " \
              f"{said(off(got['total'], got['measured']))} |"


def summary(rows):
    good = [got for _, _, got in rows if got.get("predicted")]
    known = [off(got["predicted"], got["measured"]) for got in good]
    reserved = [off(got["reserved"], got["measured_reserved"]) for got in good]
    total = [off(got["total"], got["measured"]) for got in good]
    yield f"{len(rows)} trainings, {len(known)} predicted."
    if not known:
        return
    for name, values in (("Allocated peak", known), ("Reserved peak", reserved),
                         ("Sum of the four buckets", total)):
        yield f"{name}: off by {statistics.median(map(abs, values)):.2f} % in the median, " \
              f"{max(map(abs, values)):.2f} % at worst; the lowest is {min(values):+.2f} %."
    phases = sum(got["phase"] == got["measured_phase"] for got in good)
    yield f"Phase of the peak: right in {phases} of {len(good)}."


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="of these architectures alone, separated by commas")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    kinds = options.only.split(",") if options.only else list(ARCHITECTURES)
    rows = []
    for number in range(options.count):
        config, words = drawn(draw, kinds)
        rows.append((config, words, run(config, words)))
        print(number + 1, config["model_type"], *words[1::2], rows[-1][2], file=sys.stderr,
              flush=True)
    text = "\n".join([f"Seed {options.seed}, torch 2.11.0 on a simulated a100-80gb.", "",
                      *summary(rows), "", *table(rows)])
    print(text)
    if options.write:
        page = PAGE.read_text()
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
