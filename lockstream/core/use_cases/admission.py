"""Admit a caller's events: note the key in them, and refuse events of lockers that the caller may not report for.

An event of another locker is refused before the rules see it, so the answer depends on nothing but the event and the
key. The rules know all reservations and faults, so a caller that is bound to lockers gets concealed outcomes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import force_setattr

from lockstream.core.entities.access import Caller
from lockstream.core.entities.events import Event
from lockstream.core.errors import LockerNotAllowed
from lockstream.core.outcomes import Outcome, Refusal
from lockstream.core.rules import (
    FAULT_OF_ANOTHER_LOCKER,
    RESERVATION_OF_ANOTHER_LOCKER,
    UNKNOWN_FAULT,
    UNKNOWN_RESERVATION,
)


class Admission(NamedTuple):
    """The events of one request, each admitted or refused for its locker."""

    events: Sequence[Event]
    errors: Sequence[LockerNotAllowed | None]
    """One per event. None: the event is admitted."""

    @property
    def refused(self) -> list[LockerNotAllowed]:
        """The errors of the events that are not admitted."""
        return [error for error in self.errors if error]

    def admitted[ItemT](self, items: Sequence[ItemT]) -> list[ItemT]:
        """Return those of `items` that belong to admitted events. `items` has one item per event, or none."""
        return [item for item, error in zip(items, self.errors, strict=False) if error is None]

    def outcomes(self, decided: Sequence[Outcome | Exception]) -> list[Outcome | Exception]:
        """Return one outcome per event of the request: its outcome in `decided` if it was admitted, else its error.

        `decided` has one outcome per admitted event.
        """
        following = iter(decided)
        return [error or next(following) for error in self.errors]


def admit(events: Sequence[Event], caller: Caller) -> Admission:
    """Admit those events whose lockers the caller may report for, and note the caller's key in them."""
    lockers = {event.locker_id for event in events}  # few, so each is looked up once and not once an event
    refused = {locker_id for locker_id in lockers if not caller.may_use(locker_id)}
    return Admission(events, [_admit(event, caller, is_allowed=event.locker_id not in refused) for event in events])


def admit_event(event: Event, caller: Caller) -> LockerNotAllowed | None:
    """Note the caller's key in an event, or return why the caller may not report it."""
    return _admit(event, caller, is_allowed=caller.may_use(event.locker_id))


def concealed(outcomes: Sequence[Outcome | Exception]) -> Sequence[Outcome | Exception]:
    """Return outcomes that tell nothing of another locker's reservations and faults, as if these did not exist."""
    if Refusal not in set(map(type, outcomes)):
        return outcomes
    return [_concealed(outcome) for outcome in outcomes]


def _admit(event: Event, caller: Caller, *, is_allowed: bool) -> LockerNotAllowed | None:
    """Note the caller's key in an event that is allowed, or return why it is not."""
    if not is_allowed:
        return LockerNotAllowed(caller.key_id, event.locker_id)
    force_setattr(event, "recorded_by", caller.key_id)
    return None


def _concealed(outcome: Outcome | Exception) -> Outcome | Exception:
    if outcome is RESERVATION_OF_ANOTHER_LOCKER:
        return UNKNOWN_RESERVATION
    return UNKNOWN_FAULT if outcome is FAULT_OF_ANOTHER_LOCKER else outcome
