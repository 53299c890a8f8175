# memory: 4600MiB
# cause: crops of a segmentation network are too large for the batch
# fix: smaller_batch accumulate bf16_autocast
# levers: smaller_batch=8 accumulate=1 bf16_autocast 8bit_optimizer foreach_off fused_optimizer
import os
import tempfile
import warnings

import lightning as L
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.models.segmentation import fcn_resnet50

warnings.filterwarnings("ignore")
LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
PARTS = int(VALUE) if LEVER == "accumulate" else 1
BATCH = (int(VALUE) if LEVER == "smaller_batch" else 8) // PARTS
CROP, CLASSES = 384, 19


class Streets(Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return torch.rand(3, CROP, CROP), torch.full((CROP, CROP), i % CLASSES)


class Segmenter(L.LightningModule):
    def __init__(self, lr=6e-5):
        super().__init__()
        self.save_hyperparameters()
        self.net = fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)

    def training_step(self, batch, index):
        x, y = batch
        out = self.net(x)
        loss = F.cross_entropy(out["out"], y) + 0.4 * F.cross_entropy(out["aux"], y)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, index):
        x, y = batch
        self.log("val", F.cross_entropy(self.net(x)["out"], y))

    def configure_optimizers(self):
        if LEVER == "8bit_optimizer":
            import bitsandbytes
            optimizer = bitsandbytes.optim.AdamW8bit(self.parameters(), lr=self.hparams.lr)
        else:
            optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr,
                                          foreach=False if LEVER == "foreach_off" else None,
                                          fused=True if LEVER == "fused_optimizer" else None)
        schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=100, power=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator="gpu", devices=1, max_epochs=1, limit_train_batches=3 * PARTS, limit_val_batches=2,
            accumulate_grad_batches=PARTS, precision="bf16-mixed" if LEVER == "bf16_autocast" else "32-true",
            num_sanity_val_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder)
        trainer.fit(Segmenter(), DataLoader(Streets(64), BATCH, shuffle=True), DataLoader(Streets(16), BATCH))
