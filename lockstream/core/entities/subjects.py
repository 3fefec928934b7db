"""Subjects: the locker, compartment or reservation that a request names."""

from typing import NamedTuple

from lockstream.core.entities.fields import is_identifier


class LockerSubject(NamedTuple):
    locker_id: str


class CompartmentSubject(NamedTuple):
    locker_id: str
    compartment_id: str


class ReservationSubject(NamedTuple):
    reservation_id: str


type Subject = LockerSubject | CompartmentSubject | ReservationSubject


def can_exist(subject: Subject) -> bool:
    """Return whether an event could name the subject. A database may refuse any other text."""
    return all(map(is_identifier, subject))


def absence(subject: Subject, position: int | None = None) -> str:
    """Return two sentences: the subject does not exist, now or at `position`; and the event that creates it."""
    be, have, then = ("is", "has", "") if position is None else ("was", "had", f" at position {position}")
    match subject:
        case LockerSubject(locker_id):
            return f"There {be} no locker {locker_id!r}{then}. Its first CompartmentRegistered event creates it."
        case CompartmentSubject(locker_id, compartment_id):
            return (
                f"Locker {locker_id!r} {have} no compartment {compartment_id!r}{then}. Its CompartmentRegistered event "
                "creates it."
            )
        case ReservationSubject(reservation_id):
            return f"There {be} no reservation {reservation_id!r}{then}. Its ReservationCreated event creates it."
