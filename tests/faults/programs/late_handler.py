"""Handlers of SIGBUS that come after the recording began, Python's own of all faults the last of them.
Signals that are sent reach them; then the program cuts what is written beside it."""

import faulthandler
import os
import signal

from common import Training, cut_rings, say, steps

training = Training(5)
seen = []
say(training.step())
signal.signal(signal.SIGBUS, lambda *_: seen.append(1))
os.kill(os.getpid(), signal.SIGBUS)
say("seen", len(seen))
signal.signal(signal.SIGBUS, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGBUS)
say("ignored", signal.getsignal(signal.SIGBUS) == signal.SIG_IGN)
faulthandler.enable()
cut_rings()
for i in range(steps(30)):
    say(i, training.step())
