"""Reads every file of its working folder, as a backup or an artifact logger does."""

import io
import pathlib
import tarfile

from common import Training, say, steps

training = Training(23)
for i in range(steps(40)):
    if i % 10 == 5:
        for path in pathlib.Path(".").iterdir():
            try:
                path.read_bytes()
            except FileNotFoundError:
                pass  # a journal that came and went
        with tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:
            tar.add(__file__)
    say(i, training.step())
