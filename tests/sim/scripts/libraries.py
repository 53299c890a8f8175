"""Train a small model with random weights through a library; print what memory it took.

usage: libraries.py KIND [ARGUMENTS...]
A package that is missing, or refuses this PyTorch, ends it with status 77 and the reason.
"""
import contextlib, json, os, sys, tempfile
import torch, torch.nn as nn

os.environ.setdefault("HF_HUB_OFFLINE", "1")
NEEDS = {"trainer": "transformers", "resnet": "torchvision", "lightning": "lightning",
         "lora": "peft", "qlora": "bitsandbytes", "torchao": "torchao.optim",
         "accelerate": "accelerate", "deepspeed": "deepspeed", "compile": "triton"}


def said(model, **more):
    """The last line: bytes of the model's weights and what the device's memory came to."""
    if isinstance(model, nn.Module):
        model = sum(p.numel() * p.element_size() for p in model.parameters())
    print(json.dumps({"parameters": model, "allocated": torch.cuda.memory_allocated(),
                      "peak": torch.cuda.max_memory_allocated(), **more}))


def layers(width=512, count=4):
    """Blocks whose activations weigh more than their weights do."""
    block = lambda: nn.TransformerEncoderLayer(width, 8, 4 * width, dropout=0.0,
                                               batch_first=True)
    with torch.device("cuda"):
        return nn.Sequential(*(block() for _ in range(count)))


def train(model, optimizer, steps=3, batch=(8, 256, 512), forward=None):
    for _ in range(steps):
        x = torch.randn(batch, device="cuda")
        (forward or model)(x).pow(2).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def hf_model(kind, width=256):
    """A model from a configuration alone, and one of the samples it learns from."""
    import transformers as t
    ids = {"input_ids": torch.arange(64), "labels": torch.arange(64)}
    if kind == "bert":
        config = t.BertConfig(hidden_size=256, num_hidden_layers=3, num_attention_heads=4)
        return t.BertForMaskedLM(config), ids
    if kind == "gpt2":
        return t.GPT2LMHeadModel(t.GPT2Config(n_embd=256, n_layer=3, n_head=4)), ids
    if kind == "llama":
        config = t.LlamaConfig(vocab_size=8000, hidden_size=width, intermediate_size=3 * width,
                               num_hidden_layers=3, num_attention_heads=4)
        return t.LlamaForCausalLM(config), ids
    if kind == "t5":
        config = t.T5Config(d_model=256, num_layers=2, num_heads=4, decoder_start_token_id=0)
        return t.T5ForConditionalGeneration(config), ids
    config = t.ViTConfig(hidden_size=256, num_hidden_layers=3, num_attention_heads=4)
    sample = {"pixel_values": torch.zeros(3, 224, 224), "labels": torch.tensor(1)}
    return t.ViTForImageClassification(config), sample


def trainer(kind):
    import transformers as t
    model, sample = hf_model(kind)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        arguments = t.TrainingArguments(
            folder, max_steps=3, per_device_train_batch_size=4, report_to=[], bf16=True,
            save_strategy="no", logging_steps=1, optim="adamw_torch", dataloader_num_workers=1)
        done = t.Trainer(model, arguments, train_dataset=[sample] * 64).train()
    said(model, steps=done.global_step)


def resnet():
    import torchvision
    model = torchvision.models.resnet50().cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer, batch=(8, 3, 224, 224))
    said(model)


def lightning():
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(1024, 4096), nn.ReLU(), nn.Linear(4096, 1024))

        def training_step(self, batch, _):
            return self.layers(batch).pow(2).mean()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters())

    model = Module()
    with contextlib.redirect_stdout(sys.stderr):
        fit = L.Trainer(max_steps=3, accelerator="gpu", devices=1, logger=False,
                        enable_checkpointing=False, enable_progress_bar=False,
                        precision="bf16-mixed")
        fit.fit(model, torch.utils.data.DataLoader(torch.zeros(64, 1024), batch_size=8))
    said(model, steps=fit.global_step)


def adapters(model, rank=8):
    import peft
    config = peft.LoraConfig(r=rank, target_modules=["q_proj", "v_proj"])
    model = peft.get_peft_model(model, config)
    return model, [p for p in model.parameters() if p.requires_grad]


def learn(model, optimizer, steps=3):
    ids = torch.randint(0, 8000, (4, 64), device="cuda")
    for _ in range(steps):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def lora():
    base, _ = hf_model("llama")
    model, trained = adapters(base.cuda())
    learn(model, torch.optim.AdamW(trained))
    said(model, trained=sum(p.numel() for p in trained))


