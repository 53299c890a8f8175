"""workloads.py WORKLOAD [OPTION=VALUE ...] - trainings under the oracle's eye.

Runs on the CUDA device where torch sees one, else on the CPU. Weights and batches are
random; sizes come from the options, or all at once from seed=N, so that sizes which nobody
has looked at can be tried. ACCURACY_MODE is what oracle.py does, ACCURACY_TRUTH its file.
"""
import contextlib
import copy
import os
import pathlib
import random
import sys

import torch
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import oracle as oracles  # noqa: E402
plain_models = oracles.beside("../reconcile/workloads.py")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Options(dict):
    """Options by name; a size that was not given is drawn from seed=N or the default."""

    def size(self, name, default):
        if name in self:
            return int(self[name])
        if "seed" not in self:
            return default
        draw = random.Random(f"{self['seed']} {name}")
        return max(1, default + draw.randint(-default // 4, default // 2))

    def text(self, name, default=""):
        return self.get(name, default)


def optimizers_of(kind, model, o):
    params = [p for p in model.parameters() if p.requires_grad]
    if kind == "muon":
        return muon(params)
    make = {
        "adamw": lambda: torch.optim.AdamW(params, foreach=True),
        "loop": lambda: torch.optim.AdamW(params, foreach=False),
        "fused": lambda: torch.optim.AdamW(params, fused=True),
        "capturable": lambda: torch.optim.AdamW(params, capturable=True),
        "momentum": lambda: torch.optim.SGD(params, lr=0.01, momentum=0.9),
        "sgd": lambda: torch.optim.SGD(params, lr=0.01),
        "adafactor": lambda: torch.optim.Adafactor(params),
        "adam8bit": lambda: adam8bit(params),
    }
    return [make[kind]()]


def muon(params):
    """Muon for the matrices, AdamW for the rest: as it is meant to be used."""
    flat = [p for p in params if p.ndim != 2]
    matrices = [p for p in params if p.ndim == 2]
    return [torch.optim.Muon(matrices, lr=0.01)] + (
        [torch.optim.AdamW(flat)] if flat else [])


def adam8bit(params):
    import bitsandbytes
    return bitsandbytes.optim.AdamW8bit(params)


def language(model, vocab, batch, seq):
    """(batch maker, loss) of a Hugging Face language model."""
    def make():
        ids = torch.randint(0, vocab, (batch, seq))
        return {"input_ids": ids, "labels": ids.clone()}

    def run(model, given):
        out = model(**given)
        return out.loss, out
    return make, run


def classified(shape, classes, batch):
    def make():
        return {"x": torch.randn(batch, *shape), "y": torch.randint(0, classes, (batch,))}

    def run(model, given):
        out = model(given["x"])
        return F.cross_entropy(out.float(), given["y"]), out
    return make, run


def mlp(o):
    model = plain_models.MLP(o.size("width", 1024), 10)
    return model, *classified((96,), 10, o.size("batch", 48))


def gpt(o):
    seq, vocab = o.size("seq", 128), o.size("vocab", 1009)
    heads = 4
    model = plain_models.GPT(vocab, seq, heads * o.size("head", 48), heads,
                             o.size("layers", 3), ckpt=o.text("ckpt") == "plain",
                             config=False, tied="tied" in o)

    def make():
        ids = torch.randint(0, vocab, (o.size("batch", 6), seq))
        return {"ids": ids, "labels": ids.clone()}
    return model, make, lambda model, given: (model(**given), None)


def gpt2(o):
    from transformers import GPT2Config, GPT2LMHeadModel
    seq, vocab, heads = o.size("seq", 128), o.size("vocab", 5003), 6
    config = GPT2Config(vocab_size=vocab, n_positions=seq, n_embd=heads * 2 * o.size("head", 16),
                        n_layer=o.size("layers", 4), n_head=heads, use_cache=False)
    model = GPT2LMHeadModel(config)
    return model, *language(model, vocab, o.size("batch", 4), seq)


def llama(o):
    from transformers import LlamaConfig, LlamaForCausalLM
    seq, vocab, heads = o.size("seq", 128), o.size("vocab", 5003), 6
    hidden = heads * 2 * o.size("head", 16)
    config = LlamaConfig(vocab_size=vocab, hidden_size=hidden,
                         intermediate_size=o.size("ffn", 512),
                         num_hidden_layers=o.size("layers", 4), num_attention_heads=heads,
                         num_key_value_heads=2, max_position_embeddings=seq, use_cache=False)
    model = LlamaForCausalLM(config)
    return model, *language(model, vocab, o.size("batch", 4), seq)


def resnet50(o):
    if not torch.cuda.is_available():
        # PyPI's torchvision has its operators for CUDA alone, but its import asks for these
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
    from torchvision.models import resnet50 as make
    edge = 32 * o.size("edge", 3)
    return make(), *classified((3, edge, edge), 1000, o.size("batch", 6))


def lora(o):
    from peft import LoraConfig, get_peft_model
    model, make, run = llama(o)
    model = get_peft_model(model, LoraConfig(
        r=o.size("rank", 8), target_modules=["q_proj", "v_proj"], lora_dropout=0.05))
    return model, make, run


def qlora(o):
    import bitsandbytes as bnb
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    model, make, run = llama(o)

    def quantise(module):
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and name != "lm_head":
                linear = bnb.nn.Linear4bit(child.in_features, child.out_features, bias=False,
                                           compute_dtype=torch.bfloat16, quant_type="nf4")
                linear.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False,
                                                  quant_type="nf4")
                setattr(module, name, linear)
            else:
                quantise(child)
    quantise(model)
    model = model.to(DEVICE)
    model.is_loaded_in_4bit = True
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model, LoraConfig(
        r=o.size("rank", 8), target_modules=["q_proj", "v_proj"]))
    return model, make, run


