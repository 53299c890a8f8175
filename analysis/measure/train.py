"""Trains a model with random weights for two steps and says what it was made of.

`tidemark plan --measure` runs this on the simulated device, `--print-script` prints it. It is a
usual training loop, so it runs on a real GPU as well: python train.py [RESULT.json]
"""
import json
import os
import sys
import time

SETTINGS = None

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error",
                  HF_HUB_DISABLE_PROGRESS_BARS="1", TOKENIZERS_PARALLELISM="false")
TASKS = {"causal-lm": "CAUSAL_LM", "masked-lm": "MASKED_LM",
         "sequence-classification": "SEQUENCE_CLASSIFICATION",
         "token-classification": "TOKEN_CLASSIFICATION", "seq2seq": "SEQ_TO_SEQ_CAUSAL_LM"}
#: What models call the matmuls of a layer, by the names of --lora-targets.
TARGETS = {"q": ["q_proj", "query", "query_proj", "q_lin", "q"],
           "k": ["k_proj", "key", "key_proj", "k_lin", "k"],
           "v": ["v_proj", "value", "value_proj", "v_lin", "v"],
           "qkv": ["c_attn", "query_key_value", "qkv_proj", "Wqkv", "att_proj"],
           "o": ["o_proj", "out_proj", "attn.c_proj", "attention.dense", "self_attention.dense",
                 "attention.output.dense", "self_attn.dense", "out_lin", "o"],
           "gate": ["gate_proj", "gate_up_proj", "wi_0"],
           "up": ["up_proj", "c_fc", "fc1", "fc_in", "dense_h_to_4h", "intermediate.dense",
                  "gate_up_proj", "lin1", "ffn", "wi", "wi_1"],
           "down": ["down_proj", "mlp.c_proj", "fc2", "fc_out", "dense_4h_to_h", "output.dense",
                    "lin2", "ffn_output", "wo"]}
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Refused(Exception):
    """Why there is nothing to measure, in one sentence."""


# ------------------------------------------------------------------ the model

def load_config(torch):
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    import transformers
    settings = SETTINGS["config"]
    if not isinstance(settings, dict):
        with open(settings, encoding="utf-8") as file:
            settings = json.load(file)
    kind = settings.get("model_type")
    if not kind:
        raise Refused("the config has no 'model_type', so transformers cannot build its model")
    if kind not in CONFIG_MAPPING:
        raise Refused(f"transformers {transformers.__version__} does not know the model_type "
                      f"'{kind}'")
    config = CONFIG_MAPPING[kind].from_dict(settings)
    config.use_cache = False
    # a published dtype would be the weights' where a model makes another by its config
    for one in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        if one is not None:
            one.dtype = getattr(torch, DTYPES[SETTINGS["parameters"]])
    if getattr(config, "is_encoder_decoder", False):  # labels are shifted behind this token
        config.decoder_start_token_id = getattr(config, "decoder_start_token_id", None) or 0
    if not SETTINGS["dropout"]:
        for name, value in list(vars(config).items()):
            if isinstance(value, float) and (name.endswith(("dropout", "dropout_prob", "pdrop",
                                                            "dropout_rate"))):
                setattr(config, name, 0.0)
        config.classifier_dropout = 0.0  # without it transformers' classifiers have one of 0.1
    return config


def has_contrast(kind):
    """CLIP and its kind: images held against texts, a loss where it is asked for."""
    import inspect
    asked = inspect.signature(kind.forward).parameters
    return "return_loss" in asked and "pixel_values" in asked


