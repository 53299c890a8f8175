"""Has every descriptor it may have open before it first touches a tensor."""

import os

from common import Training, say, steps

held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
training = Training(25)
for i in range(steps(30)):
    if i == 20:
        [os.close(fd) for fd in held]
    say(i, training.step())
