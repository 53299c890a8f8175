"""A second stream takes and gives back memory: what is free there is not free here."""
import torch

kept = []
for step in range(6):
    blocks = [torch.empty(n << 20, dtype=torch.uint8, device="cuda") for n in (3, 30, 11 + step)]
    kept.append(torch.empty(1 << 19, dtype=torch.uint8, device="cuda"))
    del blocks
    if step % 2:
        torch.cuda.empty_cache()
side = torch.cuda.Stream()
for step in range(4):
    with torch.cuda.stream(side):
        other = torch.empty(24 << 20, dtype=torch.uint8, device="cuda")
        del other
    mine = torch.empty(23 << 20, dtype=torch.uint8, device="cuda")
    del mine
while True:
    kept.append(torch.empty(100 << 20, dtype=torch.uint8, device="cuda"))
