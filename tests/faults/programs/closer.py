"""Closes every descriptor but its own three in the middle of the run, as daemons do."""

import os

from common import Training, say, steps

training = Training(21)
for i in range(steps(40)):
    if i == 20:
        os.closerange(3, 4096)
    say(i, training.step())
    if i == 30:  # and others take their numbers
        files = [open(f"mine{n}", "w") for n in range(20)]
        [f.write("mine\n") for f in files]
        [f.close() for f in files]
for n in range(20):
    with open(f"mine{n}") as f:
        say(f.read().strip())
