"""Runs that several tests look at, made once by whichever of the parallel processes of a test run
needs them first."""
import fcntl
import hashlib
import json


def home(tmp_path_factory, request):
    """A folder that all processes of this test run share."""
    root = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        root = root.parent
    root = root / "shared"
    root.mkdir(exist_ok=True)
    return root


def made(root, key, make):
    """(folder, what make(folder) has returned) for this key; it has to be JSON."""
    folder = root / hashlib.sha1(repr(key).encode()).hexdigest()[:12]
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = folder / "outcome.json"
        if not outcome.exists():
            folder.mkdir()
            outcome.write_text(json.dumps(make(folder)))
    return folder, json.loads(outcome.read_text())
