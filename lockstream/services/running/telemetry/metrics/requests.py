"""Metric families of HTTP requests."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from lockstream.infrastructure.telemetry.histogram import Observations
from lockstream.services.running.telemetry.metrics.forms import counters, histograms


def request_families(counts: Mapping[tuple[str, str], int], seconds: Mapping[str, Observations]) -> Iterable[Metric]:
    """Yield the metric families of requests: counts by operation and status, and durations by group of operations."""
    labels = "operation", "http_response_status_code"
    yield from counters("lockstream_http_requests_total", "HTTP requests, by operation and status.", labels, counts)
    yield from histograms(
        "http_server_request_duration_seconds", "Time to the response, by operations.", "operations", seconds
    )
