"""tracked.py - what the estimators say that look at the model itself, of one training.

Runs under `tidemark simulate`, with the script that `plan --measure --print-script` shows: the model
is the one that the run trains. It writes what others.py needs of that model, and two answers in bytes:

memtracker   torch.distributed._tools.mem_tracker.MemTracker of the installed PyTorch: two steps of
             the same loop with fake tensors, which have shapes and no memory
kitsune      torch-kitsune (PyPI, 0.7.0), where it can be imported: predict_hf_memory(), and for
             adapters estimate_lora_memory(), for devices estimate_multi_gpu()

  tracked.py TRAIN.py CONFIG-FOLDER WORDS.json ANSWER.json WHAT…     what: shape, kitsune, memtracker
"""
import importlib.util
import json
import sys

GATES = ("gate_proj", "gate_up_proj", "wi_0")


def loaded(path):
    spec = importlib.util.spec_from_file_location("train", path)
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    train.size = lambda tensors: 0  # a fake tensor has no address
    return train


def shape(train, torch):
    """The figures of the model that formulas ask for: those that it has."""
    config = train.load_config()
    with torch.device("meta"):
        model = train.find_class(config)(config)
    text = config.get_text_config()
    names = [name.rpartition(".")[2] for name, _ in model.named_modules()]
    vocabulary = getattr(text, "vocab_size", None)
    wide = [module.weight.shape for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and any(p.isdigit() for p in name.split("."))]
    tied = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    tied = tied is None or tied.weight is model.get_input_embeddings().weight
    hidden = getattr(text, "hidden_size", None)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
        "largest_layer": max(sum(p.numel() for p in m.parameters(recurse=False))
                             for m in model.modules()),
        "stacks": 2 if getattr(config, "is_encoder_decoder", False) else 1,
        "hidden": hidden, "layers": getattr(text, "num_hidden_layers", None),
        "heads": getattr(text, "num_attention_heads", None),
        "kv_heads": getattr(text, "num_key_value_heads", None),
        "head_width": getattr(text, "head_dim", None), "vocabulary": vocabulary,
        "feed_forward": feed_forward(text, hidden, wide), "tied": tied,
        "gated": any(name in GATES for name in names),
        "repeated": bool(getattr(text, "num_hidden_groups", 0)),  # ALBERT: one layer, many times
        "rms": any("RMS" in type(module).__name__ for module in model.modules())}


def feed_forward(text, hidden, wide):
    """The config's own figure; where it has none, four times the width, which is the usual one."""
    for name in ("intermediate_size", "ffn_dim", "n_inner", "hidden_dim"):
        if isinstance(getattr(text, name, None), int):
            return getattr(text, name)
    return 4 * hidden if wide or hidden else None


def memtracker(train, torch):
    from contextlib import nullcontext

    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker
    settings = train.SETTINGS
    train.answer_for_masks()
    with FakeTensorMode():
        config = train.load_config()
        model = train.build(config, torch)
        batch = train.batch_for(model, config, torch)
        optimizer = train.optimizers(model, torch)
        tracker = MemTracker()
        tracker.track_external(model, *optimizer, *batch.values())

        def forward():  # its figures by module are of one forward; the peak goes on
            tracker.reset_mod_stats()
            if not settings["autocast"]:
                return nullcontext()
            return torch.autocast("cuda", getattr(torch, train.DTYPES[settings["autocast"]]))

        with tracker:
            for _ in range(settings["steps"]):
                train.step(model, batch, optimizer, None, forward, {})
        peaks = tracker.get_tracker_snapshot("peak")
    return max(peak["Total"] for device, peak in peaks.items() if device.type == "cuda")


#: what it documents; of another optimizer it would answer as of Adam without a word
KITSUNE = {"adam": "adam", "adamw": "adamw", "adam8bit": "adam8bit", "sgd": "sgd",
           "sgd-momentum": "sgd_momentum"}


def kitsune(words, folder):
    from kitsune.predict import LoRAConfig, estimate_lora_memory, estimate_multi_gpu
    from kitsune.predict.hf_integration import load_hf_model, predict_hf_memory
    given = dict(zip(words[::2], words[1::2]))
    optimizer = KITSUNE[given["--optimizer"]]
    dtype = "float32" if given["--precision"] == "fp32" else "bfloat16"
    batch, length = int(given["--batch"]), given.get("--seq")
    if "--lora-rank" not in given and "--world" not in given:
        return predict_hf_memory(folder, batch_size=batch, seq_len=length and int(length),
                                 dtype=dtype, optimizer=optimizer, training=True).total_bytes
    model, shape = load_hf_model(folder)
    shape = (int(length),) if length else shape
    if "--world" in given:
        world = int(given["--world"])
        return estimate_multi_gpu(
            model, shape, batch * world, dtype, optimizer,
            {"0": "ddp", "1": "zero1", "2": "zero2", "3": "zero3"}[given["--zero"]],
            world).total_bytes
    lora = LoRAConfig(rank=int(given["--lora-rank"]), optimizer=optimizer,
                      use_qlora=given.get("--param-dtype") == "nf4")
    return estimate_lora_memory(model, shape, batch, dtype, lora).total_bytes


def why(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def main():
    script, folder, words, path, *names = sys.argv[1:]
    with open(words, encoding="utf-8") as file:
        words = json.load(file)
    import torch
    train, answer = loaded(script), {}
    asks = {"shape": lambda: shape(train, torch), "kitsune": lambda: kitsune(words, folder),
            "memtracker": lambda: memtracker(train, torch)}
    for name in names:
        if name == "memtracker" and "--world" in words:
            answer[name] = {"none": "it would need the other ranks"}
            continue
        try:
            answer[name] = asks[name]()
        except Exception as error:  # an estimator may fail in any way: then it has no answer
            answer[name] = {"none": why(error)}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
