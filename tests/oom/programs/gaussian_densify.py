# memory: 1500MiB
# cause: the number of Gaussians grows by cloning and splitting: parameters and their states are joined anew each time
# fix: stop_leak
# levers: stop_leak foreach_off fused_optimizer 8bit_optimizer zero_grad_first
"""Gaussian splatting: each hundred iterations (here: two) the scene is densified, Adam's states with it."""
import os
import torch
from torch import nn

LEVER, _, VALUE = os.environ.get("LEVER", "").partition("=")
MOST = 400_000 if LEVER == "stop_leak" else 10 ** 9


class GaussianModel:
    def __init__(self, n=400_000):
        self._xyz = nn.Parameter(torch.zeros(n, 3, device="cuda"))
        self._features_dc = nn.Parameter(torch.zeros(n, 1, 3, device="cuda"))
        self._features_rest = nn.Parameter(torch.zeros(n, 15, 3, device="cuda"))
        self._opacity = nn.Parameter(torch.zeros(n, 1, device="cuda"))
        self._scaling = nn.Parameter(torch.zeros(n, 3, device="cuda"))
        self._rotation = nn.Parameter(torch.zeros(n, 4, device="cuda"))
        groups = [{"params": [getattr(self, "_" + name)], "lr": 1e-3, "name": name}
                  for name in ("xyz", "features_dc", "features_rest", "opacity", "scaling", "rotation")]
        if LEVER == "8bit_optimizer":
            import bitsandbytes
            self.optimizer = bitsandbytes.optim.Adam8bit(groups, lr=0.0, eps=1e-15)
        else:
            how = {"foreach_off": {"foreach": False}, "fused_optimizer": {"fused": True}}.get(LEVER, {})
            self.optimizer = torch.optim.Adam(groups, lr=0.0, eps=1e-15, **how)

    def cat_tensors_to_optimizer(self, extension):
        for group in self.optimizer.param_groups:
            old, new = group["params"][0], extension[group["name"]]
            state = self.optimizer.state.pop(old, None)
            joined = nn.Parameter(torch.cat((old, new), dim=0).requires_grad_(True))
            if state is not None:
                for key in ("exp_avg", "exp_avg_sq"):
                    state[key] = torch.cat((state[key], torch.zeros_like(new)), dim=0)
                self.optimizer.state[joined] = state
            group["params"][0] = joined
            setattr(self, "_" + group["name"], joined)

    def densify(self, share=0.15):
        n = int(len(self._xyz) * share)
        if len(self._xyz) + n > MOST:
            return
        self.cat_tensors_to_optimizer({g["name"]: g["params"][0][:n].detach() for g in self.optimizer.param_groups})


def render(g, pixels=200_000):
    colours = torch.sigmoid(g._features_dc[:, 0] + 0.28 * g._features_rest.mean(1))
    rotation = torch.nn.functional.normalize(g._rotation)
    weight = torch.sigmoid(g._opacity) * torch.exp(g._scaling.sum(1, keepdim=True)) * rotation.norm(dim=1, keepdim=True)
    return (colours * weight * torch.cos(g._xyz)).sum(0)


gaussians = GaussianModel()
for iteration in range(1, 25):
    if LEVER == "zero_grad_first":
        gaussians.optimizer.zero_grad(set_to_none=True)
    loss = (render(gaussians) - 0.5).abs().mean()
    loss.backward()
    with torch.no_grad():
        if iteration % 2 == 0:
            gaussians.densify()
        gaussians.optimizer.step()
        gaussians.optimizer.zero_grad(set_to_none=True)
