"""The access log: one line per request in the server log, for a share of the requests.

Requests that failed or were slow are always logged. No line has a key, a query or a body.
"""

import logging
import random

from lockstream.core.wording import counted
from lockstream.presentation.http.telemetry.exchanges import Exchange

SLOW_SECONDS = 1.0
"""Duration from which a request counts as slow, unless its operation may wait for events of the feed."""

FAILED = 500
"""The lowest status of a request that failed."""

logger = logging.getLogger("lockstream.access")


class AccessLog:
    """Logs exchanges, whatever the level of the server log is."""

    def __init__(self, share: float) -> None:
        """`share` is the share of exchanges that are logged, from 0 to 1."""
        self._share = share
        logger.setLevel(logging.INFO)

    def note(self, exchange: Exchange) -> None:
        """Log an exchange if it failed, was slow, or belongs to the random share."""
        if self._is_wanted(exchange):
            logger.info(
                "%s %s %s in %.1f ms, %s, from %s%s, request %s",
                exchange.method,
                exchange.path,
                exchange.status or "unanswered",
                exchange.seconds * 1000,
                counted(exchange.body_bytes, "byte"),
                exchange.address or "the Unix socket",
                f", key {exchange.key_id}" if exchange.key_id else "",
                exchange.request_id,
                extra={"event_name": "request", **_fields(exchange)},
            )

    def _is_wanted(self, exchange: Exchange) -> bool:
        is_slow = exchange.seconds >= SLOW_SECONDS and not exchange.may_wait
        has_failed = exchange.status is None or exchange.status >= FAILED
        return has_failed or is_slow or random.random() < self._share  # noqa: S311  # sampling needs no secrecy


def _fields(exchange: Exchange) -> dict[str, object]:
    return {
        "method": exchange.method,
        "path": exchange.path,
        "operation": exchange.operation,
        "status": exchange.status,
        "duration_ms": round(exchange.seconds * 1000, 3),
        "bytes": exchange.body_bytes,
        "address": exchange.address,
        "key_id": exchange.key_id or None,
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
    }
