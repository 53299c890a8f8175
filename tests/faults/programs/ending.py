"""Trains and ends in the way that its second word says."""

import os
import signal
import sys

from common import Training, say, steps

training = Training(13)
for i in range(steps(30)):
    say(i, training.step())
end = sys.argv[2]
if end == "exit":
    sys.exit(3)
elif end == "_exit":
    os._exit(4)
elif end == "raise":
    raise ValueError("on purpose")
elif end == "abort":
    os.abort()
elif end == "term":
    os.kill(os.getpid(), signal.SIGTERM)
elif end == "segv":
    os.kill(os.getpid(), signal.SIGSEGV)
elif end == "exec":
    os.execv("/bin/echo", ["echo", "gone over"])
