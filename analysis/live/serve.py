"""Serves what `tidemark live` sees, in Prometheus' text format. Part of the command, which runs it
as `python -c` with the port and the address, and writes each look's document to its stdin, one
a line. Ends when its stdin does."""
import json
import sys

port, address = int(sys.argv[1]), sys.argv[2]
try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
except ImportError:
    sys.exit(print(f"'{sys.executable}' has no prometheus_client; install it with "
                   f"'{sys.executable} -m pip install prometheus-client', or name another Python "
                   "with --python"))

#: name, what it is, key of a device's entry; Prometheus wants base units and one meaning a name
GAUGES = (
    ("tidemark_allocated_bytes", "Bytes that PyTorch has handed out.", "allocated_bytes"),
    ("tidemark_reserved_bytes", "Bytes that PyTorch's allocator holds.", "reserved_bytes"),
    ("tidemark_peak_allocated_bytes", "Most bytes handed out so far.", "peak_allocated_bytes"),
    ("tidemark_headroom_bytes", "Bytes that PyTorch could still hand out.", "headroom_bytes"),
    ("tidemark_outside_bytes", "Bytes of the device in use that are not PyTorch's.",
     "outside_bytes"),
    ("tidemark_device_total_bytes", "Memory of the device.", "total_bytes"),
)
looks = []


class Run:
    """What the newest look said. What it does not know has no sample."""

    def collect(self):
        if not looks:
            return
        look = looks[-1]
        rank = "" if look["rank"] is None else str(look["rank"])  # "": no such label
        for name, what, key in GAUGES:
            yield self.gauge(name, what, ["device", "rank"],
                             [([d["device"], rank], d[key]) for d in look["devices"]])
        for name, what, key in (
                ("tidemark_bucket_bytes", "Bytes of a bucket as the last finished step began.",
                 "began_bytes"),
                ("tidemark_bucket_most_bytes", "Most bytes of a bucket in the last finished step.",
                 "most_bytes")):
            yield self.gauge(name, what, ["device", "rank", "bucket"],
                             [([d["device"], rank, b["bucket"]], b[key])
                              for d in look["devices"] for b in d["buckets"]])
        yield self.gauge("tidemark_leak_bytes_per_step", "Bytes that each step keeps.",
                         ["device", "rank"],
                         [([d["device"], rank], d["leak"] and d["leak"]["bytes_per_step"])
                          for d in look["devices"]])
        yield self.gauge("tidemark_up", "1 while the run goes on.", ["rank"],
                         [([rank], int("running" in look["state"]))])
        yield self.gauge("tidemark_steps_per_second", "Pace of the newest steps.", ["rank"],
                         [([rank], look["steps_per_second"])])
        yield self.gauge("tidemark_phase_info", "1 for the phase that runs.", ["rank", "phase"],
                         [([rank, look["phase"]], 1)] if look["phase"] else [])
        for name, what, key in (
                ("tidemark_steps", "Finished steps with an optimizer step.", "complete_steps"),
                ("tidemark_lost_events", "Events that were not recorded.", "lost_events")):
            counter = CounterMetricFamily(name, what, labels=["rank"])
            counter.add_metric([rank], look[key])
            yield counter

    @staticmethod
    def gauge(name, what, labels, samples):
        family = GaugeMetricFamily(name, what, labels=labels)
        for values, number in samples:
            if number is not None:
                family.add_metric(values, number)
        return family


registry = CollectorRegistry()  # without what the client says of this Python by itself
registry.register(Run())
try:
    start_http_server(port, addr=address, registry=registry)
except OSError as error:
    sys.exit(print(f"cannot serve at {address}:{port}: {error.strerror or error}"))
host = f"[{address}]" if ":" in address else address
print(f"serving metrics at http://{host}:{port}/metrics", flush=True)
for line in sys.stdin:
    looks[:] = [json.loads(line)]
