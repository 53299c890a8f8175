"""What `tidemark live` sees, as metrics. Part of the command, which runs it in front of serve.py or
send.py as `python -c`, and writes each look's document to its stdin, one a line."""
import collections
import json
import sys

looks = []  # the newest one, once there is one

#: name: base units, one meaning a name. unit: as UCUM writes it. samples: ({label: value}, number);
#: what a look does not know has no sample
Figure = collections.namedtuple("Figure", "name what unit only_grows samples")

DEVICE = (
    ("allocated_bytes", "Bytes that PyTorch has handed out.", "allocated_bytes"),
    ("reserved_bytes", "Bytes that PyTorch's allocator holds.", "reserved_bytes"),
    ("peak_allocated_bytes", "Most bytes handed out so far.", "peak_allocated_bytes"),
    ("headroom_bytes", "Bytes that PyTorch could still hand out.", "headroom_bytes"),
    ("outside_bytes", "Bytes of the device in use that are not PyTorch's.", "outside_bytes"),
    ("device_total_bytes", "Memory of the device.", "total_bytes"),
)
BUCKET = (
    ("bucket_bytes", "Bytes of a bucket as the last finished step began.", "began_bytes"),
    ("bucket_most_bytes", "Most bytes of a bucket in the last finished step.", "most_bytes"),
)
RUN = (
    ("steps", "Finished steps with an optimizer step.", "{step}", "complete_steps"),
    ("lost_events", "Events that were not recorded.", "{event}", "lost_events"),
)


def figures(look):
    rank = {} if look["rank"] is None else {"rank": str(look["rank"])}
    devices = [({"device": d["device"], **rank}, d) for d in look["devices"]]
    for name, what, key in DEVICE:
        yield figure(name, what, "By", [(labels, d[key]) for labels, d in devices])
    for name, what, key in BUCKET:
        yield figure(name, what, "By", [({**labels, "bucket": b["bucket"]}, b[key])
                                        for labels, d in devices for b in d["buckets"]])
    yield figure("leak_bytes_per_step", "Bytes that each step keeps.", "By/{step}",
                 [(labels, d["leak"] and d["leak"]["bytes_per_step"]) for labels, d in devices])
    yield figure("up", "1 while the run goes on.", "1", [(rank, int("running" in look["state"]))])
    yield figure("steps_per_second", "Pace of the newest steps.", "{step}/s",
                 [(rank, look["steps_per_second"])])
    yield figure("phase_info", "1 for the phase that runs.", "1",
                 [({**rank, "phase": look["phase"]}, 1)] if look["phase"] else [])
    for name, what, unit, key in RUN:
        yield figure(name, what, unit, [(rank, look[key])], only_grows=True)


def figure(name, what, unit, samples, only_grows=False):
    known = [(labels, number) for labels, number in samples if number is not None]
    return Figure(name, what, unit, only_grows, known)


def stop(sentence):
    print(sentence)
    sys.exit(1)


def lacks(package, wheel):
    stop(f"'{sys.executable}' has no {package}; install it with "
         f"'{sys.executable} -m pip install {wheel}', or name another Python with --python")


def read():
    """To the end of stdin."""
    for line in sys.stdin:
        looks[:] = [json.loads(line)]
