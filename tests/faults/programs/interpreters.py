"""Other Python interpreters come and go in the process while it trains."""

import threading

from common import Training, say, steps

try:
    import _xxsubinterpreters as interpreters
except ImportError:
    interpreters = None


def work():
    for _ in range(10):
        one = interpreters.create()
        interpreters.run_string(one, "import json; x = [i for i in range(1000)]")
        interpreters.destroy(one)


training = Training(37)
thread = threading.Thread(target=work) if interpreters else None
if thread:
    thread.start()
for i in range(steps(30)):
    say(i, training.step())
if thread:
    thread.join()
