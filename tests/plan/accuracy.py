#!/usr/bin/env python3
"""accuracy.py - does training have the peak that `tidemark plan` predicts?

Configurations are drawn at random: an architecture, its sizes, precision, optimizer, checkpoints,
attention, batch and sequence; adapters, and packed weights under them. Each is predicted by `plan`
and trained two steps on the simulated device by `plan --measure`, of the same configuration; the two
peaks stand side by side, and so does what the forward leaves for the backward. The same seed draws
the same list; another seed draws another.

With --others, the summary shows what other estimators say of the same trainings (others.py).

  tests/plan/accuracy.py --count 30 --seed 1 --write     the table of docs/accuracy-plan.md
"""
import argparse
import contextlib
import itertools
import json
import pathlib
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import decoders  # noqa: E402
import experts  # noqa: E402
import others  # noqa: E402
import pictures  # noqa: E402
import where  # noqa: E402

TORCH = where.CACHE / "torch-2.11.0"
PAGE = where.ROOT / "docs" / "accuracy-plan.md"
BEGIN, END = "<!-- accuracy.py writes from here -->", "<!-- to here -->"

SHARED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3", "starcoder2", "granite",
          "olmo2", "stablelm", "cohere", "phi", "gemma2", "gemma3_text", "olmo", "smollm3",
          "cohere2", "glm", "nemotron", "exaone4")
ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM", "gemma": "GemmaForCausalLM", "phi3": "Phi3ForCausalLM",
    "gpt2": "GPT2LMHeadModel", "opt": "OPTForCausalLM", "gpt_neox": "GPTNeoXForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM", "granite": "GraniteForCausalLM",
    "olmo2": "Olmo2ForCausalLM", "stablelm": "StableLmForCausalLM", "cohere": "CohereForCausalLM",
    "phi": "PhiForCausalLM", "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM", "olmo": "OlmoForCausalLM", "smollm3": "SmolLM3ForCausalLM",
    "cohere2": "Cohere2ForCausalLM", "glm": "GlmForCausalLM", "nemotron": "NemotronForCausalLM",
    "exaone4": "Exaone4ForCausalLM", **decoders.CLASSES, **experts.CLASSES,
}
ENCODERS = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta",
            "distilbert": "DistilBert", "electra": "Electra", "albert": "Albert",
            "deberta-v2": "DebertaV2"}
CLASSES = ("ForSequenceClassification", "ForTokenClassification")
#: of transformers' decoders, those that have both heads
CLASSIFY = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3", "gpt2", "gpt_neox",
            "starcoder2", "stablelm", "phi", "gemma2")


PLAIN = ("adamw", "adam", "sgd", "sgd-momentum")  # which PyTorch has fused, too


def training(draw, checkpoints=("none", "none", "full"), attentions=("flash", "flash", "math"),
             lengths=(128, 256, 512, 1024), shared=False):
    """Words for plan, each option with a value."""
    optimizer = draw.choice([*PLAIN, "adamw", "adamw", "adafactor", "muon", "lion", "adam8bit"])
    words = ["--precision", draw.choice(["fp32", "bf16", "bf16-mixed"]), "--optimizer", optimizer,
             "--checkpoint", draw.choice(checkpoints), "--attention", draw.choice(attentions),
             "--batch", str(draw.choice([1, 2, 4, 8])), "--seq", str(draw.choice(lengths))]
    if optimizer in PLAIN and draw.random() < 0.5:
        words += ["--optimizer-impl", draw.choice(["fused", "for-loop"])]
    elif optimizer in PLAIN and shared and draw.random() < 0.5:
        stage, world = draw.choice([(3, 2), (3, 8), (3, 64), (0, 8)])
        return words + ["--zero", str(stage), "--world", str(world)]
    if draw.random() < 0.25:
        words += ["--accumulate", str(draw.choice([2, 4]))]
    return words


