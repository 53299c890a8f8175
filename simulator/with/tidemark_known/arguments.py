"""arguments.py - a call's arguments as they are computed with."""


class Unknown(Exception):
    """An argument's values are not known, or are too many. A new one each time: it keeps frames."""


class Arguments:
    """A call's arguments, on the host."""
    __slots__ = ("args", "kwargs", "on_device", "assumed")

    def __init__(self):
        self.on_device, self.assumed = False, 0
