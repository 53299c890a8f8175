"""report.py - what became of each lever, a line each in the file that the command reads."""
import os


class Report:
    def __init__(self, path):
        self.path = path

    def of(self, lever):
        return LeverReport(self, lever)

    def write(self, *words):
        if not self.path:
            return
        line = "\t".join(str(word).replace("\t", " ").replace("\n", " ") for word in words)
        try:  # one write: several processes append to one file
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(file, (line[:1500] + "\n").encode(errors="replace"))
            os.close(file)
        except OSError:
            pass


class LeverReport:
    """Of one lever. The first thing that it was applied to is told, and no more."""

    def __init__(self, report, lever):
        self.report, self.lever, self.was_applied = report, lever, False
        self.told = False

    def applied(self, to_what):
        if not self.was_applied:
            self.was_applied = True
            self.report.write("applied", self.lever, to_what)

    def absent(self, why):
        if not self.told and not self.was_applied:
            self.told = True
            self.report.write("absent", self.lever, why)