def adapted(draw, words, packs=True):
    """The same training with LoRA's adapters, or QLoRA's; now and then."""
    if draw.random() < 0.7 or "--zero" in words:
        return words
    words = [*words, "--lora-rank", str(draw.choice([4, 16, 64])),
             "--lora-targets", draw.choice(["q,v", "q,k,v,o", "all", "all"])]
    if packs and "fp32" not in words and draw.random() < 0.5:
        words += ["--param-dtype", "nf4"]
    return words


def drawn_encoder(draw, kind):
    """BERT and its kind, with one of three heads."""
    heads = draw.choice([4, 8, 12])
    hidden, layers = 64 * heads, draw.randint(3, 24)
    wide = draw.choice([2, 3, 4]) * hidden
    head = draw.choice(["ForMaskedLM", *CLASSES])
    config = {"model_type": kind, "architectures": [ENCODERS[kind] + head], "pad_token_id": 0,
              "vocab_size": draw.choice([8192, 30522, 50265, 128100])}
    if kind == "distilbert":
        config |= {"dim": hidden, "n_layers": layers, "n_heads": heads, "hidden_dim": wide}
    else:
        config |= {"hidden_size": hidden, "num_hidden_layers": layers,
                   "num_attention_heads": heads, "intermediate_size": wide,
                   "type_vocab_size": draw.choice([1, 2])}
    config |= {"max_position_embeddings": 1040, "num_labels": draw.choice([2, 9])}
    if kind == "albert":
        config |= {"num_hidden_groups": draw.choice([1, 1, layers]), "embedding_size": 128,
                   "hidden_dropout_prob": draw.choice([0.0, 0.1])}
    if kind == "electra":
        config |= {"embedding_size": draw.choice([128, hidden])}
    if kind == "deberta-v2":
        config |= draw.choice([
            {"relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
             "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False,
             "type_vocab_size": 0},
            {"relative_attention": True, "max_relative_positions": 128, "pos_att_type": ["c2p"]},
            {}])
    words = training(draw, ("none",) if kind == "albert" else ("none", "none", "full"),
                     ("math",) if kind == "deberta-v2" else ("flash", "flash", "math"))
    return config, words if kind == "deberta-v2" else adapted(draw, words, packs=False)


SEQ2SEQ = {"t5": "T5", "mt5": "MT5", "bart": "Bart", "whisper": "Whisper"}


def drawn_seq2seq(draw, kind):
    """Two stacks, with a target as long as the source or not."""
    heads = draw.choice([4, 8, 12])
    layers, second = draw.randint(2, 12), draw.randint(2, 12)
    wide, hidden = draw.choice([2, 3, 4]) * 64 * heads, 64 * heads
    config = {"model_type": kind, "architectures": [SEQ2SEQ[kind] + "ForConditionalGeneration"],
              "d_model": hidden, "vocab_size": draw.choice([1024, 32128, 50265, 250112]),
              "decoder_start_token_id": 0, "pad_token_id": 0, "bos_token_id": 1,
              "eos_token_id": 2, "forced_eos_token_id": 2}
    if kind in ("bart", "whisper"):
        config |= {"encoder_layers": layers, "decoder_layers": second, "encoder_ffn_dim": wide,
                   "decoder_ffn_dim": wide, "encoder_attention_heads": heads,
                   "decoder_attention_heads": heads, "max_position_embeddings": 1024,
                   "attention_dropout": draw.choice([0.0, 0.1])}
    else:
        config |= {"d_kv": draw.choice([64, 32]), "d_ff": wide, "num_layers": layers,
                   "num_decoder_layers": second, "num_heads": heads,
                   "feed_forward_proj": draw.choice(["relu", "gated-gelu"])}
        if kind == "t5":
            config |= {"tie_word_embeddings": draw.choice([True, False])}
    words = training(draw, ("none",) if kind in ("t5", "mt5") else ("none", "none", "full"))
    if kind == "whisper":  # a sound is as long as the config says
        config |= {"max_source_positions": draw.choice([500, 1500]), "num_mel_bins": 80,
                   "max_target_positions": 448}
        words = words[:words.index("--seq")]
    return config, words + draw.choice([[], ["--target-seq", "64"], ["--target-seq", "384"]])


