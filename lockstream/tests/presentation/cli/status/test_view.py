"""The lines that show a state, and the pace between two states."""

import pytest

from lockstream.core.wording import counted, size
from lockstream.presentation.cli.status.answers import Node, Problem, Quarantine, Status
from lockstream.presentation.cli.status.rates import Seen, events_a_second
from lockstream.presentation.cli.status.view import CRITICAL, GOOD, WARNING, lines
from lockstream.tests.presentation.cli.status.states import FULL_DISK, LAG, status, storage


def text(shown: Status, rate: float | None = None) -> str:
    return "\n".join(line.text for line in lines(shown, rate))


def test_a_healthy_server_is_shown_with_its_figures() -> None:
    assert lines(status(), None)[0] == ("All is well.", GOOD)
    assert text(status(), 12.34).splitlines()[2:] == [
        "position    81,204, 12.3 events/s",
        "projection  up to date",
        "queue       7 of 20,000 events",
        "streams     2 of 1,000",
        "log         25.1 MiB, 9,120 events a day",
        "disk        392.9 MiB free, full in 48 days",
        "quarantine  4 of 50,000 entries",
        "",
        "Lockstream 2.0.0, started 2026-11-23T06:00:00.000000Z, log /var/lib/event_log.jsonl",
    ]


@pytest.mark.parametrize(
    ("problems", "verdict", "style"),
    [
        ([LAG], "Events are accepted. 1 problem to look at.", WARNING),
        ([LAG, LAG], "Events are accepted. 2 problems to look at.", WARNING),
        ([FULL_DISK, LAG], "Events are refused.", CRITICAL),
    ],
)
def test_problems_come_first_with_their_remedy_and_page(problems: list[Problem], verdict: str, style: str) -> None:
    shown = lines(status(*problems), None)
    assert shown[0] == (verdict, style)
    for number, problem in enumerate(problems):
        description, remedy, page, _ = shown[2 + 4 * number : 6 + 4 * number]
        expected_style = CRITICAL if problem.is_critical else WARNING
        assert (description.text, description.style) == (problem.description, expected_style)
        assert (remedy.text, page.text) == (f"  {problem.remedy}", f"  docs/operations.md#{problem.page}")


def test_lags_are_told_in_events_and_seconds() -> None:
    behind = storage(projection_lag=1, projection_lag_seconds=31.25, replica_position=81_200, replica_lag_seconds=2.0)
    shown = text(status(storage=behind))
    assert "projection  1 event and 31.2 seconds behind" in shown
    assert f"replica     {counted(4, 'event')} and 2.0 seconds behind" in shown
    assert "replica     up to date" in text(status(storage=storage(replica_position=81_204)))
    assert "replica     does not answer" in text(status(storage=storage(replica_failure="It is away.")))


def test_several_nodes_are_counted_by_state() -> None:
    nodes = [Node("ready"), Node("not_heard"), Node("ready")]
    assert "nodes       2 ready, 1 not heard\n" in text(status(nodes=nodes))
    assert "nodes" not in text(status(nodes=[Node("ready")]))


def test_figures_that_are_not_known_are_left_out() -> None:
    unknown = storage(kind="postgresql", log_bytes=None, disk_free_bytes=None, events_a_day=None)
    names = [line.split()[0] for line in text(status(storage=unknown, quarantine=None)).splitlines()[2:-2]]
    assert names == ["position", "projection", "queue", "streams"]
    young = storage(events_a_day=None)
    assert "392.9 MiB free\n" in text(status(storage=young, days_left=None))


def test_a_quarantine_in_memory_is_told() -> None:
    assert "4 of 9 entries, in memory alone" in text(status(quarantine=Quarantine(4, 9, True)))


def test_what_a_server_writes_cannot_control_the_terminal() -> None:
    evil = Problem("x", False, "\x1b[2Jgone", "\x07", "\x9b")
    shown = text(status(evil, storage=storage(log_name="\x1b]0;title"), version="\n"))
    assert "\\u001b[2Jgone" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1,023 B"), (1024, "1.0 KiB"), (1 << 30, "1.0 GiB"), (1 << 52, "4,096.0 TiB")],
)
def test_sizes_have_units(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("before", "now", "rate"), [((10, 100), (12, 150), 25.0), ((10, 100), (12, 100), 0.0), ((10, 100), (12, 1), None)]
)
def test_a_rate_comes_from_two_states(before: tuple[int, int], now: tuple[int, int], rate: float | None) -> None:
    first, second = (Seen(status(storage=storage(head=head)), at) for at, head in (before, now))
    assert events_a_second(first, second) == rate


def test_no_rate_is_known_from_one_state_or_in_no_time() -> None:
    seen = Seen(status(), 1.0)
    assert events_a_second(None, seen) is None
    assert events_a_second(seen, seen) is None
