"""The tally of HTTP requests: counts by operation and status, and durations by group of operations."""

from collections import Counter
from collections.abc import Mapping

from lockstream.infrastructure.telemetry.histogram import Histogram

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Upper bounds of the buckets for durations, as OpenTelemetry's conventions for HTTP metrics (1.23) advise."""

EXACT = frozenset({401, 403, 429, 503})
"""Statuses that are counted apart, since alerts name them. Other statuses count by their class, such as `4xx`."""

BY_CLASS = frozenset({"get_live", "get_ready", "get_metrics", "console"})
"""Operations whose statuses all count by class: health checks, scrapes and the console."""

OTHER = "other"
"""Label of operations that are not counted apart, and of requests to unknown paths."""


class RequestTally:
    """Counts requests. One thread notes them."""

    def __init__(self, groups: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """`groups` has the group of each operation whose duration is measured. Operations that may wait have none.

        `labels` has the label of each operation that does not count as `OTHER`.
        """
        self._labels = labels
        self._counts: dict[tuple[str, int], int] = {}
        """Requests by operation and status. The contract limits the number of both."""

        self.seconds = {group: Histogram(REQUEST_SECONDS) for group in groups.values()}
        """Durations by group of operations."""

        self._seconds_of = {operation: self.seconds[group] for operation, group in groups.items()}

    def note(self, operation: str, status: int, seconds: float) -> None:
        """Count a request whose response was ready after `seconds`."""
        self.count(operation, status)
        if histogram := self._seconds_of.get(operation):
            histogram.observe(seconds)

    def count(self, operation: str, status: int) -> None:
        """Count a request whose duration is not measured."""
        kind = operation, status
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def read(self) -> dict[tuple[str, str], int]:
        """Return the requests so far, by label and by status or class of status."""
        found = Counter[tuple[str, str]]()
        for (operation, status), count in self._counts.items():
            label = self._labels.get(operation, OTHER)
            is_exact = status in EXACT and label not in BY_CLASS
            found[label, str(status) if is_exact else f"{status // 100}xx"] += count
        return dict(found)