def find_class(config):
    """The task's class; else the one that the config names, if it has a loss; else the usual one
    of its kind. Encoders stand in the list of causal models too, so masked models are looked for first."""
    import transformers
    from transformers.models.auto import modeling_auto as auto
    if SETTINGS["task"]:
        known = getattr(auto, f"MODEL_FOR_{TASKS[SETTINGS['task']]}_MAPPING")
        if type(config) not in known:
            raise Refused(f"transformers has no class of the model_type '{config.model_type}' for "
                          f"'--task {SETTINGS['task']}'")
        return known[type(config)]
    for name in config.architectures or []:
        known = getattr(transformers, name, None)
        if known and ("For" in name or "LMHead" in name or has_contrast(known)):
            return known
    lists = [auto.MODEL_FOR_CAUSAL_LM_MAPPING, auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
             auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING]
    if getattr(config, "is_encoder_decoder", False):
        lists.insert(0, lists.pop())
    elif not getattr(config, "is_decoder", False):
        lists.insert(0, auto.MODEL_FOR_MASKED_LM_MAPPING)
    for mapping in lists:
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, (list, tuple)) else found
    raise Refused(f"transformers has no model with a loss for the model_type "
                  f"'{config.model_type}'")


def own_tables(model):
    """Tables that the config gives and no checkpoint has."""
    for module in model.modules():
        if getattr(module, "original_inv_freq", None) is not None:
            model._init_weights(module)


def pack(model, torch):
    """The matmuls inside the layers in 4 bits, one weight after the other as it is loaded; the rest
    in the dtype of the parameters."""
    try:
        import bitsandbytes as bnb
    except ImportError:
        raise Refused("'--param-dtype nf4' is measured with bitsandbytes, which this Python "
                      "cannot import")
    compute = getattr(torch, DTYPES[SETTINGS["packed"]["computed"]])
    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) and type(module).__name__ != "Conv1D":
            continue
        if not any(part.isdigit() for part in name.split(".")):
            continue
        inside, outside = module.weight.shape
        if type(module).__name__ != "Conv1D":
            inside, outside = outside, inside
        new = bnb.nn.Linear4bit(inside, outside, module.bias is not None, compute,
                                compress_statistics=SETTINGS["packed"]["twice"],
                                quant_type="nf4", device="meta")
        new.weight = bnb.nn.Params4bit(
            torch.empty(outside, inside, dtype=compute, device="cuda"), requires_grad=False,
            quant_type="nf4", compress_statistics=SETTINGS["packed"]["twice"],
            module=new).to("cuda")
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, new)
    made, tied = {}, {}
    for module in model.modules():
        for kind in (module._parameters, module._buffers):
            for name, tensor in kind.items():
                if tensor is not None and tensor.is_meta:
                    if id(tensor) not in made:
                        made[id(tensor)] = tensor, torch.empty_like(tensor, device="cuda")
                    new = made[id(tensor)][1]
                    kind[name] = new if kind is module._buffers else tied.setdefault(
                        id(new), torch.nn.Parameter(new))
    for tensor in model.parameters():
        tensor.requires_grad_(False)
    model.is_loaded_in_4bit = True  # as from_pretrained() leaves it; PEFT asks for it
    own_tables(model)


def targets(model, torch):
    """The modules inside the layers that --lora-targets names."""
    wanted = set(SETTINGS["lora"]["targets"])
    names = [name for target in wanted | ({"qkv"} if wanted & {"q", "k", "v"} else set())
             for name in TARGETS[target]]
    found = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        if not (isinstance(module, torch.nn.Linear) or kind == "Conv1D") or ".pooler." in name:
            continue
        hits = [one for one in names if f".{name}".endswith(f".{one}")]
        if "attention.output.dense" in name and hits == ["output.dense"]:
            continue  # attention's, which is called as the feed-forward's
        if hits and any(part.isdigit() for part in name.split(".")):
            found.append(name)
    if not found:
        raise Refused(f"{type(model).__name__} has no module of '--lora-targets "
                      f"{','.join(sorted(wanted))}'")
    return found


