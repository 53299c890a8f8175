"""others.py - what other estimators say that a training needs on a device, in bytes.

Each formula is written down from the source that stands beside it, for the options that accuracy.py
draws: no offloading, no tensor or pipeline parallelism. An estimator that has no word for something
in a training (an adapter, a second stack, an optimizer) has no answer to it: None. One that does not
ask (which optimizer, which head) answers as it would answer anybody. Where an estimator looks at
the model itself, tracked.py runs it.
"""
import json
import pathlib
import subprocess
import tempfile

import where

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 900  # seconds for those that look at the model
PAGE_OF = {
    "accelerate": "accelerate 1.15.0, `estimate-memory`: 4 × fp32 weights, 2 × in 16 bits",
    "deepspeed": "DeepSpeed 0.19.8, `estimate_zero2/3_model_states_mem_needs`",
    "megatron": "Megatron-LM 00caa53, `report_theoretical_memory`",
    "eleuther": "EleutherAI cookbook 827ee3b, `calc_transformer_mem.py`",
    "kitsune": "torch-kitsune 0.7.0",
    "memtracker": "PyTorch 2.11.0, `MemTracker` under fake tensors"}


def accelerate(fp32_bytes, sixteen_bits):
    """accelerate 1.15.0, commands/estimate.py: the largest of what estimate_training_usage() says of
    model, gradients, optimizer and step."""
    return 2 * fp32_bytes if sixteen_bits else 4 * fp32_bytes


def deepspeed_zero2(parameters, devices):
    """deepspeed 0.19.8, runtime/zero/stage_1_and_2.py: estimate_zero2_model_states_mem_needs()."""
    return 2 * parameters + int(18 * parameters / devices)


def deepspeed_zero3(parameters, largest_layer, devices):
    """deepspeed 0.19.8, runtime/zero/stage3.py: estimate_zero3_model_states_mem_needs()."""
    return 4 * largest_layer + int(18 * parameters / devices)


def megatron(shape, batch, length):
    """Megatron-LM 00caa53, training/theoretical_memory_usage.py: one device, plain optimizer, and
    compute_activation_memory_without_sp(), which is the default. (weights and optimizer, activations)"""
    hidden, heads, rows = shape["hidden"], shape["heads"], batch * length
    vocabulary = -(-shape["vocabulary"] // 128) * 128  # --make-vocab-size-divisible-by
    projected = (shape["head_width"] or hidden // heads) * heads / hidden
    attention = 2 * hidden ** 2 * (1 + (shape["kv_heads"] or heads) / heads) * projected
    norm = 1 if shape["rms"] else 2
    layer = 2 * hidden * (shape["feed_forward"] * (1.5 if shape["gated"] else 1) + norm) + attention
    embeddings = hidden * vocabulary * (1 if shape["tied"] else 2)
    weights = 18 * (layer * shape["layers"] + norm * hidden + embeddings)
    activations = rows * hidden * 34 * shape["layers"] + 8 * rows + rows * hidden
    return weights, 1.05 * (activations + 2 * rows * (vocabulary + hidden))


ELEUTHER = {"adam": 12, "adamw": 12, "sgd-momentum": 8, "muon": 8}  # bytes a parameter


def eleuther(shape, batch, length, *, optimizer="adamw", mixed=True, checkpoint=False, stage=0,
             devices=1):
    """EleutherAI/cookbook 827ee3b, calc/calc_transformer_mem.py: calc_mem() of one model replica."""
    hidden, layers, heads = shape["hidden"], shape["layers"], shape["heads"]
    matmuls = 3 if shape["gated"] else 2
    shared = (shape["kv_heads"] or heads) / heads
    parameters = (2 * shape["vocabulary"] * hidden + hidden * length + 8 * hidden * layers
                  + 2 * hidden + int(2 * (1 + shared) * layers * hidden ** 2)
                  + matmuls * layers * hidden * shape["feed_forward"])
    width = 2 if mixed else 4
    needed = parameters * width / (devices if stage == 3 else 1)
    needed += parameters * 4 / (devices if stage >= 2 else 1)
    needed += parameters * ELEUTHER[optimizer] / (devices if stage >= 1 else 1)
    if stage >= 1 and devices > 1:  # allgather's bucket, and what ZeRO-3 keeps alive
        needed += width * (5e8 + (1e9 if stage == 3 else 0))
    row = 34 + (0 if checkpoint else 5 * heads * length / hidden)
    return needed + length * batch * hidden * layers * row


def of_formulas(words, shape):
    """{estimator: bytes or None} of those that only calculate."""
    given = dict(zip(words[::2], words[1::2]))
    adapters, devices = "--lora-rank" in given, int(given.get("--world", 1))
    stage = int(given.get("--zero", 0))
    sixteen = given["--precision"] != "fp32"
    batch, length = int(given["--batch"]), int(given.get("--seq", 0))
    says = dict.fromkeys(("accelerate", "deepspeed", "megatron", "eleuther"))
    if adapters:
        return says
    if stage == 0:
        says["accelerate"] = accelerate(shape["bytes"], sixteen)
    if stage == 3:
        says["deepspeed"] = deepspeed_zero3(shape["parameters"], shape["largest_layer"], devices)
    elif devices == 1:
        says["deepspeed"] = deepspeed_zero2(shape["parameters"], 1)
    if shape["stacks"] > 1 or shape["repeated"] or not length or not shape["vocabulary"]:
        return says
    if stage == 0:
        says["megatron"] = sum(megatron(shape, batch, length))
    if given["--optimizer"] in ELEUTHER:
        says["eleuther"] = eleuther(shape, batch, length, optimizer=given["--optimizer"],
                                    mixed=sixteen, checkpoint=given["--checkpoint"] == "full",
                                    stage=stage, devices=devices)
    return says


def tracked(config, words, paths, names):
    """What tracked.py answers of these: the model's shape, and those who look at the model. paths:
    PYTHONPATH."""
    with tempfile.TemporaryDirectory(prefix="others.") as name:
        folder = pathlib.Path(name)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "words.json").write_text(json.dumps(words))
        environment = where.clean_environment(PYTHONPATH=":".join(map(str, paths)),
                                              HF_HUB_OFFLINE=1, TMPDIR=name)

        def command(*line):
            return subprocess.run([where.COMMAND, *line], capture_output=True, text=True,
                                  timeout=PATIENCE, cwd=folder, env=environment)
        script = command("plan", "--config", folder / "config.json", *words, "--measure",
                         "--print-script")
        (folder / "train.py").write_text(script.stdout)
        try:
            why = command("simulate", "--gpu", "a100-80gb", "--", where.PYTHON,
                          HERE / "tracked.py", folder / "train.py", folder, folder / "words.json",
                          folder / "answer.json", *names).stderr
        except subprocess.TimeoutExpired:
            why = f"no answer in {PATIENCE} s"
        if not (folder / "answer.json").exists():
            return {name: {"none": " ".join(why.split())[-160:]} for name in names}
        return json.loads((folder / "answer.json").read_text())


def answers(words, found):
    """{estimator: bytes or None} of one training, in the order of PAGE_OF and without those that
    were not asked; found: of tracked()."""
    says = dict.fromkeys(PAGE_OF)
    if "none" not in found["shape"]:
        says |= of_formulas(words, found["shape"])
    for name in ("kitsune", "memtracker"):
        says[name] = found[name] if isinstance(found.get(name), int) else None
    return {name: says[name] for name in PAGE_OF if name != "memtracker" or name in found}
