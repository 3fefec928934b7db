"""Rate limits: requests and events a second of each key, and failed authentications of each remote address.

Each node counts on its own, in memory. A restart sets all counts to zero.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from math import ceil

from msgspec import Struct

from lockstream.core.addresses import address_of
from lockstream.core.entities.access import Caller, Limits
from lockstream.core.errors import LockstreamError
from lockstream.core.wording import counted
from lockstream.services.running.access.token_buckets import Bucket, Rate
from lockstream.settings import Settings

REQUESTS, EVENTS, FAILURES = "requests", "events", "failed authentications"

FAILURE_RATE = Rate(FAILURES, per_second=1 / 6, burst_seconds=60)
"""Ten failed authentications at once, then one every 6 seconds."""

MAX_KEYS = 100_000
"""Keys whose requests and events are counted, at some 500 bytes each."""

MAX_ADDRESSES = 10_000
"""Remote addresses whose failed authentications are counted."""

IPV6_NETWORK_BITS = 64
"""First bits of an IPv6 address, which stand for one client. A client may choose the other bits (RFC 4291, 2.5.4)."""


class TooManyRequests(LockstreamError):
    """Raised when a key exceeds a rate limit, or a remote address the limit of failed authentications."""

    def __init__(self, bucket: Bucket, now: float, decided: int = 0) -> None:
        """`decided` is the number of events of the same request that were decided before."""
        self.code = f"too_many_{bucket.rate.name.replace(' ', '_')}"
        self.retry_after = bucket.wait_seconds(now)
        super().__init__(_text(bucket.rate, counted(self.retry_after, "second"), decided))


class KeyBuckets(Struct):
    """The buckets of one key. A bucket that is None limits nothing."""

    limits: Limits | None
    """The key's own limits, from which its buckets were made. None if they were made from the settings."""

    requests: Bucket | None
    events: Bucket | None
    policy: bytes
    """Value of the header field `RateLimit-Policy` for this key. Empty if the key has no limit."""

    @property
    def full_at(self) -> float:
        """Time at which both buckets are full."""
        return max((bucket.full_at for bucket in (self.requests, self.events) if bucket), default=0.0)


class RateLimits:
    """The rate limits of all keys."""

    def __init__(self, settings: Settings, max_keys: int = MAX_KEYS) -> None:
        self._requests_per_second, self._events_per_second = settings.requests_per_second, settings.events_per_second
        self._burst_seconds, self._max_keys = settings.burst_seconds, max_keys
        self._buckets: dict[str, KeyBuckets] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take_request(self, caller: Caller, now: float) -> None:
        """Count a request of a caller that has a key.

        Raises:
            TooManyRequests: the key exceeds its limit.
        """
        bucket = self.buckets(caller).requests
        if bucket and not bucket.take(1, now):
            raise TooManyRequests(bucket, now)

    def take_events(self, caller: Caller, count: int, now: float, debt: int = 0, decided: int = 0) -> None:
        """Count events of a caller that has a key. A `count` of 0 only checks whether the key exceeds its limit.

        A key within its limit may report any number of events at once, and owes the events beyond its burst. With
        `debt`, the key may go on until it owes so many events. `decided` events of the same request were decided
        before.

        Raises:
            TooManyRequests: the key exceeds its limit, and none of these events is counted.
        """
        bucket = self.buckets(caller).events
        if bucket and not bucket.take(count, now, debt):
            raise TooManyRequests(bucket, now, decided)

    def buckets(self, caller: Caller) -> KeyBuckets:
        """Return the buckets of a caller that has a key."""
        known = self._buckets.get(caller.key_id)
        if known is not None and (known.limits is caller.limits or known.limits == caller.limits):
            return known
        self._buckets[caller.key_id] = buckets = self._new_buckets(caller.limits, known)
        if len(self._buckets) > self._max_keys:
            self._buckets = _emptier_half(self._buckets)
        return buckets

    def _new_buckets(self, own: Limits | None, former: KeyBuckets | None) -> KeyBuckets:
        """Return buckets for a key with its `own` limits, which are full at the time of its `former` buckets."""
        limits = own or Limits()
        burst = limits.burst_seconds or self._burst_seconds
        per_second = {
            REQUESTS: limits.requests_per_second or self._requests_per_second,
            EVENTS: limits.events_per_second or self._events_per_second,
        }
        rates = {name: Rate(name, limit, burst) for name, limit in per_second.items() if limit}
        buckets = {name: Bucket(rate) for name, rate in rates.items()}
        for name, before in ((REQUESTS, former and former.requests), (EVENTS, former and former.events)):
            if before and name in buckets:
                buckets[name].full_at = before.full_at
        return KeyBuckets(own, buckets.get(REQUESTS), buckets.get(EVENTS), _policy(rates.values()))


class FailureLimits:
    """The limit of failed authentications of each remote address.

    The limit keeps a client in a loop from using up the kinds of refusals that the audit log tells apart. The
    limit does not defend against guessed keys: a secret has 256 random bits. A request with a valid key is always
    served, since other clients may share its address.
    """

    def __init__(self, max_addresses: int = MAX_ADDRESSES) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._max_addresses = max_addresses

    def __len__(self) -> int:
        return len(self._buckets)

    def note(self, address: str, now: float) -> None:
        """Count a failed authentication.

        Raises:
            TooManyRequests: too many failed authentications came from this address.
        """
        network = _network_of(address)
        bucket = self._buckets.get(network)
        if bucket is None:
            self._buckets[network] = bucket = Bucket(FAILURE_RATE)
            if len(self._buckets) > self._max_addresses:
                self._buckets = _emptier_half(self._buckets)
        if not bucket.take(1, now):
            raise TooManyRequests(bucket, now)


def _text(rate: Rate, wait: str, decided: int) -> str:
    if rate.name == FAILURES:
        return f"Too many failed authentications came from this address. Check the key. Wait {wait}, then try again."
    exceeded = f"The key exceeds its limit of {rate.per_second:,g} {rate.name} a second."
    if not decided:
        return f"{exceeded} Wait {wait}, then send the request again."
    return (
        f"{exceeded} The first {decided:,} events were decided. Wait {wait}, then send all of them again; accepted "
        "events count once."
    )


def _policy(rates: Iterable[Rate]) -> bytes:
    return ", ".join(f'"{rate.name}";q={rate.full_tokens};w={ceil(rate.full_seconds)}' for rate in rates).encode()


def _emptier_half[BucketT: (Bucket, KeyBuckets)](buckets: dict[str, BucketT]) -> dict[str, BucketT]:
    """Return the half of the buckets that will be full last. All other buckets count as full from now on."""
    by_full_at = sorted(buckets.items(), key=lambda item: item[1].full_at)
    return dict(by_full_at[len(by_full_at) // 2 :])


@lru_cache(MAX_ADDRESSES)
def _network_of(text: str) -> str:
    """Return the network of an IPv6 address, which one client may have for itself. Any other text is returned as is."""
    address = address_of(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_NETWORK_BITS), strict=False))
    return text if address is None else str(address)
