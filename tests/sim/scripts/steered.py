"""Loops that go by what they read of a computation that no kernel does; print where they went."""
import json, warnings
import torch, torch.nn as nn, torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

warnings.simplefilter("ignore")
said = {}


def scaled(clip):
    model = nn.Linear(301, 301).cuda()
    optimizer, scaler = torch.optim.AdamW(model.parameters()), torch.amp.GradScaler()
    for _ in range(3):
        with torch.autocast("cuda", torch.float16):
            loss = model(torch.randn(8, 301, device="cuda")).float().square().mean()
        scaler.scale(loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return [len(optimizer.state), scaler.get_scale()]


def history(size):
    model = nn.Linear(301, 301).cuda()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4, history_size=size,
                                  tolerance_grad=-1, tolerance_change=-1)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.randn(8, 301, device="cuda")).square().mean()
        loss.backward()
        return loss
    for _ in range(4):
        optimizer.step(closure)
    return len(next(iter(optimizer.state.values()))["old_dirs"])


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(32, 4)
        self.experts = nn.ModuleList(nn.Linear(32, 32) for _ in range(4))

    def forward(self, x):
        weight, chosen = self.gate(x).softmax(-1).topk(2)
        hits, out = F.one_hot(chosen, 4).permute(2, 1, 0), torch.zeros_like(x)
        for at in hits.sum((1, 2)).gt(0).nonzero().view(-1):
            slot, token = torch.where(hits[at])
            out.index_add_(0, token, self.experts[at](x[token]) * weight[token, slot, None])
            said["tokens of an expert"] = token.numel()
        return out


said["scaled"], said["clipped"], said["history"] = scaled(False), scaled(True), history(5)
experts = Experts().cuda()
checkpoint(experts, torch.randn(64, 32, device="cuda", requires_grad=True),
           use_reentrant=False).sum().backward()
model = nn.Linear(301, 301).cuda()
waited = 0
while model(torch.randn(8, 301, device="cuda")).square().mean() > 0.5:
    waited += 1
said["waited"] = waited
logits = model(torch.randn(8, 301, device="cuda"))
said["a token"] = [0 < token < 300 for token in logits.argmax(-1).tolist()]
said["finite"] = [bool(torch.isfinite(logits).all()), bool(logits.isnan().any())]

masked = torch.zeros(40, dtype=torch.bool, device="cuda")
masked[logits.view(-1)[:8].long()] = True
rows = torch.randn(40, 3, device="cuda", requires_grad=True)
said["half of a mask"] = len(rows[masked])
(rows[masked].sum() + rows[rows.sum(1) > 0].sum()).backward()

# of comparisons of unknown numbers neither all nor none are true, whoever counts them
numbers = [(model(torch.randn(n, 301, device="cuda"))[:, :2] * 9).long().unbind(1) for n in (40, 3000)]
masks = [(a == b, a != b, a < b, ~(a < b), torch.isin(a, b) & (a > 3)) for a, b in numbers]
said["of comparisons"] = [[[len(a[m]), int(m.sum()), len(m.nonzero()), sum(m.tolist())]
                           for m in made] for (a, b), made in zip(numbers, masks)]
said["any, all"] = [[bool((a == b).any()), bool((a != b).all())] for a, b in numbers]
found = masks[1][0]
said["none, as was said"] = [bool(found.any()), len(numbers[1][0][found]), len(numbers[1][0][~found])]
far = model(torch.randn(40, 301, device="cuda"))[:, 0]
turns = 0
while (far.abs() > 1e-3).any() and turns < 9:
    turns += 1
said["turns"] = turns
known = torch.arange(900, device="cuda")
said["known"] = [int(torch.isin(known, known[3:70]).sum()), len(torch.combinations(known[:40], 3))]

called = []
former = F.cross_entropy
F.cross_entropy = lambda *args, **kwargs: called.append(1) or former(*args, **kwargs)
nn.CrossEntropyLoss()(logits, torch.arange(8, device="cuda")).backward()
said["a function of the program's own is called"] = len(called)
print(json.dumps(said))
