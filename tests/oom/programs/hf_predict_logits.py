# memory: 1200MiB
# cause: Trainer's evaluation keeps the logits of all batches on the GPU
# fix: stop_leak
# levers: stop_leak smaller_batch=8 bf16_autocast shorter_sequence=128
"""A small Llama; eval_accumulation_steps would move the logits to the host."""
import os
import tempfile

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

lever, _, value = os.environ.get("LEVER", "").partition("=")
length = int(value) if lever == "shorter_sequence" else 128
rows = [{"input_ids": torch.arange(length), "labels": torch.arange(length)} for _ in range(256)]
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=8000, hidden_size=256, intermediate_size=688, num_hidden_layers=4,
    num_attention_heads=8))
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(
        model=model, train_dataset=rows[:64], eval_dataset=rows,
        compute_metrics=lambda pair: {"rows": float(len(pair.predictions))},
        args=TrainingArguments(
            folder, report_to=[], save_strategy="no", disable_tqdm=True, max_steps=4,
            eval_strategy="steps", eval_steps=4, per_device_train_batch_size=4,
            per_device_eval_batch_size=int(value) if lever == "smaller_batch" else 8,
            bf16=lever == "bf16_autocast",
            eval_accumulation_steps=2 if lever == "stop_leak" else None))
    trainer.train()
