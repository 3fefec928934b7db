"""Rate limits over HTTP: refusals by 429, and the `RateLimit` header fields.

The header fields follow draft-ietf-httpapi-ratelimit-headers-11 (May 2026). Each response to a key that has limits
bears them, so that its client can slow down before it is refused.
"""

from time import monotonic
from typing import Any

from fastapi import Request

from lockstream.core.entities.access import Caller
from lockstream.schemas.responses import TooManyRequestsBody
from lockstream.services.running.access.rate_limits import RateLimits

RATE_LIMIT, RATE_LIMIT_POLICY = "RateLimit", "RateLimit-Policy"

TOO_MANY: dict[str, Any] = {
    "model": TooManyRequestsBody,
    "description": "The key exceeds a rate limit, or too many requests with a wrong key came from the remote address.",
    "headers": {
        "Retry-After": {
            "description": "Seconds to wait.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        },
        RATE_LIMIT_POLICY: {
            "description": 'Each limit of the key: `"requests";q=500;w=10` allows 500 requests at once, and as many '
            "every 10 seconds. `events` counts the events of all requests.",
            "schema": {"type": "string"},
        },
        RATE_LIMIT: {
            "description": 'The rest of each limit: `"requests";r=12;t=3` allows 12 requests at once, and all of '
            "the limit again in 3 seconds.",
            "schema": {"type": "string"},
        },
    },
}
"""Declares a response of 429."""


def take_request(limits: RateLimits, caller: Caller) -> None:
    """Count a request of a caller that has a key.

    Raises:
        TooManyRequests: the key exceeds its limit.
    """
    limits.take_request(caller, monotonic())


def take_events(request: Request, caller: Caller, count: int, *, debt: int = 0, decided: int = 0) -> None:
    """Count events of a request if its caller has a key. Raises TooManyRequests, as `RateLimits.take_events` does."""
    if caller.key_id:
        limits: RateLimits = request.app.rate_limits
        limits.take_events(caller, count, monotonic(), debt, decided)


def rate_limit_headers(limits: RateLimits, caller: Caller) -> list[tuple[bytes, bytes]]:
    """Return the header fields with the limits of a caller. A caller without limits gets none."""
    buckets = limits.buckets(caller)
    if not buckets.policy:
        return []
    now, requests, events = monotonic(), buckets.requests, buckets.events
    states = b""
    if requests:
        states = b'"requests";r=%d;t=%d' % requests.state(now)
    if events:
        states += (b', "events";r=%d;t=%d' if states else b'"events";r=%d;t=%d') % events.state(now)
    return [(b"ratelimit-policy", buckets.policy), (b"ratelimit", states)]
