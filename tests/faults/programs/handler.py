"""A signal handler that allocates, and goes forward and backward, whenever a timer strikes:
inside torch's own functions, and while a step of the program's own is under way."""

import signal

import torch
from common import Training, say, steps

training = Training(29)
weights = torch.ones(33, 33, requires_grad=True)
struck, busy = 0, False


def strike(number, frame):
    global struck, busy
    if busy:
        return
    struck, busy = struck + 1, True
    torch.empty(5001, dtype=torch.uint8)
    with torch.enable_grad():
        torch.autograd.grad((weights @ weights).sum(), weights)
    busy = False


say(training.step())  # what torch imports at the first step is no place for a handler
signal.signal(signal.SIGALRM, strike)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
for i in range(steps(30)):
    say(i, training.step())
signal.setitimer(signal.ITIMER_REAL, 0)
say("struck" if struck else "never struck")