def adapt(model, torch):
    """Gives the model PEFT's adapters, which alone are trained."""
    try:
        import peft
    except ImportError:
        raise Refused("'--lora-rank' is measured with peft, which this Python cannot import")
    lora = SETTINGS["lora"]
    config = peft.LoraConfig(r=lora["rank"], lora_alpha=2 * lora["rank"],
                             target_modules=targets(model, torch))
    peft.get_peft_model(model, config, autocast_adapter_dtype=False)
    dtype = getattr(torch, DTYPES[lora["dtype"]])
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def build(config, torch):
    """Made on the device and in its dtype at once: no weight is ever in host memory."""
    dtype = getattr(torch, DTYPES[SETTINGS["parameters"]])
    kind = find_class(config)
    # a model without attention, or with one of its own, refuses every other name
    named = SETTINGS["attention"] != "sdpa" or getattr(kind, "_supports_sdpa", False)
    config._attn_implementation = SETTINGS["attention"] if named else "eager"
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        later = SETTINGS["sharding"] == "fsdp2" or SETTINGS["packed"]
        with torch.device("meta" if later else "cuda"):
            model = kind(config)
    finally:
        torch.set_default_dtype(before)
    if SETTINGS["packed"]:
        pack(model, torch)
    if SETTINGS["lora"]:
        adapt(model, torch)
    model.train()
    if SETTINGS["checkpoint"]:
        if not model.supports_gradient_checkpointing:
            raise Refused(f"{type(model).__name__} has no gradient checkpointing in transformers")
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


# ------------------------------------------------------------------ several devices

def layers_of(model, torch):
    """The repeated blocks: what people shard one by one."""
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 1]
    return list(max(lists, key=len)) if lists else []


def join(torch):
    """The job that torchrun, or `tidemark simulate --rank R --world N`, has set up."""
    if not SETTINGS["sharding"]:
        return
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    torch.distributed.init_process_group("nccl")
    if torch.distributed.get_world_size() != SETTINGS["world"]:
        raise Refused(f"there are {torch.distributed.get_world_size()} ranks, not "
                      f"{SETTINGS['world']}")


def share(model, torch):
    """DDP, or FSDP2 on every layer and on the model, whose shards alone are made."""
    if SETTINGS["sharding"] == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model)
    if SETTINGS["sharding"] != "fsdp2":
        return model
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    mixed = MixedPrecisionPolicy(param_dtype=getattr(torch, DTYPES[SETTINGS["mixed"]]),
                                 reduce_dtype=torch.float32) if SETTINGS["mixed"] else None
    for module in [*layers_of(model, torch), model]:
        fully_shard(module, **({"mp_policy": mixed} if mixed else {}))
    model.to_empty(device="cuda")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.to_local().normal_(std=0.02)
        own_tables(model)
    return model


# ------------------------------------------------------------------ what it reads

def answer_for_masks():
    """Transformers asks the device whether a batch is padded or packed. This one is neither, and
    a simulated device computes nothing that could tell."""
    from transformers import masking_utils
    for name, answer in (("fast_all", True), ("find_packed_sequence_indices", None)):
        if hasattr(masking_utils, name):
            setattr(masking_utils, name, lambda *_, answer=answer, **__: answer)


def images(config, torch):
    """Pixels of a batch, in the parameters' dtype; 224 x 224 where a config names no size."""
    config = getattr(config, "vision_config", None) or config
    side = getattr(config, "image_size", 224)
    high, wide = side if isinstance(side, (list, tuple)) else (side, side)
    return torch.randn(SETTINGS["batch"], config.num_channels, high, wide,
                       dtype=getattr(torch, DTYPES[SETTINGS["parameters"]]), device="cuda")


