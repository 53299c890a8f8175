# memory: 4800MiB
# cause: modules_to_save makes trained copies of embedding and head beside the adapters, with states for a large vocabulary
# fix: 8bit_optimizer
# levers: 8bit_optimizer foreach_off fused_optimizer smaller_batch=2 shorter_sequence=256 checkpointing bf16_autocast zero_grad_first
"""LoRA with new tokens in the vocabulary, as a guide for chat templates had it."""
import os

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 2
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 256
VOCAB = 96000

config = LlamaConfig(vocab_size=VOCAB - 64, hidden_size=1024, intermediate_size=2752, num_hidden_layers=6,
                     num_attention_heads=16, num_key_value_heads=4, max_position_embeddings=2048, use_cache=False)
with torch.device("cuda"):
    model = LlamaForCausalLM(config)
model.resize_token_embeddings(VOCAB, mean_resizing=False)
if LEVER == "checkpointing":
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
model = get_peft_model(model, LoraConfig(
    r=16, lora_alpha=32, lora_dropout=0.05, task_type="CAUSAL_LM",
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], modules_to_save=["embed_tokens", "lm_head"]))
model.cuda().train()

trainable = [p for p in model.parameters() if p.requires_grad]
total = sum(p.numel() for p in model.parameters())
print(f"trainable: {sum(p.numel() for p in trainable):,} of {total:,}")
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(trainable, lr=2e-4)
else:
    optimizer = torch.optim.AdamW(trainable, lr=2e-4, foreach=False if LEVER == "foreach_off" else None,
                                  fused=True if LEVER == "fused_optimizer" else None)
scheduler = get_cosine_schedule_with_warmup(optimizer, 2, 100)


def chats(steps):
    for _ in range(steps):
        ids = torch.randint(0, VOCAB, (BATCH, LENGTH))
        labels = ids.clone()
        labels[:, :LENGTH // 3] = -100
        yield {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


for step, batch in enumerate(chats(4)):
    batch = {key: value.cuda() for key, value in batch.items()}
    if LEVER == "zero_grad_first":
        optimizer.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = model(**batch).loss
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 0.3)
    optimizer.step()
    scheduler.step()
    print(step, loss.item())
