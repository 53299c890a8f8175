# memory: 1000MiB
# cause: a LightningModule collects its step outputs for the end of the epoch
# fix: stop_leak
# levers: stop_leak smaller_batch=64 8bit_optimizer foreach_off fused_optimizer bf16_autocast
"""Lightning; on_train_epoch_end needs the features of the epoch, or so it seems."""
import os
import warnings

import lightning
import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
BATCH = int(VALUE) if LEVER == "smaller_batch" else 64


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 3, 2, 1),
                                     nn.ReLU(), nn.Conv2d(128, 256, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(256, 10)
        self.outputs = []

    def training_step(self, batch, index):
        images, labels = batch
        features = self.encoder(images)
        loss = nn.functional.cross_entropy(self.head(features.mean((2, 3))), labels)
        kept = features.detach()
        self.outputs.append(kept.mean((2, 3)) if LEVER == "stop_leak" else kept)
        return loss

    def on_train_epoch_end(self):
        self.outputs.clear()

    def configure_optimizers(self):
        if LEVER == "8bit_optimizer":
            import bitsandbytes
            return bitsandbytes.optim.Adam8bit(self.parameters())
        more = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}
        return torch.optim.Adam(self.parameters(), **more.get(LEVER, {}))


class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 40 * BATCH

    def __getitem__(self, i):
        return torch.zeros(3, 128, 128), i % 10


warnings.filterwarnings("ignore")
trainer = lightning.Trainer(max_epochs=1, accelerator="gpu", devices=1, logger=False,
                            enable_checkpointing=False, enable_progress_bar=False,
                            precision="bf16-mixed" if LEVER == "bf16_autocast" else "32-true")
trainer.fit(Classifier(), torch.utils.data.DataLoader(Pictures(), batch_size=BATCH))