def batch_for(model, config, torch):
    """One batch with labels, so that the model computes its own loss."""
    name, count = type(model).__name__, SETTINGS["batch"]
    if name.endswith("ForImageClassification"):
        return {"pixel_values": images(config, torch),
                "labels": torch.zeros(count, dtype=torch.long).cuda()}
    if has_contrast(type(model)):
        length = SETTINGS["seq"] or config.text_config.max_position_embeddings
        ids = torch.randint(0, config.text_config.vocab_size, (count, length)).cuda()
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids),
                "pixel_values": images(config, torch), "return_loss": True}
    if name.startswith("Whisper") and name.endswith("ForConditionalGeneration"):
        sound = torch.randn(count, config.num_mel_bins, 2 * config.max_source_positions,
                            dtype=getattr(torch, DTYPES[SETTINGS["parameters"]]), device="cuda")
        length = SETTINGS["target"] or config.max_target_positions
        return {"input_features": sound,
                "labels": torch.randint(0, config.vocab_size, (count, length)).cuda()}
    text = config.get_text_config()
    length = SETTINGS["seq"] or getattr(text, "max_position_embeddings", None) or 512
    ids = torch.randint(0, text.vocab_size, (count, length)).cuda()
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if name.endswith("ForSequenceClassification"):
        config.pad_token_id = config.pad_token_id or 0
        classes = config.num_labels > 1
        if classes:  # DeBERTa would look for labels, and a simulated device finds none
            config.problem_type = "single_label_classification"
        batch["labels"] = torch.zeros(count, dtype=torch.long if classes else torch.float).cuda()
    elif name.endswith("ForQuestionAnswering"):
        batch["start_positions"] = torch.zeros(count, dtype=torch.long).cuda()
        batch["end_positions"] = torch.zeros(count, dtype=torch.long).cuda()
    elif name.endswith("ForTokenClassification"):
        batch["labels"] = torch.zeros_like(ids)
    elif getattr(config, "is_encoder_decoder", False) and SETTINGS["target"]:
        batch["labels"] = torch.randint(0, text.vocab_size, (count, SETTINGS["target"])).cuda()
    else:
        batch["labels"] = ids.clone()
    return batch


# ------------------------------------------------------------------ the optimizer

def lion(torch):
    """Chen et al. 2023, Algorithm 2: one momentum."""
    class Lion(torch.optim.Optimizer):
        def __init__(self, params, lr=1e-4, betas=(0.9, 0.99)):
            super().__init__(params, {"lr": lr, "betas": betas})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                one, two = group["betas"]
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    if not state:
                        state["exp_avg"] = torch.zeros_like(p)
                    average = state["exp_avg"]
                    p.add_(average.mul(one).add_(p.grad, alpha=1 - one).sign_(), alpha=-group["lr"])
                    average.mul_(two).add_(p.grad, alpha=1 - two)
    return Lion


def optimizers(model, torch):
    """Muon is for matrices inside the layers; the rest has AdamW, as its author says."""
    name, trained = SETTINGS["optimizer"], [p for p in model.parameters() if p.requires_grad]
    if name == "adam8bit":
        try:
            import bitsandbytes
        except ImportError:
            raise Refused("'--optimizer adam8bit' is measured with bitsandbytes, which this "
                          "Python cannot import")
        return [bitsandbytes.optim.AdamW8bit(trained, lr=1e-4)]
    if name in ("adafactor", "muon") and not hasattr(torch.optim, name.capitalize()):
        raise Refused(f"torch {torch.__version__} has no torch.optim.{name.capitalize()}")
    if name == "muon":
        outside = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding)
                   for p in m.parameters()}
        head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        outside.update(id(p) for p in (head.parameters() if head else []))
        inside = [p for p in trained if p.dim() == 2 and id(p) not in outside]
        rest = [p for p in trained if p.dim() != 2 or id(p) in outside]
        return [torch.optim.Muon(inside), *([torch.optim.AdamW(rest, lr=1e-4)] if rest else [])]
    how = {"foreach": {}, "fused": {"fused": True},
           "for-loop": {"foreach": False}}[SETTINGS["optimizer_impl"]]
    return [{"sgd": lambda: torch.optim.SGD(trained, lr=1e-4, **how),
             "sgd-momentum": lambda: torch.optim.SGD(trained, lr=1e-4, momentum=0.9, **how),
             "adam": lambda: torch.optim.Adam(trained, lr=1e-4, **how),
             "adamw": lambda: torch.optim.AdamW(trained, lr=1e-4, **how),
             "adafactor": lambda: torch.optim.Adafactor(trained),
             "lion": lambda: lion(torch)(trained)}[name]()]


