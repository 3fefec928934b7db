"""Deliveries: links each page of the feed with the requests that reported its events.

So the trace of a request shows when its event was sent to a reader of the feed. This node remembers the newest
positions alone, and only for sampled requests.
"""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, Tracer, set_span_in_context

MAX_POSITIONS = 10_000
"""Positions that are remembered."""

_BEFORE_POSITION = len(b'{"position":')


class Deliveries:
    """The positions of the newest traced events. For one event loop."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._requests: dict[int, SpanContext] = {}
        """The request that reported the event at each position, in order."""

    def expect(self, position: int, request: Span) -> None:
        """Remember the request that has reported the event at a position."""
        if len(self._requests) >= MAX_POSITIONS:
            del self._requests[next(iter(self._requests))]
        self._requests[position] = request.get_span_context()

    def note(self, lines: Sequence[bytes], form: str, reader: Span | None = None) -> None:
        """Add a span to the trace of each event among `lines` of the log, which are now sent to a reader of the feed.

        `form` is "page" or "stream", and `reader` the request that the page answers, if it is sampled.
        """
        if not (lines and self._requests) or _position(lines[-1]) < next(iter(self._requests)):
            return
        for line in lines:
            position = _position(line)
            if request := self._requests.get(position):
                self._tracer.start_span(
                    "feed",
                    set_span_in_context(NonRecordingSpan(request), Context()),
                    attributes={"lockstream.position": position, "lockstream.feed": form},
                    links=[Link(reader.get_span_context())] if reader else (),
                ).end()
                if reader:
                    reader.add_link(request)


def _position(line: bytes) -> int:
    return int(line[_BEFORE_POSITION : line.index(b",")])
