"""What an OpenTelemetry collector would get: listens at a free port, prints it, keeps what comes in
as JSON, a request a line, in the file that it is told. Needs opentelemetry's own messages."""
import http.server
import sys

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest, ExportMetricsServiceResponse)


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip
            body = gzip.decompress(body)
        request = ExportMetricsServiceRequest.FromString(body)
        with open(sys.argv[1], "a") as kept:
            kept.write(MessageToJson(request, indent=None) + "\n")
        answer = ExportMetricsServiceResponse().SerializeToString()
        self.send_response(200 if self.path == "/v1/metrics" else 404)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