def packing(model):
    """What 4-bit weights keep beside themselves: the scales of their blocks, and theirs."""
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            yield state.absmax
            if state.nested:
                yield state.state2.absmax


# ------------------------------------------------------------------ training

def size(tensors):
    """Bytes on the device, a tensor that is there twice counted once."""
    tensors = [getattr(t, "_local_tensor", t) for t in tensors]
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors if t.is_cuda}.values())


def step(model, batch, optimizer, scaler, autocast, result):
    """What lives in here is gone when the step is over."""
    for one in optimizer:
        one.zero_grad(set_to_none=True)
    for _ in range(SETTINGS["accumulate"]):
        with autocast():
            outputs = model(**batch)
        if outputs.loss is None:
            raise Refused(f"{type(model).__name__} computes no loss from labels")
        loss = outputs.loss / SETTINGS["accumulate"] if SETTINGS["accumulate"] > 1 else outputs.loss
        (scaler.scale(loss) if scaler else loss).backward()
    if SETTINGS["clip"]:
        for one in optimizer if scaler else ():
            scaler.unscale_(one)
        import torch
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for one in optimizer:
        scaler.step(one) if scaler else one.step()
    if scaler:
        scaler.update()
    result["gradient_bytes"] = size(p.grad for p in model.parameters() if p.grad is not None)


def train(torch, result):
    import contextlib
    config = load_config(torch)
    join(torch)
    bare = build(config, torch)
    model = share(bare, torch)
    result.update(model_class=type(bare).__name__, attention=config._attn_implementation,
                  parameters=sum(p.numel() for p in bare.parameters()),
                  parameter_bytes=size([*bare.parameters(), *packing(bare)]),
                  buffer_bytes=size(bare.buffers()))
    answer_for_masks()
    torch.cuda.empty_cache()  # of what building the model took
    batch = batch_for(bare, config, torch)
    optimizer = optimizers(bare, torch)
    scaler, autocast = None, contextlib.nullcontext
    if SETTINGS["autocast"]:
        dtype = getattr(torch, DTYPES[SETTINGS["autocast"]])
        autocast = lambda: torch.autocast("cuda", dtype)  # noqa: E731
        if dtype is torch.float16:
            scaler = torch.amp.GradScaler("cuda")
    for _ in range(SETTINGS["steps"]):
        step(model, batch, optimizer, scaler, autocast, result)
    result["optimizer_bytes"] = size(value for one in optimizer for state in one.state.values()
                                     for value in state.values() if torch.is_tensor(value))


def main():
    result, begin = {}, time.monotonic()
    try:
        try:
            import torch
            result["torch"] = torch.__version__
        except ImportError as why:
            raise Refused(f"this Python cannot import torch: {why}")
        try:
            import transformers
            result["transformers"] = transformers.__version__
        except ImportError as why:
            raise Refused(f"this Python cannot import transformers: {why}")
        train(torch, result)
    except Refused as why:
        result["refused"] = str(why)
    except Exception as why:
        result["failed"] = " ".join(f"{type(why).__name__}: {why}".split())[:300]
        raise
    finally:
        result["seconds"] = round(time.monotonic() - begin, 3)
        text = json.dumps(result, indent=1)
        if len(sys.argv) > 1:
            with open(sys.argv[1], "w", encoding="utf-8") as file:
                file.write(text)
        else:
            print(text)
    return 1 if "refused" in result else 0


if __name__ == "__main__":
    sys.exit(main())
