"""The lines that show the state of a server: problems, then figures. Text of the server is never read as markup."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lockstream.core.wording import counted, printable, size
from lockstream.presentation.cli.status.answers import Node, Problem, Quarantine, Status, Storage

PAGE = "docs/operations.md"

GOOD, WARNING, CRITICAL, FAINT, PLAIN = "green", "yellow", "bold red", "dim", ""
"""Styles of lines."""


class Line(NamedTuple):
    """A line of the view."""

    text: str
    style: str = PLAIN


def lines(status: Status, rate: float | None) -> list[Line]:
    """Return the lines that show a state. `rate` is that of accepted events a second, or None if it is not known."""
    found = [_verdict(status), Line("")]
    for problem in status.problems:
        found += _of_problem(problem)
    figures = _figures(status, rate)
    width = max(len(name) for name, _ in figures)
    found += [Line(f"{name:<{width}}  {value}") for name, value in figures]
    started = f"Lockstream {status.version}, started {status.started_at}, log {status.storage.log_name}"
    return [*found, Line(""), Line(printable(started), FAINT)]


def _verdict(status: Status) -> Line:
    if status.is_critical:
        return Line("Events are refused.", CRITICAL)
    if count := len(status.problems):
        return Line(f"Events are accepted. {counted(count, 'problem')} to look at.", WARNING)
    return Line("All is well.", GOOD)


def _of_problem(problem: Problem) -> list[Line]:
    style = CRITICAL if problem.is_critical else WARNING
    return [
        Line(printable(problem.description), style),
        Line(printable(f"  {problem.remedy}")),
        Line(printable(f"  {PAGE}#{problem.page}"), FAINT),
        Line(""),
    ]


def _figures(status: Status, rate: float | None) -> list[tuple[str, str]]:
    storage = status.storage
    pace = "" if rate is None else f", {rate:,.1f} events/s"
    found = [
        ("position", f"{storage.head:,}{pace}"),
        ("projection", _behind(storage.projection_lag, storage.projection_lag_seconds)),
        *_replica(storage),
        *_nodes(status.nodes or ()),
        ("queue", f"{status.events_waiting:,} of {status.queue_limit:,} events"),
        ("streams", f"{status.open_streams:,} of {status.stream_limit:,}"),
        *_disk(status),
    ]
    return found + (_quarantine(status.quarantine) if status.quarantine else [])


def _behind(events: int, seconds: float) -> str:
    return f"{counted(events, 'event')} and {seconds:,.1f} seconds behind" if events else "up to date"


def _replica(storage: Storage) -> list[tuple[str, str]]:
    if storage.replica_failure:
        return [("replica", "does not answer")]
    if storage.replica_position is None:
        return []
    return [("replica", _behind(max(0, storage.head - storage.replica_position), storage.replica_lag_seconds or 0))]


def _nodes(nodes: Sequence[Node]) -> list[tuple[str, str]]:
    """Return how many nodes are in each state. A single node has nothing to tell that the other lines do not."""
    if len(nodes) < 2:
        return []
    counts = Counter(printable(node.state).replace("_", " ") for node in nodes)
    return [("nodes", ", ".join(f"{count:,} {state}" for state, count in counts.most_common()))]


def _disk(status: Status) -> list[tuple[str, str]]:
    storage, found = status.storage, []
    if storage.log_bytes is not None:
        a_day = "" if storage.events_a_day is None else f", {storage.events_a_day:,.0f} events a day"
        found.append(("log", f"{size(storage.log_bytes)}{a_day}"))
    if storage.disk_free_bytes is not None:
        left = "" if status.days_left is None else f", full in {status.days_left:,.0f} days"
        found.append(("disk", f"{size(storage.disk_free_bytes)} free{left}"))
    return found


def _quarantine(quarantine: Quarantine) -> list[tuple[str, str]]:
    behind = ", in memory alone" if quarantine.is_behind else ""
    return [("quarantine", f"{quarantine.entries:,} of {quarantine.limit:,} entries{behind}")]
