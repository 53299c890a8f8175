"""PyTorch's own end: with gloo a process ends now and then by a race of its own between gloo's threads
and the exit (2 of 22 runs of two bare ranks), library or not."""
import warnings

RACE = "terminate called without an active exception"


def but_for_torchs_race(traced, bare):
    """What traced() returns, a finished process. Where it has met the race, the same must be seen of
    bare() before it counts as PyTorch's; then it is run again, five times at most."""
    for _ in range(5):
        run = traced()
        if RACE not in run.stderr:
            return run
        if not any(RACE in bare().stderr for _ in range(40)):
            return run
        warnings.warn(f"PyTorch's own exit race: '{RACE}', with the library and without it")
    return run
