"""wrappers.py - what libraries put around a model (WRAPPERS) or around a loop (TRAINERS)."""
import os

import torch


def process_group():
    import torch.distributed as dist
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))


def ddp(model, o):
    process_group()
    return torch.nn.parallel.DistributedDataParallel(
        model, gradient_as_bucket_view="view" in o, bucket_cap_mb=o.size("bucket", 2))


def layers_of(model):
    """The repeated blocks, in which people shard."""
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 1]
    return list(max(lists, key=len)) if lists else []


def fsdp1(model, o):
    process_group()
    from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy
    policy = ModuleWrapPolicy({type(m) for m in layers_of(model)})
    mixed = MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    return FullyShardedDataParallel(
        model, auto_wrap_policy=policy, use_orig_params="orig" in o,
        mixed_precision=mixed if "mixed" in o else None,
        device_id=torch.device("cuda", torch.cuda.current_device()))


def fsdp2(model, o):
    process_group()
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    mixed = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    more = {"mp_policy": mixed} if "mixed" in o else {}
    for layer in layers_of(model):
        fully_shard(layer, **more)
    fully_shard(model, **more)
    return model


def compiled(model, o):
    return torch.compile(model, backend=o["backend"])


WRAPPERS = {"ddp": ddp, "fsdp1": fsdp1, "fsdp2": fsdp2, "compile": compiled}


def rows(make, count):
    """`count` single samples out of the workload's own batches."""
    found = []
    while len(found) < count:
        batch = make()
        found += [{k: v[i] for k, v in batch.items()} for i in range(len(batch["input_ids"]))]
    return found[:count]


def trainer(o, watcher, models, device):
    """Hugging Face's Trainer."""
    import transformers
    model, make, _ = models[o.text("model")](o)
    batch = len(make()["input_ids"])

    class Watched(transformers.Trainer):
        def compute_loss(self, model, inputs, *more, **named):
            watcher.inputs(inputs, named.get("num_items_in_batch"))
            found = super().compute_loss(model, inputs, *more, **named)
            watcher.outputs(found)
            watcher.moment("forward")
            return found

        def training_step(self, *more, **named):
            found = super().training_step(*more, **named)
            watcher.moment("backward")
            return found

    class Steps(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, optimizer=None, **more):
            watcher.watch(model, getattr(optimizer, "optimizer", optimizer))

        def on_optimizer_step(self, args, state, control, **more):
            watcher.moment("step")

    arguments = transformers.TrainingArguments(
        output_dir=os.environ.get("TMPDIR", "/tmp"), max_steps=o.size("steps", 5),
        per_device_train_batch_size=batch, bf16="bf16" in o, report_to=[], save_strategy="no",
        disable_tqdm=True, logging_strategy="no", use_cpu=device == "cpu",
        gradient_checkpointing="ckpt" in o)
    run = Watched(model=model, args=arguments, callbacks=[Steps()],
                  train_dataset=rows(make, batch * o.size("steps", 5)))
    with watcher.running():
        run.train()


def accelerate(o, watcher, models, device):
    import accelerate as library
    helper = library.Accelerator(cpu=device == "cpu", mixed_precision=o.text("mixed", "no"))
    model, make, run = models[o.text("model")](o)
    batch = len(make()["input_ids"])
    optimizer = torch.optim.AdamW(model.parameters())
    loader = torch.utils.data.DataLoader(rows(make, batch * o.size("steps", 5)), batch)
    model, optimizer, loader = helper.prepare(model, optimizer, loader)
    watcher.watch(model, optimizer.optimizer)
    with watcher.running():
        for given in loader:
            watcher.inputs(given)
            loss, out = run(model, given)
            watcher.outputs(loss, out)
            watcher.moment("forward")
            helper.backward(loss)
            watcher.moment("backward")
            optimizer.step()
            watcher.moment("step")
            optimizer.zero_grad()


def lightning(o, watcher, models, device):
    import lightning as library
    model, make, run = models[o.text("model")](o)
    batch = len(make()["input_ids"])

    class Module(library.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def training_step(self, given, index):
            watcher.inputs(given)
            loss, out = run(self.model, given)
            watcher.outputs(loss, out)
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.parameters())
            watcher.watch(self, optimizer)
            return optimizer

        def on_before_backward(self, loss):
            watcher.moment("forward")

        def on_after_backward(self):
            watcher.moment("backward")

        def on_train_batch_end(self, *more):
            watcher.moment("step")

    runner = library.Trainer(
        max_steps=o.size("steps", 5), accelerator="gpu" if device == "cuda" else "cpu",
        devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, precision=o.text("precision", "32-true"))
    loader = torch.utils.data.DataLoader(rows(make, batch * o.size("steps", 5)), batch)
    with watcher.running():
        runner.fit(Module(), loader)


TRAINERS = {"trainer": trainer, "accelerate": accelerate, "lightning": lightning}
