"""Steps of tens of thousands of events each: more than a small ring holds."""

import torch
from common import Training, say, steps

training = Training(11)
for i in range(max(1, steps(30) // 10)):
    held = [torch.empty(1001 + n % 7, dtype=torch.uint8) for n in range(20000)]
    say(i, training.step(), len(held))
    del held
