"""Metric families of events and of their batches."""

from collections.abc import Iterable

from prometheus_client.core import Metric

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.services.running.telemetry.counts import EventCounts
from lockstream.services.running.telemetry.figures import SystemFigures
from lockstream.services.running.telemetry.metrics.forms import counter, counters, gauge, histogram


def event_families(counts: EventCounts) -> Iterable[Metric]:
    """Yield the metric families of the events that this process was sent."""
    by_outcome = {"accepted": counts.accepted, "duplicate": counts.duplicates, "refused": counts.refused}
    decided = {
        (name, outcome): found.get(event_type, 0)
        for name, event_type in EVENT_TYPES.items()
        for outcome, found in by_outcome.items()
    }
    yield from counters("lockstream_events_total", "Events decided, by outcome.", ("type", "outcome"), decided)
    refusals = {(code,): count for code, count in counts.refusals.items()}
    yield from counters("lockstream_refusals_total", "Events refused by the rules, by code.", ("code",), refusals)
    yield from counter("lockstream_malformed_events_total", "Bodies and items that were not events.", counts.malformed)
    yield from counters(
        "lockstream_unavailable_events_total",
        "Events that were not acknowledged and got 503.",
        ("reason",),
        {("queue_full",): counts.queue_full, ("storage",): counts.unacknowledged},
    )
    yield from counter("lockstream_failed_events_total", "Events that met an internal error.", counts.failed)
    yield from histogram(
        "lockstream_event_delay_seconds", "Time from occurrence to acceptance of events.", counts.delay_seconds
    )


def batch_families(counts: EventCounts, figures: SystemFigures) -> Iterable[Metric]:
    """Yield the metric families of group commit."""
    yield from histogram("lockstream_batch_events", "Events of a batch.", counts.batch_events)
    yield from histogram(
        "lockstream_batch_queue_seconds",
        "Time from the first request of a batch to its decision.",
        counts.queue_seconds,
    )
    yield from gauge("lockstream_queue_events", "Events that wait for acknowledgement.", figures.events_waiting)
    yield from gauge("lockstream_queue_limit_events", "Most events that may wait.", figures.queue_limit)
