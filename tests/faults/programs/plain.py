"""One thread trains; a tensor is kept at each of the first steps."""

from common import Training, say, steps

training = Training(5)
for i in range(steps(30)):
    say(i, training.step())