def four_bit(model):
    """Every linear layer but the head, as transformers does it for a checkpoint."""
    import bitsandbytes as bnb
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and name != "lm_head":
                new = bnb.nn.Linear4bit(child.in_features, child.out_features, bias=False,
                                        compute_dtype=torch.bfloat16, quant_type="nf4")
                new.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False,
                                               quant_type="nf4")
                setattr(parent, name, new)
    return model


def qlora(optimizer):
    import bitsandbytes as bnb, peft
    # adapters of more than 100,000 numbers each: bitsandbytes pages no smaller ones
    base, _ = hf_model("llama", 1024)
    full = sum(p.numel() for p in base.parameters())
    base = four_bit(base.bfloat16()).cuda()
    torch.cuda.synchronize()
    weights = torch.cuda.memory_allocated()
    base = peft.prepare_model_for_kbit_training(base)
    model, trained = adapters(base, rank=128)
    learn(model, getattr(bnb.optim, optimizer)(trained, lr=1e-3))
    said(weights, numbers=full, trained=sum(p.numel() for p in trained))


def torchao():
    from torchao.optim import AdamW8bit
    model = layers()
    train(model, AdamW8bit(model.parameters()))
    said(model)


def accelerate():
    from accelerate import Accelerator
    accelerator = Accelerator(mixed_precision="bf16", gradient_accumulation_steps=2)
    model = layers()
    data = torch.utils.data.DataLoader(torch.zeros(16, 64, 512), batch_size=4)
    model, optimizer, data = accelerator.prepare(model, torch.optim.AdamW(model.parameters()), data)
    for x in data:
        with accelerator.accumulate(model):
            accelerator.backward(model(x).pow(2).mean())
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    said(model)


def deepspeed(stage, world="8"):
    import torch.distributed as dist
    os.environ.update(LOCAL_RANK="0", RANK="0", WORLD_SIZE=world)
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=int(world))
    with contextlib.redirect_stdout(sys.stderr):
        import deepspeed
        model = layers()
        bytes_ = sum(p.numel() * 2 for p in model.parameters())
        # torch_adam: DeepSpeed's own is compiled with nvcc when it is first used
        engine, *_ = deepspeed.initialize(
            model=model, model_parameters=model.parameters(), dist_init_required=False,
            config={"train_micro_batch_size_per_gpu": 4, "bf16": {"enabled": True},
                    "zero_optimization": {"stage": int(stage)},
                    "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "torch_adam": True}}})
        for _ in range(3):
            x = torch.randn(4, 256, 512, device="cuda", dtype=torch.bfloat16)
            engine.backward(engine(x).pow(2).mean())
            engine.step()
    said(bytes_)


def offload(where):
    """Activations on the device, or in (pinned) host memory between forward and backward."""
    model = layers()
    hooks = {"device": contextlib.nullcontext,
             "host": lambda: torch.autograd.graph.save_on_cpu(pin_memory=True),
             "hooks": lambda: torch.autograd.graph.saved_tensors_hooks(
                 lambda t: t.cpu(), lambda t: t.cuda())}[where]

    def forward(x):
        with hooks():
            return model(x)
    train(model, torch.optim.SGD(model.parameters(), lr=0.1), forward=forward)
    said(model)


def compile(mode):
    from torch.utils._triton import has_triton
    if not has_triton():
        sys.exit("has_triton() says no")
    model = layers()
    optimizer, forward = torch.optim.AdamW(model.parameters()), torch.compile(model, mode=mode)
    train(model, optimizer, steps=2, forward=forward)
    # to choose among kernels up to 2.6 clears the caches between trials, with 256 MB
    torch.cuda.reset_peak_memory_stats()
    train(model, optimizer, steps=2, forward=forward)
    from torch._dynamo.utils import counters
    said(model, graphs=counters["stats"]["unique_graphs"], breaks=len(counters["graph_break"]))


def saveload():
    model = layers()
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer)
    with tempfile.NamedTemporaryFile() as file:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file.name)
        before = torch.cuda.memory_allocated()
        loaded = torch.load(file.name, map_location="cuda")
        grown = torch.cuda.memory_allocated() - before
        again = layers()
        again.load_state_dict(loaded["model"])
        other = torch.optim.AdamW(again.parameters())
        other.load_state_dict(loaded["optimizer"])
    train(again, other)
    said(model, loaded=grown)


def refuse(package, error):
    print(f"{package}: {type(error).__name__}: {str(error).splitlines()[0]}")
    sys.exit(77)


def main(kind, *arguments):
    needed = NEEDS.get(kind)
    try:
        if needed:
            __import__(needed)
    except Exception as error:  # whatever a package says when it refuses this PyTorch
        refuse(needed, error)
    try:
        globals()[kind](*arguments)
    except ImportError as error:  # transformers looks at what it needs as late as this
        if "undefined symbol" in str(error):
            raise  # that would be the simulated device's fault
        refuse(needed, error)


if __name__ == "__main__":
    main(*sys.argv[1:])
