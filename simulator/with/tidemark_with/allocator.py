"""allocator.py - expandable_segments. The command sets the variable as well; a program that
sets its own before it imports torch keeps the rest of what it sets."""
import os

from .lever import Lever

SETTING = "expandable_segments:True"


def with_setting(text):
    kept = [part for part in text.split(",")
            if part and not part.strip().startswith("expandable_segments")]
    return ",".join(kept + [SETTING])


class ExpandableSegments(Lever):
    def before_torch(self):
        names = [n for n in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF") if n in os.environ]
        for name in names or ["PYTORCH_CUDA_ALLOC_CONF"]:
            os.environ[name] = with_setting(os.environ.get(name, ""))
        backend = [part for name in names for part in os.environ[name].split(",")
                   if part.replace(" ", "") == "backend:cudaMallocAsync"]
        if backend:
            self.report.absent("the program's allocator is cudaMallocAsync, which has no segments")
        else:
            self.report.applied(SETTING)
