"""Partitions of the feed, and ids of logs."""

from collections import Counter

import pytest

from lockstream.core.entities.feed import EMPTY_LOG_ID, Partition, log_id_of, partition_of
from lockstream.core.entities.log import START

VECTORS = {
    "station-7": (0, 2, 562),
    "a": (0, 2, 458),
    "Bahnhof Zürich": (0, 0, 152),
    "駅": (0, 0, 628),
}
"""The partitions of lockers among 2, 4 and 1,024. docs/feed.md has the same table."""


@pytest.mark.parametrize("locker_id", VECTORS)
def test_a_locker_is_in_the_documented_partition(locker_id: str) -> None:
    assert tuple(partition_of(locker_id, count) for count in (2, 4, 1_024)) == VECTORS[locker_id]


def test_each_locker_is_in_one_of_the_partitions() -> None:
    for number in range(200):
        parts = [part for part in range(7) if Partition(part, 7).contains(f"locker-{number}")]
        assert parts == [partition_of(f"locker-{number}", 7)]
        assert Partition(0, 1).contains(f"locker-{number}")


def test_partitions_have_similar_sizes() -> None:
    sizes = Counter(partition_of(f"L{number:05}", 8) for number in range(8_000))
    assert set(sizes) == set(range(8))
    assert all(900 < size < 1_100 for size in sizes.values())


def test_an_empty_log_has_an_id_of_zeros() -> None:
    assert log_id_of(START.chain) == EMPTY_LOG_ID == "0" * 32
