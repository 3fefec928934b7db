"""Compare a store's outcomes and reads with the independent model."""

from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal
from lockstream.core.ports import Reads
from lockstream.tests.infrastructure.stores.model import Expected, Model
from lockstream.tests.infrastructure.stores.random_events import PLACES, UNKNOWN


def in_model_terms(outcome: Outcome) -> Expected:
    """Return an outcome as the model expresses it."""
    match outcome:
        case Accepted(position):
            return "accepted", position
        case Duplicate(position):
            return "duplicate", position
        case Refusal(code):
            return "refused", code


def assert_reads_match(model: Model, reads: Reads) -> None:
    """Compare every read with the model."""
    lockers = list(reads.lockers())
    assert [locker.locker_id for locker in lockers] == model.lockers()
    for locker in lockers:
        views = locker.compartments
        counts = len(views), locker.active_reservations, locker.degraded_compartments
        assert counts == model.counts(locker.locker_id)
        assert reads.locker(locker.locker_id) == locker
        assert not [view for view in views if view.active_reservation is None and view.reservation_status is not None]
        shown = tuple(
            (
                view.compartment_id,
                view.degraded,
                None if view.active_reservation is None else (view.active_reservation, view.reservation_status),
                view.open_faults,
            )
            for view in views
        )
        assert (locker.locker_id, shown) == model.canonical(locker.locker_id)
    _assert_rows_match(model, reads)


def _assert_rows_match(model: Model, reads: Reads) -> None:
    for place in PLACES:
        row = reads.compartment(*place)
        assert (row is not None) == (place in model.compartments)
        if row is not None:
            assert (row.degraded, row.active_reservation) == (model.degraded(place), model.active_reservation(place))
    for key in (*model.reservations, UNKNOWN):
        reservation = reads.reservation(key)
        assert (reservation is not None) == (key in model.reservations)
        if reservation is not None:
            assert reservation.status == model.status(key)
            assert (reservation.locker_id, reservation.compartment_id) == model.reservations[key]["place"]
