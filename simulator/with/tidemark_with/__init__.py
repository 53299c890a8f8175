"""tidemark_with - the levers of `tidemark simulate --with`, applied to a program from outside.

The command names them in TIDEMARK_WITH ("foreach_off,checkpointing=h") and reads from the file
TIDEMARK_WITH_REPORT what became of each: a line "applied<tab>LEVER<tab>to what", or at the
program's end "absent<tab>LEVER<tab>why". Nothing here ends the program: a lever that cannot be
applied is told, and the program goes on as it is written.
"""
import atexit, os, sys

from . import allocator, attention, batch, checkpointing, loss, modes, optimizers
from .models import Models
from .report import Report

LEVERS = {
    "expandable_segments": allocator.ExpandableSegments,
    "checkpointing": checkpointing.Checkpointing,
    "foreach_off": optimizers.ForeachOff,
    "fused_optimizer": optimizers.FusedOptimizer,
    "8bit_optimizer": optimizers.EightBitOptimizer,
    "bf16_autocast": modes.Bf16Autocast,
    "no_grad_in_eval": modes.NoGradInEval,
    "flash_attention": attention.FlashAttention,
    "smaller_batch": batch.SmallerBatch,
    "chunked_loss": loss.ChunkedLoss,
}

report = Report(os.environ.get("TIDEMARK_WITH_REPORT"))
levers = []


def asked():
    for word in os.environ.get("TIDEMARK_WITH", "").split(","):
        name, _, value = word.partition("=")
        if name in LEVERS:
            yield name, value


def before_torch():
    """torch's allocator reads its settings when its library is loaded."""
    for name, value in asked():
        levers.append(LEVERS[name](report.of(name), value))
    for lever in levers:
        lever.before_torch()


def after_torch(torch):
    models = Models(torch)
    for lever in levers:
        try:
            lever.after_torch(torch, models)
        except Exception as error:  # a PyTorch that is not as the lever knows it
            lever.report.absent(f"this PyTorch refuses it: {type(error).__name__}: {error}")
    atexit.register(at_end, models)


def at_end(models):
    for lever in levers:
        if not lever.report.was_applied:
            lever.report.absent(lever.why_not(models))
