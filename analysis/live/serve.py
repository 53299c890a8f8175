"""Serves the figures in Prometheus' text format, at the port and the address that it is given."""
port, address = int(sys.argv[1]), sys.argv[2]
try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
except ImportError:
    lacks("prometheus_client", "prometheus-client")


class Run:
    """What the newest look said."""

    def collect(self):
        for one in figures(looks[-1]) if looks else ():
            names = sorted({name for labels, _ in one.samples for name in labels})
            kind = CounterMetricFamily if one.only_grows else GaugeMetricFamily
            family = kind("tidemark_" + one.name, one.what, labels=names)
            for labels, number in one.samples:
                family.add_metric([labels[name] for name in names], number)
            yield family


registry = CollectorRegistry()  # without what the client says of this Python by itself
registry.register(Run())
try:
    start_http_server(port, addr=address, registry=registry)
except OSError as error:
    stop(f"cannot serve at {address}:{port}: {error.strerror or error}")
host = f"[{address}]" if ":" in address else address
print(f"serving metrics at http://{host}:{port}/metrics", flush=True)
read()
