"""A short history of two lockers, with events of every type, and each of their ends."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from lockstream.core.entities.state import Row
from lockstream.core.evolve import evolve
from lockstream.core.row_set import RowSet
from lockstream.tests.support.builders import (
    deposited,
    event,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

OTHER = "locker-2"
_FIRST, _SECOND, _LOW = fault_reported(3, "A"), fault_reported(5, "A"), fault_reported(2, "B")
_WHILE_OCCUPIED, _REPEATED = fault_reported(3, "B"), fault_reported(4, "A", locker=OTHER)

STORY = [
    registered("A"),
    registered("A", locker=OTHER),
    registered("B"),
    reserved("picked up", "A"),
    deposited("picked up"),
    picked_up("picked up"),
    _FIRST,
    reserved("long", "B"),
    _SECOND,
    fault_cleared(_FIRST, "A"),  # 10: A stays degraded
    _LOW,
    deposited("long"),
    _REPEATED,
    fault_cleared(_SECOND, "A"),
    reserved("expired", "A"),
    expired("expired"),
    _WHILE_OCCUPIED,
    picked_up("long"),
    fault_cleared(_LOW, "B"),
    reserved("expired with a parcel", "A"),  # 20
    deposited("expired with a parcel"),
    expired("expired with a parcel"),
    fault_cleared(_REPEATED, "A", locker=OTHER),
    reserved("of the other locker", "A", locker=OTHER),
    fault_cleared(_WHILE_OCCUPIED, "B"),
    reserved("waiting", "B"),
    reserved("occupied", "A"),
    deposited("occupied"),
    fault_reported(1, "A"),
    fault_reported(3, "A"),  # 30: A is occupied and degraded
]
"""Events that are accepted in this order, from position 1 on."""

EVENTS = [event(body) for body in STORY]


def rows_after(count: int = len(STORY)) -> RowSet:
    """Return the rows after the first `count` events of the story."""
    rows = absent_rows()
    for _ in changes(rows, count):
        pass
    return rows


def changes(rows: RowSet, count: int = len(STORY)) -> Iterator[tuple[Row, ...]]:
    """Apply the first `count` events of the story to `rows`, and yield the rows that each adds or changes."""
    for position, one in enumerate(EVENTS[:count], 1):
        changed = evolve(rows, one, position)
        yield changed
        rows.save(changed)


def absent_rows() -> RowSet:
    """Return a row set in which no row exists yet."""
    tables: list[dict[Any, Any]] = [defaultdict(lambda: None) for _ in range(4)]
    return RowSet(*tables)
