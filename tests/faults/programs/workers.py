"""Batches made by two worker processes, that come in shared memory. `cut`: one of them, in which
PyTorch has a handler of SIGBUS of its own, cuts what is written beside it in the middle."""

import sys

import torch
from common import Training, cut_rings, say, steps


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 7 * steps(30)

    def __getitem__(self, i):
        if i == 70 and "cut" in sys.argv:
            cut_rings()
        return torch.full((33,), float(i % 17))


if __name__ == "__main__":
    training = Training(9)
    loader = torch.utils.data.DataLoader(
        Numbers(), batch_size=7, num_workers=2, multiprocessing_context="fork"
    )
    for i, x in enumerate(loader):
        say(i, training.step(x))
