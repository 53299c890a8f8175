"""attention.py - flash_attention: attention that keeps no scores, where it is a switch."""
import functools

from .lever import Lever

FAST = ("sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")


class FlashAttention(Lever):
    def __init__(self, report, value):
        super().__init__(report, value)
        self.why, self.own = None, {}

    def after_torch(self, torch, models):
        self.torch = torch
        models.on_first_run(self, self.switch)
        former = torch.nn.MultiheadAttention.forward

        @functools.wraps(former)
        def forward(self_, query, key, value, key_padding_mask=None, need_weights=True, *args,
                    **kwargs):
            if need_weights:
                self.report.applied("MultiheadAttention, without need_weights")
            return former(self_, query, key, value, key_padding_mask, False, *args, **kwargs)
        torch.nn.MultiheadAttention.forward = forward

    def switch(self, root):
        cuda = self.torch.backends.cuda
        if not cuda.flash_sdp_enabled() and not cuda.mem_efficient_sdp_enabled():
            cuda.enable_flash_sdp(True)
            cuda.enable_mem_efficient_sdp(True)
            self.report.applied("scaled_dot_product_attention, which the program held to math")
        for path, module in root.named_modules():
            config = getattr(module, "config", None)
            kind = getattr(config, "_attn_implementation", None)
            if kind in FAST:
                self.why = f"the attention of {type(module).__name__} is '{kind}' already"
            elif kind and hasattr(module, "set_attn_implementation"):
                module.set_attn_implementation("sdpa")
                self.report.applied(f"sdpa for {kind} in {type(module).__name__}")
                return
            elif kind:
                config._attn_implementation = "sdpa"
                self.report.applied(f"sdpa for {kind} in {type(module).__name__}")
            if "attention" in type(module).__name__.lower() or path.rsplit(".", 1)[-1] == "attn":
                self.own.setdefault(type(module).__name__, path)

    def why_not(self, models):
        if self.why:
            return self.why
        if self.own:
            text = ", ".join(f"{kind} ({path})" for kind, path in list(self.own.items())[:4])
            return f"its attention is written by hand, in {text}: only the program can change it"
        return f"no attention of PyTorch or Hugging Face: {models.text()}"
