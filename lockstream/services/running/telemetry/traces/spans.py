"""Spans of requests, and of the work behind them, by OpenTelemetry.

The request is the root, or continues the trace of its client. Below it are its wait in the ingest queue, the decision
of its batch and the flush. A batch belongs to the trace of its first sampled request, and is linked to the others.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from threading import Timer

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lockstream import __version__
from lockstream.services.running.telemetry.traces.deliveries import Deliveries

POSITION = "lockstream.position"
"""Span attribute: the position of an event, or the position that a batch or a checkpoint has reached."""

CLOSE_SECONDS = 2.0
"""Time after which a stopping server no longer tries to send spans."""

FAILED = 500
"""The lowest status of a request that failed."""

_PROPAGATOR = TraceContextTextMapPropagator()
_PROPAGATED = {b"traceparent", b"tracestate"}

_current: ContextVar[Span | None] = ContextVar("request", default=None)
"""The span of the request that is being answered."""


class RequestSpan:
    """The span of one request, from `Tracing.begin_request` to `end`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token: Token[Span | None] = _current.set(span)
        context = span.get_span_context()
        self.trace_id: str | None = None
        self.trace_parent: str | None = None
        """The trace context to give back to the client."""

        if context.is_valid:  # it is not if OTEL_SDK_DISABLED is set
            self.trace_id = f"{context.trace_id:032x}"
            self.trace_parent = f"00-{self.trace_id}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, status: int | None, attributes: Mapping[str, str | int]) -> None:
        """End the span with the status of the response, or with None if there was none."""
        _current.reset(self._token)
        if self._span.is_recording():
            self._span.set_attributes(attributes)
            if status is not None:
                self._span.set_attribute("http.response.status_code", status)
            if status is None or status >= FAILED:
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracing:
    """Begins spans, and exports them when they have ended. For any thread, apart from `deliveries`."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        """`provider` begins spans, and `exporter` sends them to a collector."""
        self._exporter = exporter
        self._provider = provider
        self._tracer = provider.get_tracer("lockstream", __version__)
        self.deliveries = Deliveries(self._tracer)
        """The positions of traced events, for the feed."""

        self.decision: Span | None = None
        """The span of the running decision, or None if no request of its batch is sampled."""

    def begin_request(self, operation: str, headers: Iterable[tuple[bytes, bytes]]) -> RequestSpan:
        """Begin the span of a request, in the trace of its client if the request names one."""
        carrier = {name.decode(): value.decode("latin-1") for name, value in headers if name in _PROPAGATED}
        context = _PROPAGATOR.extract(carrier, Context()) if carrier else Context()
        attributes = {"lockstream.operation": operation}
        return RequestSpan(self._tracer.start_span(operation, context, SpanKind.SERVER, attributes))

    def sampled_request(self) -> Span | None:
        """Return the span of the request that is being answered, if it is sampled."""
        span = _current.get()
        return span if span is not None and span.is_recording() else None

    def begin(self, name: str, of: Sequence[Span], attributes: Mapping[str, int] | None = None) -> Span:
        """Begin a span of work for some requests: below the span of the first one, and linked with the others."""
        first, *others = of
        links = [Link(span.get_span_context()) for span in others]
        span = self._tracer.start_span(name, set_span_in_context(first, Context()), attributes=attributes, links=links)
        for other in others:
            if other.is_recording():
                other.add_link(span.get_span_context())
        return span

    @contextmanager
    def span(self, name: str) -> Iterator[Span]:
        """Yield a span for the time of the block, as the root of a trace. An exception marks it as failed."""
        span = self._tracer.start_span(name, Context())
        try:
            yield span
        except BaseException as error:
            fail(span, str(error))
            raise
        finally:
            span.end()

    def close(self) -> None:
        """Send the spans that have ended, and stop. An unreachable collector delays the stop by `CLOSE_SECONDS`."""
        giving_up = Timer(CLOSE_SECONDS, self._exporter.shutdown)
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


def fail(span: Span, reason: str) -> None:
    """Mark a span as failed."""
    span.set_status(Status(StatusCode.ERROR, reason))


def exported_tracing() -> Tracing:
    """Return traces that are sampled and exported as the variables `OTEL_*` say, by OTLP over HTTP.

    Raises:
        ValueError: one of these variables has a value that cannot be used.
    """
    names = {SERVICE_VERSION: __version__}
    if OTEL_SERVICE_NAME not in os.environ and f"{SERVICE_NAME}=" not in os.environ.get(OTEL_RESOURCE_ATTRIBUTES, ""):
        names[SERVICE_NAME] = "lockstream"
    provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
    exporter = OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, exporter)
