"""What a long run is judged by: a growth of any kind is found, and none is made up."""

from collections.abc import Callable

import pytest

from bench.soak import FULL_AT_EVENTS, Window, judge

KINDS = "events", "batches", "reads"


def lived(minute: int, rss: int = 200_000_000, files: int = 22, threads: int = 8, slower: float = 1.0) -> Window:
    times = dict.fromkeys(KINDS, (0.002 * slower, 0.009 * slower))
    return Window(rss, files, threads, FULL_AT_EVENTS + 100_000 * minute, times)


def unsound(window: Callable[[int], Window]) -> list[str]:
    """What is found to be wrong with a run of nine such windows."""
    return [what for what, _, fine in judge([window(minute) for minute in range(9)]) if not fine]


def test_a_server_that_stays_what_it_is_is_flat() -> None:
    assert unsound(lived) == []


def test_the_ids_of_history_may_grow() -> None:
    assert unsound(lambda minute: lived(minute, rss=200_000_000 + 25 * 100_000 * minute)) == []


@pytest.mark.parametrize(
    ("window", "found"),
    [
        (lambda minute: lived(minute, rss=200_000_000 + 60 * 100_000 * minute), ["memory"]),
        (lambda minute: lived(minute, files=22 + minute), ["open files"]),
        (lambda minute: lived(minute, threads=8 + minute // 3), ["threads"]),
        (
            lambda minute: lived(minute, slower=1 + minute / 4),
            [f"{kind}, {name}" for kind in KINDS for name in ("p50", "p99")],
        ),
    ],
    ids=["memory", "files", "threads", "latency"],
)
def test_what_grows_is_named(window: Callable[[int], Window], found: list[str]) -> None:
    assert unsound(window) == found


def test_a_run_that_is_too_short_says_so_of_memory() -> None:
    windows = [Window(rss, 22, 8, 1_000 * rss, dict.fromkeys(KINDS, (0.002, 0.009))) for rss in (100, 200, 300)]
    (what, said, fine), *_ = judge(windows)
    assert (what, fine) == ("memory", True)
    assert "too short to tell" in said
