"""Token buckets: how much passes in a time, and debts."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from lockstream.services.running.access.token_buckets import Bucket, Rate

FIVE_A_SECOND = Rate("requests", per_second=5, burst_seconds=2)


def taken(bucket: Bucket, times: int, now: float) -> int:
    """Return how many of so many attempts to take a token succeed."""
    return sum(bucket.take(1, now) for _ in range(times))


def test_a_full_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(FIVE_A_SECOND)
    assert taken(bucket, 20, now=100.0) == 10
    assert taken(bucket, 20, now=101.0) == 5
    assert taken(bucket, 20, now=200.0) == 10


def test_more_than_a_bucket_holds_passes_once_and_is_owed() -> None:
    bucket = Bucket(FIVE_A_SECOND)
    # given a bucket of ten tokens, when 1,000 are taken, then they pass
    assert bucket.take(1_000, 0.0)
    assert bucket.state(0.0) == (0, 200)
    # and nothing more passes before the debt is paid
    assert not any(bucket.take(1, now) for now in (0.0, 100.0, 198.1))
    assert bucket.take(1, 198.2)


def test_a_refusal_takes_nothing_and_tells_the_time_to_wait() -> None:
    bucket = Bucket(FIVE_A_SECOND)
    bucket.take(20, 0.0)
    for _ in range(3):
        assert not bucket.take(1, 0.0)
        assert bucket.wait_seconds(0.0) == 3, "2.2 seconds, rounded up"
    assert not bucket.take(1, 2.19)
    assert bucket.wait_seconds(2.19) == 1
    assert bucket.take(1, 2.2)


def test_a_permitted_debt_is_bounded() -> None:
    bucket, passed = Bucket(FIVE_A_SECOND), 0
    while bucket.take(10, 0.0, debt=100):
        passed += 10
    assert passed == 110, "the tokens of the bucket, and the debt"


def test_a_rate_below_one_token_a_burst_still_gives_one() -> None:
    slow = Rate("requests", per_second=0.1, burst_seconds=1)
    bucket = Bucket(slow)
    assert slow.full_tokens == 1
    assert taken(bucket, 5, now=0.0) == 1
    assert taken(bucket, 5, now=9.9) == 0
    assert taken(bucket, 5, now=10.0) == 1


def test_a_look_takes_nothing() -> None:
    bucket = Bucket(FIVE_A_SECOND)
    assert bucket.state(0.0) == (10, 0)
    bucket.take(3, 0.0)
    assert all(bucket.take(0, 0.0) for _ in range(100))
    assert bucket.state(0.0) == (7, 1)


@given(
    per_second=st.sampled_from([0.1, 1.0, 3.0, 7.5, 1_000.0]),
    burst_seconds=st.integers(1, 20),
    attempts=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), max_size=60),
)
def test_no_time_gives_more_than_its_burst_its_rate_and_one_debt(
    per_second: float, burst_seconds: int, attempts: list[tuple[float, int]]
) -> None:
    rate = Rate("events", per_second, burst_seconds)
    bucket, now = Bucket(rate), 1_000.0
    passed: list[tuple[float, int]] = []
    for pause, count in attempts:
        now += pause
        left, _ = bucket.state(now)
        # when tokens are taken, then that succeeds if one is left, and only then
        assert bucket.take(count, now) == (left > 0)
        if left:
            passed.append((now, count))
    # and what passed before the last attempt of any time fits into its burst and its rate
    for index, (start, _) in enumerate(passed):
        for end in range(index, len(passed)):
            most = Fraction(rate.full_seconds + passed[end][0] - start) * Fraction(per_second) + Fraction(1, 1_000)
            assert sum(count for _, count in passed[index:end]) <= most
