"""Metric families of the feed, the quarantine and the API keys."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from lockstream.services.running.telemetry.figures import QuarantineFigures, SystemFigures
from lockstream.services.running.telemetry.metrics.forms import counter, counters, gauge, gauges


def feed_families(figures: SystemFigures, lag: int) -> Iterable[Metric]:
    """Yield the metric families of the feed."""
    yield from gauge("lockstream_feed_streams", "Open streams of the feed.", figures.open_streams)
    yield from gauge("lockstream_feed_streams_limit", "Most open streams.", figures.stream_limit)
    yield from gauge("lockstream_feed_streams_lag_events", "Events that the slowest stream has not read.", lag)


def quarantine_families(quarantine: QuarantineFigures) -> Iterable[Metric]:
    """Yield the metric families of the quarantine."""
    yield from gauges("lockstream_quarantine_open_entries", "Open entries, by code.", "code", quarantine.open_by_code)
    yield from gauge("lockstream_quarantine_discarded_entries", "Discarded entries.", quarantine.discarded)
    yield from gauge("lockstream_quarantine_limit_entries", "Most entries.", quarantine.limit)
    yield from counter(
        "lockstream_quarantine_dropped_total", "Entries and arrivals dropped by the bounds.", quarantine.dropped
    )
    yield from gauge("lockstream_quarantine_behind", "1 while it cannot be written.", quarantine.is_behind)


def key_families(refused: Mapping[str, int], failing: tuple[str, ...]) -> Iterable[Metric]:
    """Yield the metric families of API keys."""
    by_code = {(code,): count for code, count in refused.items()}
    yield from counters("lockstream_keys_refused_total", "Requests and events refused.", ("code",), by_code)
    yield from gauge("lockstream_keys_failing", "1 while keys cannot be followed.", bool(failing))