MODELS = {f.__name__: f for f in (mlp, gpt, gpt2, llama, resnet50, lora, qlora)}


def checkpointed(model, kind):
    """Hugging Face's switch, with PyTorch's two ways of checkpointing."""
    if kind in ("reentrant", "nonreentrant"):
        model.gradient_checkpointing_enable({"use_reentrant": kind == "reentrant"})
        if kind == "reentrant":
            model.enable_input_require_grads()
        model.train()


def prepare(o, watcher):
    """The model on its device and in its wrapper, its optimizers, batches and loss."""
    model, make, run = MODELS[o.text("model")](o)
    checkpointed(model, o.text("ckpt"))
    if o.text("precision") == "pure-bf16":
        model = model.to(torch.bfloat16)
    if "frozen" in o:
        for p in list(model.parameters())[: o.size("frozen", 2)]:
            p.requires_grad_(False)
    model = model.to(DEVICE)
    if "wrap" in o:
        import wrappers
        model = wrappers.WRAPPERS[o["wrap"]](model, o)
    optimizers = optimizers_of(o.text("optimizer", "adamw"), model, o)
    watcher.watch(model, *optimizers)
    return model, optimizers, make, run


def beside(o, model, average, make, run):
    """What scripts do between steps: an evaluation, an average of the weights."""
    if "evaluate" in o:
        model.eval()
        with torch.no_grad():
            run(model, {k: v.to(DEVICE) for k, v in make().items()})
        model.train()
    if average:
        with torch.no_grad():
            for old, new in zip(average.parameters(), model.parameters()):
                old.lerp_(new, 0.1)


def loop(o, watcher):
    """The training loop that most scripts have."""
    model, optimizers, make, run = prepare(o, watcher)
    average = None

    def zero():
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none="keep" not in o)

    precision, micro = o.text("precision", "fp32"), o.size("micro", 1)
    half = HALF.get(precision)
    scaler = torch.amp.GradScaler(DEVICE, enabled=precision == "fp16")
    with watcher.running():
        for step in range(o.size("steps", 5)):
            if "average" in o and step == o.size("average", 0):
                average = copy.deepcopy(model).requires_grad_(False)
                watcher.watch(average)
            if o.text("zero") == "first":
                zero()
            for part in range(micro):
                given = {k: v.to(DEVICE) for k, v in make().items()}
                watcher.inputs(given)
                with torch.autocast(DEVICE, half) if half else contextlib.nullcontext():
                    loss, out = run(model, given)
                    loss = loss / micro if micro > 1 else loss
                watcher.outputs(loss, out)
                if part == micro - 1:
                    watcher.moment("forward")
                scaler.scale(loss).backward()
            watcher.moment("backward")
            if "clip" in o:
                for optimizer in optimizers:
                    scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
            watcher.moment("step")
            beside(o, model, average, make, run)
            if o.text("zero") != "first":
                zero()


def main(words):
    torch.manual_seed(0)
    o = Options((w + "=").split("=")[:2] for w in words)
    watcher = oracles.Oracle(os.environ.get("ACCURACY_MODE", "truth"), DEVICE,
                             os.environ["ACCURACY_TRUTH"])
    if "with" in o:
        import wrappers
        wrappers.TRAINERS[o["with"]](o, watcher, MODELS, DEVICE)
    else:
        loop(o, watcher)


if __name__ == "__main__":
    main(sys.argv[1:])
