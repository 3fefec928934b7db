"""The collector: builds all families of a scrape. A part that fails is left out, and the others are served."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from lockstream.core.errors import StoreUnavailable
from lockstream.core.use_cases.silent_lockers import SilentLockers
from lockstream.infrastructure.telemetry.histogram import Observations
from lockstream.services.running.lockstream import Lockstream
from lockstream.services.running.telemetry.counts import SystemCounts
from lockstream.services.running.telemetry.figures import SystemFigures
from lockstream.services.running.telemetry.metrics.events import batch_families, event_families
from lockstream.services.running.telemetry.metrics.forms import counters
from lockstream.services.running.telemetry.metrics.network import (
    NetworkFigures,
    network_families,
    network_figures,
    silence_families,
)
from lockstream.services.running.telemetry.metrics.readers import feed_families, key_families, quarantine_families
from lockstream.services.running.telemetry.metrics.requests import request_families
from lockstream.services.running.telemetry.metrics.storage import engine_families, position_families, system_families
from lockstream.services.running.telemetry.request_tally import RequestTally

PART_SECONDS = 3.0
"""Time that a part of a scrape may take. Prometheus gives up a scrape after 10 seconds by default."""

PARTS = "system", "counts", "disk", "growth", "database", "quarantine", "network", "silence", "requests", "process"

logger = logging.getLogger(__name__)


class _Scraped(NamedTuple):
    """The numbers of a scrape. None stands for a part that has failed."""

    figures: SystemFigures | None
    counts: SystemCounts | None
    network: NetworkFigures | None
    silent: SilentLockers | None
    requests: dict[tuple[str, str], int]
    request_seconds: dict[str, Observations]


class MetricsCollector:
    """Builds the families of one process. For one event loop."""

    def __init__(self, requests: RequestTally) -> None:
        self._requests = requests
        self._process = ProcessCollector(registry=None)
        self._errors = dict.fromkeys(PARTS, 0)

    async def collect(self, lockstream: Lockstream) -> list[Metric]:
        """Return all families. A slow disk or an unreachable database delays them by `PART_SECONDS` at most."""
        days = lockstream.settings.overdue_days
        figures, counts, network, silent = await asyncio.gather(
            self._attempt("system", lockstream.figures),
            self._attempt("counts", lockstream.counts),
            self._attempt("network", lambda: lockstream.list(partial(network_figures, overdue_days=days), at=0)),
            self._attempt("silence", lockstream.silent_lockers),
        )
        for part in figures.missing if figures else ():
            if part in self._errors:  # the list of nodes has no metrics
                self._errors[part] += 1
        seconds = {group: found.read() for group, found in self._requests.seconds.items()}
        scraped = _Scraped(figures, counts, network and network.value, silent, self._requests.read(), seconds)
        return await asyncio.to_thread(self._families, scraped)

    async def _attempt[ValueT](self, part: str, read: Callable[[], Awaitable[ValueT]]) -> ValueT | None:
        try:
            return await asyncio.wait_for(read(), PART_SECONDS)
        except (OSError, StoreUnavailable):  # TimeoutError is an OSError
            pass
        except Exception:  # an internal error must not hide all other metrics
            logger.exception(
                "The part %r of the metrics could not be read.", part, extra={"event_name": "metrics_not_read"}
            )
        self._errors[part] += 1
        return None

    def _families(self, scraped: _Scraped) -> list[Metric]:
        figures, counts = scraped.figures, scraped.counts
        found: list[Metric] = []
        if figures:
            found += self._build("system", lambda: system_families(figures))
            found += self._build("system", lambda: position_families(figures.storage))
        if counts:
            found += self._build("counts", lambda: event_families(counts.events))
            if storage := counts.storage:
                found += self._build("counts", lambda: engine_families(storage))
        if figures and counts:
            found += self._build("counts", lambda: batch_families(counts.events, figures))
            found += self._build("counts", lambda: feed_families(figures, counts.streams_lag))
            found += self._build("counts", lambda: key_families(counts.keys_refused, figures.failing_keys))
        if figures and (quarantine := figures.quarantine):
            found += self._build("quarantine", lambda: quarantine_families(quarantine))
        if network := scraped.network:
            found += self._build("network", lambda: network_families(network))
        if silent := scraped.silent:
            found += self._build("silence", lambda: silence_families(silent))
        found += self._build("requests", lambda: request_families(scraped.requests, scraped.request_seconds))
        found += self._build("process", self._process.collect)
        errors = {(part,): count for part, count in self._errors.items()}
        text = "Parts of a scrape that were left out."
        return [*found, *counters("lockstream_scrape_errors_total", text, ("part",), errors)]

    def _build(self, part: str, families: Callable[[], Iterable[Metric]]) -> list[Metric]:
        try:
            return list(families())
        except Exception:  # an internal error must not hide all other metrics
            logger.exception(
                "The part %r of the metrics could not be built.", part, extra={"event_name": "metrics_not_built"}
            )
            self._errors[part] += 1
            return []
