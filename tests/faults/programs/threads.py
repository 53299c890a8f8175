"""Four threads train, each a model of its own."""

import threading

from common import Training, say, steps

trainings = [Training(i, 101 + i) for i in range(4)]
said = [[] for _ in trainings]


def work(i):
    for _ in range(steps(30)):
        said[i].append(trainings[i].step())


threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
for i, lines in enumerate(said):
    say(i, *lines[-3:])