def drawn_vision(draw, kind):
    """ViT: the patches of images are its sequence."""
    heads, patch = draw.choice([3, 6, 12]), draw.choice([14, 16, 32])
    dropout = draw.choice([0.0, 0.0, 0.1])
    config = {"model_type": kind, "architectures": ["ViTForImageClassification"],
              "hidden_size": 64 * heads, "num_hidden_layers": draw.randint(3, 24),
              "num_attention_heads": heads, "intermediate_size": 256 * heads,
              "image_size": draw.choice([224, 384]), "patch_size": patch,
              "num_labels": draw.choice([10, 1000]), "hidden_dropout_prob": dropout,
              "attention_probs_dropout_prob": dropout}
    words = training(draw)
    return config, words[:words.index("--seq")]


def drawn(draw, only=None):
    """(config.json, words for plan) of one training."""
    kind = draw.choice(sorted(only or [*ARCHITECTURES, *ENCODERS, *SEQ2SEQ, "vit",
                                      *pictures.CLASSES]))
    if kind in ENCODERS:
        return drawn_encoder(draw, kind)
    if kind in SEQ2SEQ:
        return drawn_seq2seq(draw, kind)
    if kind == "vit":
        return drawn_vision(draw, kind)
    if kind in pictures.CLASSES:
        return pictures.drawn(draw, kind, training)
    head = draw.choice([64, 128])
    heads = draw.choice([4, 6, 8, 12, 16])
    hidden, layers = heads * head, draw.randint(3, 24)
    vocab = draw.choice([8192, 32000, 50257, 128256])
    name = ARCHITECTURES[kind]
    if kind in CLASSIFY and draw.random() < 0.2:
        name = name.replace("LMHeadModel", "ForCausalLM").replace("ForCausalLM",
                                                                  draw.choice(CLASSES))
    config = {"model_type": kind, "architectures": [name], "vocab_size": vocab}
    drawn_by = {**decoders.DRAWN, **experts.DRAWN}
    if kind in drawn_by:
        config |= drawn_by[kind](draw, hidden, layers, heads)
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
    return config, adapted(draw, training(draw, shared=True), packs=kind not in experts.UNPACKED)


def plan(folder, config, *words):
    """What plan says of it; what it says on stderr where it says nothing."""
    path = pathlib.Path(folder) / "config.json"
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [where.COMMAND, "plan", "--config", path, *words, "--json"], capture_output=True,
        text=True, timeout=900, env=where.clean_environment(
            PYTHONPATH=f"{TORCH}:{where.LIBRARIES}", HF_HUB_OFFLINE=1, TMPDIR=folder))
    return {"error": done.stderr.strip()[-200:]} if done.returncode else json.loads(done.stdout)


FORWARD_OF_A_STEP = """
SELECT born, bytes, name FROM allocation JOIN site ON site.id = allocation.site
    JOIN phase ON phase.id = site.phase WHERE born_step = :step
UNION ALL
SELECT died, -bytes, name FROM allocation JOIN phase ON phase.id = died_phase
    WHERE died_step = :step
ORDER BY 1"""


def left_by_forward(trace):
    """Bytes that the second step's first forward leaves for its backward."""
    with contextlib.closing(sqlite3.connect(trace)) as db:
        events = db.execute(FORWARD_OF_A_STEP, {"step": 2}).fetchall()
    after = itertools.dropwhile(lambda event: event[1] < 0 or event[2] != "forward", events)
    return sum(event[1] for event in itertools.takewhile(lambda e: e[2] != "backward", after))


def measure(config, words):
    """What a run of this training measures: it does not depend on what plan predicts."""
    with tempfile.TemporaryDirectory(prefix="accuracy.") as folder:
        trace = pathlib.Path(folder) / "a.db"
        answer = plan(folder, config, *words, "--measure", "--python", where.PYTHON, "-o", trace)
        if "measured" not in answer:
            return answer
        return answer["measured"] | {"left_by_forward": left_by_forward(trace)}


