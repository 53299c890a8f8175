"""lever.py - what every lever has."""


class Lever:
    def __init__(self, report, value):
        self.report, self.value = report, value

    def before_torch(self):
        """Before torch is imported."""

    def after_torch(self, torch, models):
        """As soon as torch is there, before the program uses it."""

    def why_not(self, models):
        """Asked at the end of a program in which it was not applied: one sentence."""
        return f"it had nothing to hold on to: {models.text()}"
