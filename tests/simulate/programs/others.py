"""Programs of other kinds, with a lever as somebody would write it into them, or without.

usage: others.py cnn|trainer|lora|ddp|functional [LEVER]
"""
import sys
import tempfile
import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional as F

KIND, LEVER = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
BATCH = 2 if LEVER == "smaller_batch" else 8


def optimizer_of(parameters, kind=torch.optim.AdamW):
    if LEVER == "8bit_optimizer":
        import bitsandbytes
        return bitsandbytes.optim.AdamW8bit(parameters)
    return kind(parameters, **({"foreach": False} if LEVER == "foreach_off" else {}))


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width),
                                  nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x):
        return F.relu(x + self.body(x))


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 64, 3, padding=1), nn.Linear(64, 10)
        self.stages = nn.Sequential(*(Residual(64) for _ in range(6)))

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            if LEVER == "checkpointing":
                x = torch.utils.checkpoint.checkpoint(stage, x, use_reentrant=False)
            else:
                x = stage(x)
        return self.head(x.mean((2, 3)))


def images(count):
    return torch.utils.data.TensorDataset(torch.zeros(count, 3, 64, 64),
                                          torch.zeros(count, dtype=torch.long))


def cnn(wrapped=lambda model: model):
    model = wrapped(CNN().cuda())
    optimizer = optimizer_of(model.parameters())
    for x, y in torch.utils.data.DataLoader(images(24), batch_size=BATCH):
        F.cross_entropy(model(x.cuda()), y.cuda()).backward()
        optimizer.step()
        optimizer.zero_grad()


def ddp():
    torch.distributed.init_process_group("nccl")
    cnn(nn.parallel.DistributedDataParallel)


def trainer():
    import transformers as t
    model = t.GPT2LMHeadModel(t.GPT2Config(n_embd=256, n_layer=6, n_head=4, vocab_size=8000))
    sample = {"input_ids": torch.arange(256), "labels": torch.arange(256)}
    with tempfile.TemporaryDirectory() as folder:
        arguments = t.TrainingArguments(
            folder, max_steps=3, per_device_train_batch_size=BATCH, report_to=[],
            save_strategy="no", optim="adamw_torch", bf16=LEVER == "bf16_autocast",
            gradient_checkpointing=LEVER == "checkpointing",
            gradient_checkpointing_kwargs={"use_reentrant": False})
        t.Trainer(model, arguments, train_dataset=[sample] * 64).train()


def lora():
    import peft
    import transformers as t
    config = t.LlamaConfig(vocab_size=8000, hidden_size=512, intermediate_size=1536,
                           num_hidden_layers=4, num_attention_heads=8,
                           attn_implementation="sdpa" if LEVER == "flash_attention" else "eager")
    model = peft.get_peft_model(t.LlamaForCausalLM(config).cuda(), peft.LoraConfig(
        r=64, target_modules=["q_proj", "v_proj"]))
    if LEVER == "checkpointing":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = optimizer_of([p for p in model.parameters() if p.requires_grad])
    for _ in range(3):
        ids = torch.randint(0, 8000, (BATCH, 256), device="cuda")
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def functional():
    weight = torch.zeros(1000, 1000, device="cuda", requires_grad=True)
    optimizer = torch.optim.LBFGS([weight])
    (torch.zeros(8, 1000, device="cuda") @ weight).sum().backward()
    optimizer.step(lambda: 0.0)


{"cnn": cnn, "trainer": trainer, "lora": lora, "ddp": ddp, "functional": functional}[KIND]()
print("trained")