def held(config, words, measured):
    """What plan predicts now, beside what the run measured."""
    with tempfile.TemporaryDirectory(prefix="accuracy.") as folder:
        answer = plan(folder, config, *words)
    if "error" in measured or "error" in answer:
        return {"error": (measured if "error" in measured else answer)["error"]}
    return {"predicted": answer["peak_allocated_bytes"], "phase": answer["peak_phase"],
            "total": answer["total_bytes"], "measured": measured["peak_allocated_bytes"],
            "measured_phase": measured["peak_phase"],
            "reserved": (answer["peak"] or {}).get("reserved_bytes"),
            "measured_reserved": measured["peak_reserved_bytes"],
            "forward": (answer["peak"] or {}).get("left_by_forward_bytes"),
            "measured_forward": measured.get("left_by_forward")}


def off(predicted, measured):
    return 100 * (predicted / measured - 1)


def said(value):
    return "–" if value is None else f"{value:+.2f} %"


def first(config, *keys):
    return next(config[key] for key in keys if key in config)


def what(config):
    """(kind and head, layers, hidden) of a config."""
    name, (made,) = config["model_type"], config["architectures"]
    if name in pictures.CLASSES:
        return name, *pictures.size(config)
    if made.endswith(("MaskedLM", *CLASSES)):
        name += ", " + {"ForMaskedLM": "words", "ForSequenceClassification": "samples",
                        "ForTokenClassification": "tokens"}["For" + made.split("For")[-1]]
    layers = first(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers",
                   "encoder_layers")
    if name in SEQ2SEQ:
        layers = f"{layers} + {first(config, 'num_decoder_layers', 'decoder_layers')}"
    return name, layers, first(config, "hidden_size", "n_embd", "dim", "d_model")


def table(rows):
    yield "| architecture | layers × hidden | training | measured | peak | forward | reserved " \
          "| four buckets |"
    yield "|---|---|---|--:|--:|--:|--:|--:|"
    for config, words, got in rows:
        name, layers, hidden = what(config)
        if "error" in got:
            yield f"| {name} | {layers} × {hidden} | {' '.join(words[1::2])} | " \
                  f"not run: {got['error']} | | | | |"
            continue
        peak = off(got["predicted"], got["measured"]) if got["predicted"] else None
        reserved = off(got["reserved"], got["measured_reserved"]) if got["reserved"] else None
        forward = off(got["forward"], got["measured_forward"]) if got.get("forward") and \
            got.get("measured_forward") else None
        yield f"| {name} | {layers} × {hidden} | {' '.join(words[1::2])} | " \
              f"{got['measured'] / 2**20:,.0f} MiB | {said(peak)} | {said(forward)} | " \
              f"{said(reserved)} | " \
              f"{said(off(got['total'], got['measured']))} |"


def summary(rows):
    good = [got for _, _, got in rows if got.get("predicted")]
    known = [off(got["predicted"], got["measured"]) for got in good]
    reserved = [off(got["reserved"], got["measured_reserved"]) for got in good]
    forward = [off(got["forward"], got["measured_forward"]) for got in good
               if got.get("measured_forward")]
    total = [off(got["total"], got["measured"]) for got in good]
    yield f"{len(rows)} trainings, {len(known)} predicted."
    if not known:
        return
    for name, values in (("Allocated peak", known), ("Left by the forward", forward),
                         ("Reserved peak", reserved), ("Sum of the four buckets", total)):
        if values:
            yield f"{name}: off by {statistics.median(map(abs, values)):.2f} % in the median, " \
                  f"{max(map(abs, values)):.2f} % at worst; the lowest is {min(values):+.2f} %."
    phases = sum(got["phase"] == got["measured_phase"] for got in good)
    yield f"Phase of the peak: right in {phases} of {len(good)}."


