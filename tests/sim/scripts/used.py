"""Numbers of a network on their way through a program. A comment says where each goes."""
import json

import torch
import torch.nn as nn

net = nn.Linear(8, 9).cuda()


def numbers():
    return net(torch.randn(4, 8, device="cuda"))


def whole():
    return numbers().argmax(1)


def table(count, other=None):
    return torch.zeros(count)


def logged(value):
    print("so far", value)


class Best:
    def __init__(self):
        self.best = 9

    def step(self, value):
        self.last = value
        if value < self.best:
            self.best = value


def most():
    return int(whole().max())  # size


def pair():
    return numbers(), whole().tolist()  # size


count = int(whole().max()) + 1  # size
rows = torch.zeros(count, 3)
table(int(whole().max()))  # size
table(count=whole().max().item())  # size
again = rows.repeat(most() + 1, 1)
_, lengths = pair()
parts = [torch.zeros(1, n) for n in lengths]
first = rows[:int(whole().min())]  # size
one = rows[int(whole().min()) * 0]  # index
sizes = torch.split(rows, [int(whole().min()) * 0, len(rows)])  # size
total = 0
total += numbers().mean().item()  # number
print(total / 3)
logged(numbers().mean().item())  # number
Best().step(numbers().mean().item())  # branch
losses, logs = [], {}
losses.append(numbers().mean().item())  # branch
if sum(losses) / len(losses) > 3:
    print("no")
logs["loss"] = numbers().mean().item()  # number
history = []
history.append(numbers().mean().item())  # number
if logs and history:
    print(logs, history[-1])
correct = (whole() == 3).sum().item()  # number
print(f"{correct / 4:.3f}", correct)
for i in range(int(whole().max())):  # branch
    pass
while (whole() == 3).sum().item() > 9:  # branch
    pass
on_host = whole().cpu().numpy()  # size
torch.empty(int(on_host.max()))
print(json.dumps("done"))
