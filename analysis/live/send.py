"""Sends the figures by OpenTelemetry's protocol over HTTP to the address that it is given, every five
seconds or OTEL_METRIC_EXPORT_INTERVAL milliseconds, and once more at the end."""
import logging
import os
import socket
import urllib.parse

address = sys.argv[1].rstrip("/")
try:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.metrics import Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        MetricExportResult, PeriodicExportingMetricReader)
    from opentelemetry.sdk.resources import Resource
except ImportError:
    lacks("opentelemetry", "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http")

os.environ.setdefault("OTEL_METRIC_EXPORT_INTERVAL", "5000")
os.environ.setdefault("OTEL_SERVICE_NAME", "tidemark")
logging.disable()  # Exporter says it, once


class Exporter(OTLPMetricExporter):
    fails = False

    def export(self, *args, **kwargs):
        result = super().export(*args, **kwargs)
        failed = result is not MetricExportResult.SUCCESS
        if failed and not self.fails:
            print(f"tidemark: {address} does not take the metrics; they are sent on",
                  file=sys.stderr, flush=True)
        self.fails = failed
        return result


def check():
    """That somebody listens, before it is said that metrics are sent."""
    try:
        there = urllib.parse.urlsplit(address)
        port = there.port or {"http": 80, "https": 443}[there.scheme]
        socket.create_connection((there.hostname, port), 5).close()
    except (KeyError, ValueError):
        stop(f"'{address}' is no address of HTTP; OpenTelemetry's collector listens at "
             "http://127.0.0.1:4318")
    except OSError as error:
        stop(f"cannot send to {address}: {error.strerror or error}")


check()
exporter = Exporter(address if address.endswith("/v1/metrics") else address + "/v1/metrics")
provider = MeterProvider([PeriodicExportingMetricReader(exporter)], Resource.create())
meter = provider.get_meter("tidemark")


def observe(name):
    def now(options):
        return [Observation(number, labels) for one in figures(looks[-1]) if one.name == name
                for labels, number in one.samples] if looks else []
    return now


def measure(look):
    for one in figures(look):
        make = meter.create_observable_counter if one.only_grows else \
            meter.create_observable_gauge
        make("tidemark." + one.name, [observe(one.name)], one.unit, one.what)


print(f"sending metrics to {address}", flush=True)
for line in sys.stdin:
    began = not looks
    looks[:] = [json.loads(line)]
    if began:
        measure(looks[0])
provider.shutdown()
