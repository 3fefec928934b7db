"""The tally of HTTP requests: counts by operation and status, and durations by group of operations."""

from collections.abc import Mapping

from lockstream.infrastructure.telemetry.histogram import Histogram

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds for the duration of a request, as OpenTelemetry's semantic conventions for HTTP metrics (1.23) advise."""

MAX_KINDS = 30
"""Most pairs of operation and status that are told apart. Further ones count as those of `OTHER`."""

OTHER = "other"
"""Stands for operations that are not told apart, and for requests to no operation."""


class RequestTally:
    """Counts requests. One thread notes them."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        """`groups` has the group of each operation whose duration is measured. Readers that wait are not among them."""
        self.counts: dict[tuple[str, int], int] = {}
        """Requests by operation and status."""

        self.seconds = {group: Histogram(REQUEST_SECONDS) for group in groups.values()}
        """Durations by group of operations."""

        self._seconds_of = {operation: self.seconds[group] for operation, group in groups.items()}

    def note(self, operation: str, status: int, seconds: float) -> None:
        """Count a request, whose response was ready after this time."""
        kind, counts = (operation, status), self.counts
        if kind in counts:
            counts[kind] += 1
        else:
            kind = kind if len(counts) < MAX_KINDS else (OTHER, status)
            counts[kind] = counts.get(kind, 0) + 1
        if histogram := self._seconds_of.get(operation):
            histogram.observe(seconds)
