"""loss.py - chunked_loss: the head and its cross-entropy a part at a time, by liger-kernel."""
from .lever import Lever


class ChunkedLoss(Lever):
    def __init__(self, report, value):
        super().__init__(report, value)
        self.why = None

    def after_torch(self, torch, models):
        models.on_first_run(self, self.apply)

    def apply(self, root):
        try:
            from liger_kernel.transformers import _apply_liger_kernel_to_instance
        except Exception as error:
            self.why = f"liger-kernel cannot be imported ({error}); 'pip install liger-kernel'"
            return
        for module in root.modules():
            config = getattr(module, "config", None)
            if "lm_head" not in module._modules or not getattr(config, "model_type", None):
                continue
            try:
                _apply_liger_kernel_to_instance(
                    model=module, rope=False, rms_norm=False, swiglu=False, cross_entropy=False,
                    fused_linear_cross_entropy=True)
            except TypeError:  # a model without one of these
                _apply_liger_kernel_to_instance(model=module, fused_linear_cross_entropy=True)
            self.report.applied(f"liger-kernel in {type(module).__name__}")
            return

    def why_not(self, models):
        return self.why or f"no language model of Hugging Face: {models.text()}"
