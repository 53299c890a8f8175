"""A parent that trains; children that train on with what they inherited and with more."""

import os

from common import Training, say, steps

training = Training(3)
many = steps(30)
for _ in range(many // 3):
    training.step()
children = []
told, tell = os.pipe()
for n in range(2):
    pid = os.fork()
    if not pid:
        own = Training(10 + n, 103 + n)
        for _ in range(many):
            line = own.step()
            training.step()
        os.write(tell, f"child {n} {line}\n".encode())
        os._exit(n)
    children.append(pid)
    os.waitpid(pid, 0) if n else None
for _ in range(many):
    line = training.step()
os.waitpid(children[0], 0)
os.close(tell)
with open(told) as lines:
    say(*sorted(line.strip() for line in lines))
say("parent", line)
