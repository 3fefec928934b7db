"""What has become of what faults have left, counted: each test hands its counts in, and the table of all is printed at
the end of the run.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

import pytest

FULL = os.environ.get("LOCKSTREAM_CRASH") == "full"
"""Whether all is done that there is to do; else a part that takes a few minutes."""

KINDS = {
    "1": "every byte of the tail",
    "2": "the n-th system call fails",
    "3": "power loss and kills",
    "4": "flushed before the answer",
    "5": "two of us",
    "6": "the projection is damaged",
}
"""The points that the rows of the table belong to, as in docs/reliability.md."""

COLUMNS = "point", "fault", "faults injected", "acknowledged", "refused, as it must be", "lost", "bricked"


@dataclass
class Fate:
    """What has become of what some faults have left."""

    faults: int = 0
    acknowledged: int = 0
    """Events, counted anew for each fault."""

    lost: list[str] = field(default_factory=list)
    bricked: list[str] = field(default_factory=list)
    """Why a start was refused, or nothing was taken in after it, or the projection is not what the log gives."""

    refused: int = 0
    """Starts that were refused with file, line, offset and the command to run: what was acknowledged was damaged, or it
    cannot be told whether it was."""

    def __str__(self) -> str:
        return f"{self.faults} faults: {len(self.lost)} of {self.acknowledged} lost, {len(self.bricked)} bricked"

    def __iadd__(self, other: Self) -> Self:
        self.faults += other.faults
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.bricked += other.bricked
        self.refused += other.refused
        return self

    def assert_none_lost_and_none_bricked(self) -> None:
        assert (self.lost[:3], self.bricked[:3]) == ([], []), str(self)


type Tally = Callable[[str, str, Fate], None]
"""Takes in, for the table, what became of some faults: the point, the kind of fault, and their fate."""

_NAME = "crash"


def tally(record_property: Callable[[str, object], None]) -> Tally:
    """One that hands counts in with the test's own report, so that they come from wherever the test runs."""

    def hand_in(point: str, fault: str, found: Fate) -> None:
        assert point in KINDS
        counts = [found.faults, found.acknowledged, found.refused, len(found.lost), len(found.bricked)]
        record_property(_NAME, [point, fault, *counts])

    return hand_in


def rows(reports: Iterable[pytest.TestReport]) -> list[tuple[str, ...]]:
    """The table of what tests have handed in: a row for each kind of fault, by point."""
    sums: dict[tuple[str, str], list[int]] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == _NAME and report.when == "call" and isinstance(value, list):
                point, fault, *counts = value
                before = sums.setdefault((point, fault), [0] * len(counts))
                sums[point, fault] = [one + more for one, more in zip(before, counts, strict=True)]
    return [(point, fault, *(f"{count:,}" for count in counts)) for (point, fault), counts in sorted(sums.items())]


def columns_of(table: Iterable[tuple[str, ...]]) -> list[str]:
    """The lines of a table for the terminal."""
    lines = [COLUMNS, *table]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
