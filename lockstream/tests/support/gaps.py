"""An independent model of the usual gap of a locker, and states without it."""

from collections.abc import Iterable

from msgspec.structs import replace

from lockstream.core.entities.state import LockerState

GAP_FIELDS = {"gap_sum": 1, "gap_squares": 1}
"""The sums of a locker without gaps."""


def gap_sums(events: Iterable[tuple[int, bool]]) -> dict[str, int]:
    """Return the sums of gaps between events: pairs of a position, and whether the event is a registration."""
    total, squares, last = 1, 1, 0
    for position, is_registration in events:
        if not is_registration:
            usual = squares // total
            gap = min(position - last, 6 * usual, 2**24)
            is_full = total > 256 * usual
            squares += gap**2 - (gap * usual if is_full else 0)
            total += 0 if is_full else gap
        last = position
    return {"gap_sum": total, "gap_squares": squares}


def without_gaps(state: LockerState | None) -> LockerState | None:
    """Return a state without the gaps, which past states lack."""
    return None if state is None else replace(state, totals=replace(state.totals, **GAP_FIELDS))