def beside(rows, says):
    """Each estimator on the runs that it has an answer to, this one's formula first."""
    ran = [(got, say) for (_, _, got), say in zip(rows, says) if "measured" in got]
    lines = {"`tidemark plan`": [(got["predicted"], got["measured"]) for got, _ in ran]}
    for name, title in others.PAGE_OF.items():
        lines[title] = [(say[name], got["measured"]) for got, say in ran if name in say]
    yield "| estimator | answers | median off | worst | lowest |"
    yield "|---|--:|--:|--:|--:|"
    for title, pairs in lines.items():
        values = [off(*pair) for pair in pairs if pair[0]]
        if values:
            yield f"| {title} | {len(values)} of {len(pairs)} | " \
                  f"{statistics.median(map(abs, values)):.2f} % | " \
                  f"{said(max(values, key=abs))} | {said(min(values))} |"
        else:
            yield f"| {title} | 0 of {len(pairs)} | | | |"


def more_options(parser):
    parser.add_argument("--runs", metavar="FILE", type=pathlib.Path,
                        help="keep what each run measured here; what is here does not run again")
    parser.add_argument("--others", metavar="FOLDER", nargs="*", default=None,
                        help="ask other estimators, too; FOLDER: where one is installed")
    parser.add_argument("--memtracker", metavar="N", type=int, default=30,
                        help="ask PyTorch's MemTracker, which takes up to minutes for each, of the "
                             "first N alone (default: 30)")


def options_of(description, count, more=None):
    """The options of a table that is drawn at random; count: how many rows by default."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="KIND,…", type=lambda kinds: kinds.split(","),
                        help="these architectures alone")
    if more:
        more(parser)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    return parser.parse_args()


def put(text, begin, end, write):
    """Prints it, and writes it into the page between its two marks."""
    print(text)
    if write:
        page = PAGE.read_text()
        PAGE.write_text(f"{page.split(begin)[0]}{begin}\n{text}\n{end}{page.split(end)[1]}")


def kept(path):
    """What a file of --runs has of each training: by configuration and words."""
    found = {}
    for line in path.read_text().splitlines() if path and path.exists() else []:
        line = json.loads(line)
        got = found.setdefault(json.dumps([line.pop("config"), line.pop("words")]), {})
        line["tracked"] = got.get("tracked", {}) | line.get("tracked", {})
        got.update(line)
    return found


def asked(config, words, options, number, known):
    """What other estimators have to look at the model for, as far as it is not known."""
    names = [name for name in ("shape", "kitsune", "memtracker") if name not in known]
    if "memtracker" in names and number >= options.memtracker:
        names.remove("memtracker")
    found, paths = {}, [TORCH, where.LIBRARIES, *options.others]
    for asked_together in (names[:2], names[2:]):  # the last one is slow and may not end
        if asked_together:
            found |= others.tracked(config, words, paths, asked_together)
    return found


def measured_rows(options):
    """Each training that the seed draws, with what its run measured, and its model for others."""
    draw, ran = random.Random(options.seed), kept(options.runs)
    for number in range(options.count):
        config, words = drawn(draw, options.only)
        got = ran.get(json.dumps([config, words]), {})
        new = {}
        if "measured" not in got:
            new["measured"] = measure(config, words)
        known = got.get("tracked", {})
        if options.others is not None:
            new["tracked"] = asked(config, words, options, number, known)
        if options.runs and any(new.values()):
            with options.runs.open("a") as file:
                print(json.dumps({"config": config, "words": words, **new}), file=file, flush=True)
        new["tracked"] = known | new.get("tracked", {})
        if number >= options.memtracker:
            new["tracked"].pop("memtracker", None)
        yield number + 1, config, words, got | new


def main():
    options = options_of(__doc__, count=30, more=more_options)
    rows, says = [], []
    for number, config, words, got in measured_rows(options):
        rows.append((config, words, held(config, words, got["measured"])))
        says.append(others.answers(words, got["tracked"]) if got["tracked"] else {})
        print(number, *what(config), *words[1::2], rows[-1][2], says[-1], file=sys.stderr,
              flush=True)
    text = [f"Seed {options.seed}, torch 2.11.0 on a simulated a100-80gb.", "", *summary(rows), ""]
    if options.others is not None:
        text += [*beside(rows, says), ""]
    put("\n".join([*text, *table(rows)]), BEGIN, END, options.write)


if __name__ == "__main__":
    main()
