"""The fault report: each test counts the effects of its faults, and the end of a run prints the table of all counts."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

import pytest

FULL = os.environ.get("LOCKSTREAM_CRASH") == "full"
"""Whether every case runs. Otherwise a part runs, which takes two minutes."""

TAIL, CALLS, POWER, FLUSH, PROCESSES, PROJECTION = "1", "2", "3", "4", "5", "6"

POINTS = {
    TAIL: "every byte of the tail",
    CALLS: "the n-th system call fails",
    POWER: "power loss and kills",
    FLUSH: "flushed before the response",
    PROCESSES: "two processes",
    PROJECTION: "the projection is damaged",
}
"""The points of docs/reliability.md to which the rows of the table belong."""

COLUMNS = "point", "fault", "faults injected", "acknowledged", "rightly refused", "lost", "bricked"

_PROPERTY = "crash"


@dataclass
class FaultOutcome:
    """Counts of one test: injected faults, acknowledged and lost events, and servers that did not recover."""

    faults: int = 0
    acknowledged: int = 0
    """Acknowledged events, counted again for each fault."""

    lost: list[str] = field(default_factory=list)
    bricked: list[str] = field(default_factory=list)
    """Reasons why a start was wrongly refused or accepted no event, or why a read disagrees with the log."""

    refused: int = 0
    """Starts that were rightly refused: acknowledged events were damaged, or a start cannot tell whether they were."""

    def __str__(self) -> str:
        return f"{self.faults} faults: {len(self.lost)} of {self.acknowledged} lost, {len(self.bricked)} bricked"

    def __iadd__(self, other: Self) -> Self:
        self.faults += other.faults
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.bricked += other.bricked
        self.refused += other.refused
        return self

    def assert_nothing_lost_or_bricked(self) -> None:
        assert (self.lost[:3], self.bricked[:3]) == ([], []), str(self)


class FaultReport:
    """Attaches the counts of one test to its report, so that they arrive from whichever process runs the test."""

    def __init__(self, record_property: Callable[[str, object], None]) -> None:
        self._record_property = record_property

    def add(self, point: str, fault: str, outcome: FaultOutcome) -> None:
        """Add the outcome of faults of one kind to the row of that kind."""
        assert point in POINTS
        counts = [outcome.faults, outcome.acknowledged, outcome.refused, len(outcome.lost), len(outcome.bricked)]
        self._record_property(_PROPERTY, [point, fault, *counts])


def rows(reports: Iterable[pytest.TestReport]) -> list[tuple[str, ...]]:
    """Return the table of all counts: a row for each kind of fault, sorted by point."""
    sums: dict[tuple[str, str], list[int]] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == _PROPERTY and report.when == "call" and isinstance(value, list):
                point, fault, *counts = value
                before = sums.setdefault((point, fault), [0] * len(counts))
                sums[point, fault] = [one + more for one, more in zip(before, counts, strict=True)]
    return [(point, fault, *(f"{count:,}" for count in counts)) for (point, fault), counts in sorted(sums.items())]


def terminal_lines(table: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table for the terminal."""
    lines = [COLUMNS, *table]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
