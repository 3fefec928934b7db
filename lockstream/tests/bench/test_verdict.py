"""The verdict on a soak: it names every figure that grows, and no other."""

from collections.abc import Callable, Sequence

import pytest

from bench.verdict import FULL_AT_EVENTS, KINDS, Latency, Window, judge

LATENCIES = [f"{kind}, {name}" for kind in KINDS for name in ("p50", "p99")]

PUBLISHED = """
  80967 146.4 22 9 18.5 479.3 15.5 209.4 0.8 11.4
 162032 162.5 22 9 16.4 664.9 15.5 394.4 0.8 11.7
 242850 168.0 22 9 38.5 702.2 18.8 286.0 0.8 24.3
 324010 182.0 22 9 18.7 927.7 15.0 643.6 0.8 16.3
 404858 199.8 22 9 30.6 594.9 16.4 354.1 0.8 10.3
 486010 207.2 22 9 10.9 422.8 11.9 226.7 0.9  9.5
 567094 218.8 22 9  6.1 190.5  9.3 112.3 0.9 11.0
 647979 215.8 22 9 18.2 470.2 15.9 330.8 0.9 13.8
 729234 214.4 22 9  1.0  69.6  3.6  89.1 0.8  6.3
 810392 219.3 22 9  0.9  93.5  3.6  68.4 0.8  5.9
 891521 220.4 22 9  1.1  48.5  3.8  46.3 0.8  6.6
 972685 221.6 22 9  1.2  27.4  4.1  32.7 0.9  7.4
1053826 222.8 22 9  1.1  25.4  3.8  28.7 0.8  6.5
1134934 223.4 22 9  2.2  84.3  5.4  46.2 1.0  8.0
1216046 224.5 22 9  2.3 251.7  5.4 112.9 1.1  7.8
1297015 225.5 22 9  2.9 137.5  6.2 114.9 1.0  8.4
1378228 226.2 22 9  4.2 218.4  8.2 189.0 1.0  8.1
1459164 227.3 22 9  4.8 137.6  8.5 119.7 0.8  6.7
1540360 227.8 22 9  6.0 282.7  8.7 116.8 0.9  7.3
1621513 228.9 22 9  1.1  62.8  4.0  54.6 0.8  6.2
1702324 237.6 22 9  0.8 106.4  3.3 125.9 0.7  4.9
1783820 238.4 22 9  0.8  52.2  3.2  32.4 0.7  4.2
1864853 239.5 22 9  0.9  93.1  3.5  87.6 0.8  4.2
1946142 240.6 22 9  0.8  48.9  3.0  24.8 0.6  2.8
2027197 241.1 22 9  0.8   6.8  3.2  11.0 0.7  3.6
2108497 242.1 22 9  0.9   6.2  3.7  11.6 0.9  3.2
2189648 242.7 22 9  0.9   8.0  3.5  13.0 0.8  3.9
2270841 243.8 22 9  0.8   6.2  3.3  10.2 0.7  3.5
2351887 244.8 22 9  0.8   6.3  3.1  10.4 0.7  3.4
2433185 245.4 22 9  0.8   5.5  3.2   7.6 0.7  2.8
"""
"""The minutes of the run of 2026-11-25 in docs/reliability.md: events, MB, files, threads, and latencies in ms."""


def window(
    minute: int, rss: int = 200_000_000, files: int = 22, threads: int = 8, p50: float = 0.002, p99: float = 0.009
) -> Window:
    """Return a minute in which a server processes 100,000 events, after its row cache has filled."""
    latencies = dict.fromkeys(KINDS, Latency(p50, p99))
    return Window(FULL_AT_EVENTS + 100_000 * minute, rss, files, threads, latencies)


def published() -> list[Window]:
    windows = []
    for line in PUBLISHED.strip().splitlines():
        events, megabytes, files, threads, *times = map(float, line.split())
        pairs = zip(times[::2], times[1::2], strict=True)
        latencies = {kind: Latency(p50 / 1e3, p99 / 1e3) for kind, (p50, p99) in zip(KINDS, pairs, strict=True)}
        windows.append(Window(int(events), round(megabytes * 1e6), int(files), int(threads), latencies))
    return windows


