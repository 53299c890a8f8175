# memory: 10950MiB
# cause: adapters are small, the activations under them are not
# fix: checkpointing smaller_batch
# levers: checkpointing smaller_batch=8 shorter_sequence=1024 flash_attention bf16_autocast 8bit_optimizer chunked_loss
"""LoRA by PEFT on a frozen bf16 Llama."""
import os

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.checkpoint import checkpoint
from transformers import LlamaConfig, LlamaForCausalLM

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
batch = int(VALUE) if LEVER == "smaller_batch" else 8
length = int(VALUE) if LEVER == "shorter_sequence" else 1024

config = LlamaConfig(vocab_size=32000, hidden_size=1024, intermediate_size=2816,
                     num_hidden_layers=10, num_attention_heads=16, num_key_value_heads=8,
                     attn_implementation="sdpa" if LEVER == "flash_attention" else "eager")
base = LlamaForCausalLM(config).to(torch.bfloat16)
base.config.use_cache = False
if LEVER == "checkpointing":
    base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    base.enable_input_require_grads()
model = get_peft_model(base, LoraConfig(
    r=16, lora_alpha=32, lora_dropout=0.05, task_type="CAUSAL_LM",
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])).cuda()
model.train()
adapters = [p for p in model.parameters() if p.requires_grad]
if LEVER == "8bit_optimizer":
    import bitsandbytes
    optimizer = bitsandbytes.optim.AdamW8bit(adapters, lr=2e-4)
else:
    optimizer = torch.optim.AdamW(adapters, lr=2e-4)


def piece(hidden, targets):
    return torch.nn.functional.cross_entropy(base.lm_head(hidden).float(), targets)


for step in range(3):
    ids = torch.randint(32000, (batch, length), device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        if LEVER == "chunked_loss":
            hidden = base.model(input_ids=ids).last_hidden_state
            losses = [checkpoint(piece, h, i, use_reentrant=False) for h, i in zip(hidden, ids)]
            loss = torch.stack(losses).mean()
        else:
            loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
