"""Rate limits of keys, from settings and from the key itself, and of failed authentications."""

from typing import Any

import pytest

from lockstream.core.entities.access import Caller, Limits
from lockstream.core.entities.events import KeyId
from lockstream.services.running.access.rate_limits import FailureLimits, RateLimits, TooManyRequests
from lockstream.settings import Settings

LIMITED = Settings(requests_per_second=2, events_per_second=10, burst_seconds=3)


def key(name: str = "aaaaaaaa", **limits: Any) -> Caller:
    """Return a caller with a key, which has limits of its own if any are given."""
    return Caller(key_id=KeyId(name), limits=Limits(**limits) if limits else None)


def requests_at_once(limits: RateLimits, caller: Caller, now: float = 100.0) -> int:
    """Return how many of 100 requests pass at one time."""
    for number in range(100):
        try:
            limits.take_request(caller, now)
        except TooManyRequests:
            return number
    return 100


def test_the_settings_limit_each_key() -> None:
    limits = RateLimits(LIMITED)
    assert requests_at_once(limits, key()) == 6
    assert requests_at_once(limits, key("bbbbbbbb")) == 6


def test_without_a_limit_everything_passes() -> None:
    limits = RateLimits(Settings())
    assert requests_at_once(limits, key()) == 100
    limits.take_events(key(), 10_000, 0.0)
    limits.take_events(key(), 10_000, 0.0)
    assert limits.buckets(key()).policy == b""


def test_a_limit_of_the_key_stands_before_the_settings() -> None:
    limits = RateLimits(LIMITED)
    assert requests_at_once(limits, key(requests_per_second=5)) == 15
    assert requests_at_once(limits, key("bbbbbbbb", burst_seconds=1)) == 2
    assert requests_at_once(limits, key("cccccccc", requests_per_second=5, burst_seconds=1)) == 5
    assert requests_at_once(RateLimits(Settings()), key("dddddddd", requests_per_second=1)) == 10


def test_a_changed_limit_holds_at_once_and_forgets_nothing() -> None:
    limits = RateLimits(LIMITED)
    assert requests_at_once(limits, key(requests_per_second=1)) == 3
    assert requests_at_once(limits, key(requests_per_second=20)) == 0
    assert requests_at_once(limits, key(requests_per_second=20), 101.0) == 20


def test_equal_limits_are_one_limit() -> None:
    limits = RateLimits(LIMITED)
    assert limits.buckets(key(requests_per_second=1)) is limits.buckets(key(requests_per_second=1))


def test_events_and_requests_are_counted_apart() -> None:
    limits = RateLimits(LIMITED)
    limits.take_events(key(), 12, 100.0)
    assert requests_at_once(limits, key()) == 6
    buckets = limits.buckets(key())
    assert buckets.policy == b'"requests";q=6;w=3, "events";q=30;w=3'
    assert buckets.events
    assert buckets.events.state(100.0) == (18, 2)


def test_a_refusal_says_which_limit_how_long_to_wait_and_what_to_do() -> None:
    limits = RateLimits(LIMITED)
    limits.take_events(key(), 130, 0.0)
    with pytest.raises(TooManyRequests) as refused:
        limits.take_events(key(), 1, 0.0)
    assert (refused.value.code, refused.value.retry_after) == ("too_many_events", 11)
    assert str(refused.value) == (
        "The key exceeds its limit of 10 events a second. Wait 11 seconds, then send the request again."
    )


def test_a_refusal_amid_a_batch_says_what_was_decided() -> None:
    limits = RateLimits(LIMITED)
    limits.take_events(key(), 1_000, 0.0)
    with pytest.raises(TooManyRequests) as refused:
        limits.take_events(key(), 1, 0.0, decided=250)
    assert str(refused.value) == (
        "The key exceeds its limit of 10 events a second. The first 250 events were decided. Wait 98 seconds, then "
        "send all of them again; accepted events count once."
    )


def test_many_keys_take_bounded_memory_and_the_emptiest_buckets_are_kept() -> None:
    limits = RateLimits(LIMITED, max_keys=10)
    limits.take_events(key("emptiest"), 1_000, 0.0)
    for number in range(100):
        limits.take_request(key(str(number)), 0.0)
        assert len(limits) <= 10
    with pytest.raises(TooManyRequests):
        limits.take_events(key("emptiest"), 1, 0.0)


def failures_at_once(limits: FailureLimits, address: str, now: float = 100.0) -> int:
    """Return how many of 100 failed authentications pass at one time."""
    for number in range(100):
        try:
            limits.note(address, now)
        except TooManyRequests:
            return number
    return 100


def test_ten_failed_authentications_of_an_address_pass_and_then_one_every_six_seconds() -> None:
    limits = FailureLimits()
    assert failures_at_once(limits, "192.0.2.1") == 10
    assert failures_at_once(limits, "192.0.2.1", 105.9) == 0
    assert failures_at_once(limits, "192.0.2.1", 106.0) == 1
    assert failures_at_once(limits, "192.0.2.1", 600.0) == 10
    assert failures_at_once(limits, "192.0.2.2") == 10


def test_the_addresses_of_an_ipv6_network_share_a_limit() -> None:
    limits = FailureLimits()
    assert failures_at_once(limits, "2001:db8::1") == 10
    assert failures_at_once(limits, "2001:db8::ffff:1") == 0
    assert failures_at_once(limits, "2001:db8:0:1::1") == 10


def test_an_ipv4_address_in_ipv6_is_that_address_and_other_texts_are_addresses() -> None:
    limits = FailureLimits()
    assert failures_at_once(limits, "::ffff:192.0.2.1") == 10
    assert failures_at_once(limits, "192.0.2.1") == 0
    assert failures_at_once(limits, "") == 10
    assert failures_at_once(limits, "testclient") == 10


def test_a_failed_authentication_says_what_to_do() -> None:
    limits = FailureLimits()
    failures_at_once(limits, "192.0.2.1")
    with pytest.raises(TooManyRequests) as refused:
        limits.note("192.0.2.1", 100.0)
    assert (refused.value.code, refused.value.retry_after) == ("too_many_failed_authentications", 6)
    assert str(refused.value) == (
        "Too many failed authentications came from this address. Check the key. Wait 6 seconds, then try again."
    )


def test_an_attacker_with_many_addresses_takes_bounded_memory() -> None:
    limits = FailureLimits(max_addresses=100)
    for number in range(10_000):
        limits.note(f"10.0.{number // 256}.{number % 256}", 0.0)
        assert len(limits) <= 100