def not_flat(windows: Sequence[Window]) -> list[str]:
    """Return the subjects of a run in minutes that are not flat."""
    return [verdict.subject for verdict in judge(windows, 60) if verdict.is_flat is False]


def minutes(make: Callable[[int], Window]) -> list[Window]:
    return [make(minute) for minute in range(30)]


def test_a_run_without_changes_is_flat() -> None:
    verdicts = judge(minutes(window), 60)
    assert [verdict.subject for verdict in verdicts] == ["memory", "open files", "threads", *LATENCIES]
    assert [verdict.is_flat for verdict in verdicts] == [True] * len(verdicts)


def test_memory_may_grow_by_the_ids_of_events() -> None:
    assert not_flat(minutes(lambda minute: window(minute, rss=200_000_000 + 25 * 100_000 * minute))) == []


@pytest.mark.parametrize(
    ("make", "subjects"),
    [
        (lambda minute: window(minute, rss=200_000_000 + 30 * 100_000 * minute), ["memory"]),
        (lambda minute: window(minute, files=22 + minute // 4), ["open files"]),
        (lambda minute: window(minute, threads=8 + minute // 10), ["threads"]),
        (lambda minute: window(minute, p50=0.002 * (1 + minute / 30)), LATENCIES[::2]),
        (lambda minute: window(minute, p99=0.009 * (1 + minute / 30)), LATENCIES[1::2]),
    ],
    ids=["memory", "files", "threads", "p50", "p99"],
)
def test_a_figure_that_grows_is_not_flat(make: Callable[[int], Window], subjects: list[str]) -> None:
    assert not_flat(minutes(make)) == subjects


def test_a_slow_beginning_does_not_excuse_a_slow_end() -> None:
    """The last third is faster than the first, and 50 times slower than the minutes between."""

    def make(minute: int) -> Window:
        return window(minute, p50=0.0002 if 10 <= minute < 20 else 0.01, p99=0.001 if 10 <= minute < 20 else 0.05)

    assert not_flat(minutes(make)) == LATENCIES


def test_a_slow_minute_is_not_a_slow_third() -> None:
    assert not_flat(minutes(lambda minute: window(minute, p99=0.9 if minute % 5 == 0 else 0.009))) == []


@pytest.mark.parametrize(
    ("p50", "p99", "subjects"), [(0.021, 0.1, LATENCIES[::2]), (0.01, 0.21, LATENCIES[1::2])], ids=["p50", "p99"]
)
def test_a_run_that_is_slow_from_beginning_to_end_is_not_flat(p50: float, p99: float, subjects: list[str]) -> None:
    assert not_flat(minutes(lambda minute: window(minute, p50=p50, p99=p99))) == subjects


def test_the_published_run_is_flat() -> None:
    assert not_flat(published()) == []


def test_the_published_run_is_not_flat_at_its_slow_minute_19() -> None:
    assert not_flat(published()[:19]) == LATENCIES[:4]


def test_the_published_run_is_not_flat_if_its_slow_minutes_come_last() -> None:
    slowest_last = [*published()[10:], *published()[:10]]
    renumbered = [
        Window(events.events, events.rss, events.files, events.threads, slow.latencies)
        for events, slow in zip(published(), slowest_last, strict=True)
    ]
    assert not_flat(renumbered) == [*LATENCIES[:4], "reads, p99"]


def test_a_short_run_is_not_judged_by_memory_and_latencies() -> None:
    # given three minutes, in which everything grows tenfold
    windows = [
        Window(1_000 * factor, factor, 22, 8, dict.fromkeys(KINDS, Latency(0.001 * factor, 0.01 * factor)))
        for factor in (1, 10, 100)
    ]
    # when they are judged
    verdicts = judge(windows, 60)
    # then neither the row cache was full, nor do the latencies of a minute tell much
    assert [verdict.subject for verdict in verdicts if verdict.is_flat is None] == ["memory", *LATENCIES]
    assert "while the row cache fills" in verdicts[0].finding
    assert verdicts[0].row()[2] == "not judged"
