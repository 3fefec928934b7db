"""The parts of a locker's wall: its doors in rows, and the events of the locker as steps of its time slider."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from lockstream.presentation.console.api import Answer, Failed
from lockstream.presentation.console.texts import EVENT_WORDS

MAX_STEPS = 50
"""Most events up to the shown moment that the slider has, and most events after it."""

_MIN_DOORS_A_ROW = 2
"""Doors in a row of a grid, on average."""

_MAX_COLUMNS = 8
"""Most doors beside each other on a telephone: each is 40 pixels wide. The style sheet has a rule for each number."""

_NUMBER = re.compile("([0-9]+)")
_NAME_IN_GRID = re.compile("([A-Za-z]{1,2})-?[0-9]{1,3}")


class Step(NamedTuple):
    """A moment of the wall, right after an event of the locker."""

    at: int | None
    """The position of the event. None stands for now, if the event is the newest one."""

    recorded_at: str
    event: str
    """The event in words."""


class Steps(NamedTuple):
    """The moments around the shown one, from the oldest to the newest."""

    items: list[Step]
    shown: int
    """The index of the shown moment."""

    older: int | None
    """A position before the oldest step, if the locker has older events."""

    newer: int | None
    """The position of the newest step, if the locker has newer events."""

    @property
    def earlier(self) -> Step | None:
        """The step before the shown one."""
        return self.items[self.shown - 1] if self.shown > 0 else None

    @property
    def later(self) -> Step | None:
        """The step after the shown one."""
        return self.items[self.shown + 1] if self.shown + 1 < len(self.items) else None


def steps_of(before: Answer | Failed, after: Answer | Failed | None) -> Steps | None:
    """Return the steps of the slider, or None if the events of the locker cannot be read.

    `before` has the events up to the shown moment, the newest first. `after` has later ones, the oldest first. Without
    `after`, the shown moment is now.
    """
    if not before.value or not before.value["items"]:
        return None
    later: list[dict[str, Any]] = []
    has_newer = False
    if after is not None:
        if not after.value:
            return None
        later, has_newer = after.value["items"], after.value["next"] is not None
    earlier = before.value["items"][::-1]
    items = [Step(event["position"], event["recorded_at"], _in_words(event)) for event in (*earlier, *later)]
    newer = items[-1].at if has_newer else None
    if not has_newer:
        items[-1] = items[-1]._replace(at=None)
    older = earlier[0]["position"] - 1 if before.value["next"] else None
    return Steps(items, len(earlier) - 1, older, newer)


def rows_of(doors: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the doors in natural order, A2 before A10, in rows.

    Each prefix of letters has a row of its own if all names are letters and a number, and a row has at least two doors
    on average. Otherwise all doors are one row.
    """
    ordered = sorted(doors, key=lambda door: _natural(door["compartment_id"]))
    rows = [list(row) for _, row in groupby(ordered, key=lambda door: _letters(door["compartment_id"]))]
    is_grid = all(_letters(door["compartment_id"]) for door in ordered)
    return rows if is_grid and len(rows) * _MIN_DOORS_A_ROW <= len(ordered) else [ordered]


def columns_of(rows: Sequence[Sequence[object]]) -> int | None:
    """Return the doors of the longest row, if a telephone can show all rows unbroken. None if it cannot."""
    longest = max(map(len, rows), default=0)
    return longest if len(rows) > 1 and longest <= _MAX_COLUMNS else None


def _natural(name: str) -> tuple[list[str | int], str]:
    """Return the key that sorts a name by its numbers. Every second part of a split name is a number."""
    return [int(part) if index % 2 else part for index, part in enumerate(_NUMBER.split(name))], name


def _letters(name: str) -> str | None:
    """Return the letters of a name such as `A1` or `AB-12`, or None if the name has another form."""
    found = _NAME_IN_GRID.fullmatch(name)
    return found[1] if found else None


def _in_words(event: dict[str, Any]) -> str:
    """Return what an event says. The members of a payload that its type does not have may have any value."""
    payload = event["payload"]
    words: str = EVENT_WORDS.get(event["type"], event["type"])
    if isinstance(parcel := payload.get("reservation_id"), str):
        words += f" {parcel}"
    if isinstance(door := payload.get("compartment_id"), str):
        words += f" in {door}"
    if event["type"] == "FaultReported":
        words += f", severity {payload['severity']}"
    return words
