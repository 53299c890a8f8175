"""Hugging Face's Trainer on a model with random weights: docs/howto/trainers.md."""
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

config = GPT2Config(n_layer=2, n_head=2, n_embd=64, vocab_size=500, n_positions=64)
tokens = torch.randint(500, (8, 32))
data = [{"input_ids": row, "labels": row} for row in tokens]
arguments = TrainingArguments("out", per_device_train_batch_size=4, max_steps=2, report_to=[],
                              save_strategy="no", disable_tqdm=True)
Trainer(model=GPT2LMHeadModel(config), args=arguments, train_dataset=data).train()
