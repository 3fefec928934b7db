"""A collector of traces: it receives spans by OTLP over HTTP, as `lockstream serve` exports them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status


class Span(NamedTuple):
    """A span that was received. Ids are in hexadecimal."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, str | int]
    links: list[str]
    """Ids of the spans that it is linked with."""

    events: list[str]
    has_failed: bool
    started: int
    ended: int
    """Nanoseconds since 1970."""

    service: str


class Collector:
    """The spans that were received so far, on a free port of this machine."""

    def __init__(self, port: int) -> None:
        self.spans: list[Span] = []
        self.settings = {
            "LOCKSTREAM_TRACES": "on",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        """Environment variables of a server that sends its traces here."""

    def named(self, name: str) -> list[Span]:
        """Return the spans with this name, in the order in which they began."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.started)

    def children(self, parent: Span) -> list[str]:
        """Return the names of the spans right below another one, in the order in which they began."""
        below = [span for span in self.spans if (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)]
        return [span.name for span in sorted(below, key=lambda span: span.started)]

    def receive(self, body: bytes) -> None:
        """Take the body of an export."""
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            service = _values(of_resource.resource.attributes)["service.name"]
            for of_scope in of_resource.scope_spans:
                self.spans += [_span(message, str(service)) for message in of_scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Give a collector that runs for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.receive(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_port)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _span(message: SpanMessage, service: str) -> Span:
    return Span(
        message.name,
        message.trace_id.hex(),
        message.span_id.hex(),
        message.parent_span_id.hex(),
        _values(message.attributes),
        [link.span_id.hex() for link in message.links],
        [event.name for event in message.events],
        message.status.code == Status.STATUS_CODE_ERROR,
        message.start_time_unix_nano,
        message.end_time_unix_nano,
        service,
    )


def _values(attributes: object) -> dict[str, str | int]:
    return {one.key: _value(one.value) for one in attributes}  # type: ignore[attr-defined]  # of protobuf


def _value(value: AnyValue) -> str | int:
    found: str | int = getattr(value, value.WhichOneof("value") or "string_value")
    return found
