# memory: 6300MiB
# cause: the curriculum's texts grow from epoch to epoch, and the longest do not fit
# fix: shorter_sequence smaller_batch checkpointing flash_attention accumulate
# levers: shorter_sequence=1024 smaller_batch=8 checkpointing bf16_autocast flash_attention chunked_loss 8bit_optimizer accumulate=1
"""A small GPT-2 with Accelerate; sequence length is warmed up."""
import os

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Config, GPT2LMHeadModel, get_linear_schedule_with_warmup

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
LONGEST = int(VALUE) if LEVER == "shorter_sequence" else 1024
PARTS = int(VALUE) if LEVER == "accumulate" else 1
BATCH = (int(VALUE) if LEVER == "smaller_batch" else 8) // PARTS
VOCAB = 16000

accelerator = Accelerator(gradient_accumulation_steps=PARTS,
                          mixed_precision="bf16" if LEVER == "bf16_autocast" else "no")
config = GPT2Config(vocab_size=VOCAB, n_positions=1024, n_embd=512, n_layer=6, n_head=8,
                    attn_implementation="sdpa" if LEVER == "flash_attention" else "eager")
model = GPT2LMHeadModel(config)
if LEVER == "checkpointing":
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(model.parameters(), lr=3e-4)
else:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
scheduler = get_linear_schedule_with_warmup(optimizer, 4, 40)
model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)


def batches(length, steps):
    for _ in range(steps * PARTS):
        yield torch.randint(0, VOCAB, (BATCH, length)).to(accelerator.device)


def loss_of_rows(hidden, labels):
    return F.cross_entropy(model.lm_head(hidden).float(), labels, reduction="sum")


def language_loss(ids):
    if LEVER != "chunked_loss":
        return model(input_ids=ids, labels=ids, use_cache=False).loss
    hidden = model.transformer(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    labels = ids[:, 1:].flatten()
    total = sum(checkpoint(loss_of_rows, h, y, use_reentrant=False)
                for h, y in zip(hidden.split(1024), labels.split(1024)))
    return total / labels.numel()


model.train()
for epoch, length in enumerate((128, 256, 512, 768, 1024)):
    length = min(length, LONGEST)
    for ids in batches(length, 3):
        with accelerator.accumulate(model):
            loss = language_loss(ids)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    accelerator.print(f"epoch {epoch} length {length} loss {loss.item():.3f}")
