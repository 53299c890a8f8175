# memory: 2600MiB
# cause: attention maps of all layers are collected on the GPU over a test set
# fix: stop_leak
# levers: stop_leak smaller_batch=16 bf16_autocast
"""A classifier is tuned, then its attention maps over the test set are collected to be plotted."""
import os

import torch
from transformers import BertConfig, BertForSequenceClassification

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 16

config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536,
                    attn_implementation="eager")
model = BertForSequenceClassification(config).cuda()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
model.train()
for _ in range(4):
    ids = torch.randint(0, 30000, (BATCH, 256), device="cuda")
    labels = torch.randint(0, 2, (BATCH,), device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=LEVER == "bf16_autocast"):
        loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

model.eval()
maps = []
with torch.no_grad():
    for _ in range(24):
        ids = torch.randint(0, 30000, (BATCH, 256), device="cuda")
        out = model(input_ids=ids, output_attentions=True)
        maps.append(torch.stack([a.cpu() if LEVER == "stop_leak" else a for a in out.attentions]))
