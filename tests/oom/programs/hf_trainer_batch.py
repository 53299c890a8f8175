# memory: 9450MiB
# cause: per_device_train_batch_size is too large
# fix: smaller_batch checkpointing accumulate
# levers: smaller_batch=16 checkpointing bf16_autocast 8bit_optimizer accumulate=1 fused_optimizer flash_attention shorter_sequence=512
"""GPT-2 from a configuration, trained by Hugging Face's Trainer."""
import os
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16
LENGTH = int(VALUE) if LEVER == "shorter_sequence" else 512


class Lines(torch.utils.data.Dataset):
    def __len__(self):
        return 4096

    def __getitem__(self, i):
        ids = torch.full((LENGTH,), i % 50257)
        return {"input_ids": ids, "labels": ids}


config = GPT2Config(n_layer=6, n_embd=768, n_head=12, n_positions=512)
config._attn_implementation = "sdpa" if LEVER == "flash_attention" else "eager"
model = GPT2LMHeadModel(config)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, max_steps=3, report_to=[], save_strategy="no", disable_tqdm=True,
        per_device_train_batch_size=BATCH if LEVER != "accumulate" else 16 // int(VALUE),
        gradient_accumulation_steps=int(VALUE) if LEVER == "accumulate" else 1,
        gradient_checkpointing=LEVER == "checkpointing",
        bf16=LEVER == "bf16_autocast",
        optim={"8bit_optimizer": "adamw_bnb_8bit", "fused_optimizer": "adamw_torch_fused"}.get(
            LEVER, "adamw_torch"))
    Trainer(model=model, args=arguments, train_dataset=Lines()).train()
