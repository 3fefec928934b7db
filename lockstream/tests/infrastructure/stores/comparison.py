"""Compare a store's outcomes and reads with the independent model."""

from collections.abc import Collection
from uuid import uuid4

from msgspec.structs import replace

from lockstream.core.entities.log import time_of
from lockstream.core.entities.state import Locker, LockerState, LockerTotals
from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal
from lockstream.core.ports import Listings, Reads, RowReads, SubjectRows
from lockstream.core.use_cases.time_travel import PastReads
from lockstream.tests.infrastructure.stores.model import Expected, Model
from lockstream.tests.infrastructure.stores.random_events import LOCKERS, PLACES, UNKNOWN
from lockstream.tests.support.builders import event
from lockstream.tests.support.gaps import GAP_FIELDS


def in_model_terms(outcome: Outcome) -> Expected:
    """Return an outcome as the model expresses it."""
    match outcome:
        case Accepted(position):
            return "accepted", position
        case Duplicate(position):
            return "duplicate", position
        case Refusal(code):
            return "refused", code


def assert_reads_match(model: Model, reads: RowReads) -> None:
    """Compare every read with the model."""
    lockers = list(reads.lockers())
    assert [locker.locker_id for locker in lockers] == model.lockers()
    for locker in lockers:
        assert reads.locker(locker.locker_id) == locker
        state = reads.locker_state(locker.locker_id)
        assert state is not None
        assert state.locker == locker
        _assert_state_matches(model, state)
    _assert_rows_match(model, reads, model.reservations)


def assert_past_matches(model: Model, lists: Listings, position: int) -> None:
    """Compare all subjects as they were at a position with a model of the events up to it."""
    past, reads = model.at(position), PastReads(lists, position)
    for locker_id in (*LOCKERS, UNKNOWN):
        state = reads.locker_state(locker_id)
        assert (state is not None) == (locker_id in past.lockers())
        if state is not None:
            assert state.locker_id == locker_id
            _assert_state_matches(past, state)
    _assert_rows_match(past, reads, model.reservations)


def assert_events_match(model: Model, reads: Reads) -> None:
    """Compare the events at all positions, and those with all ids, with the accepted ones."""
    records = reads.records(range(1, len(model.accepted) + 1))
    assert [(record.event, record.end.position) for record in records] == [
        (event(body), position) for position, body in enumerate(model.accepted, 1)
    ]
    for record in records[-5:]:
        assert reads.event(record.event.event_id) == record
        assert reads.records([record.end.position, 1]) == [record, records[0]]
    assert reads.event(str(uuid4())) is None
    times = {record.end.position: time_of(record.recorded_at) for record in records}
    assert reads.times(times) == times


def _assert_state_matches(model: Model, state: LockerState) -> None:
    locker = state.locker
    _assert_views_match(model, locker)
    places = [(locker.locker_id, view.compartment_id) for view in locker.compartments]
    since = {}
    for place in places:
        active = model.active_reservation(place)
        steps = model.reservations[active]["steps"] if active else {}
        since[place[1]] = (model.since[place], max(steps.values(), default=0))
    assert state.last_changes == since
    positions = [position for position, body in enumerate(model.accepted, 1) if body["locker_id"] == locker.locker_id]
    statuses = [row["status"] for row in model.reservations.values() if row["place"][0] == locker.locker_id]
    assert replace(state.totals, **GAP_FIELDS) == LockerTotals(
        locker.locker_id,
        events=len(positions),
        last_position=positions[-1],
        compartments=len(places),
        available=sum(not model.active_reservation(place) and not model.degraded(place) for place in places),
        degraded=sum(map(model.degraded, places)),
        reserved=statuses.count("CREATED"),
        occupied=statuses.count("DEPOSITED"),
        picked_up=statuses.count("PICKED_UP"),
        expired=statuses.count("EXPIRED"),
    )


def _assert_views_match(model: Model, locker: Locker) -> None:
    views = locker.compartments
    counts = len(views), locker.active_reservations, locker.degraded_compartments
    assert counts == model.counts(locker.locker_id)
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


def _assert_rows_match(model: Model, reads: SubjectRows, reservations: Collection[str]) -> None:
    """Compare all compartments, and these reservations, which the model may not know."""
    for place in (*PLACES, (LOCKERS[0], UNKNOWN), (UNKNOWN, UNKNOWN)):
        row = reads.compartment(*place)
        assert (row is not None) == (place in model.compartments)
        if row is not None:
            assert (row.degraded, row.active_reservation) == (model.degraded(place), model.active_reservation(place))
            assert (row.registered_position, row.changed_position) == (model.compartments[place], model.since[place])
            assert row.key == place
    for key in (*reservations, UNKNOWN):
        reservation = reads.reservation(key)
        assert (reservation is not None) == (key in model.reservations)
        if reservation is not None:
            assert reservation.status == model.status(key)
            assert reservation.compartment_key == model.reservations[key]["place"]
            steps = model.reservations[key]["steps"]
            assert reservation.created_position == steps["CREATED"]
            assert reservation.deposited_position == steps.get("DEPOSITED", 0)
            assert reservation.changed_position == max(steps.values())
