"""The table of refusals, RULES "What happens to an event", row by row."""

from collections.abc import Callable
from itertools import product

import pytest
from msgspec import Struct

from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
from lockstream.core.outcomes import RefusalKind
from lockstream.core.rules import REFUSALS, decide
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    Body,
    deposited,
    event,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

FREE = Compartment(LOCKER, COMPARTMENT)
DEGRADED = Compartment(LOCKER, COMPARTMENT, None, 1)
OCCUPIED = Compartment(LOCKER, COMPARTMENT, RESERVATION)
OCCUPIED_AND_DEGRADED = Compartment(LOCKER, COMPARTMENT, "another", 2)
COMPARTMENTS = (None, FREE, DEGRADED, OCCUPIED, OCCUPIED_AND_DEGRADED)

RESERVATIONS = (
    None,
    *(Reservation(RESERVATION, LOCKER, COMPARTMENT, status) for status in Status),
    *(Reservation(RESERVATION, "elsewhere", COMPARTMENT, status) for status in Status),
    *(Reservation(RESERVATION, LOCKER, "elsewhere", status) for status in Status),
)

REPORT = fault_reported()
FAULT_ID = REPORT["event_id"]
OPEN = Fault(FAULT_ID, LOCKER, COMPARTMENT, 3)
CLEARED = Fault(FAULT_ID, LOCKER, COMPARTMENT, 3, cleared=True)
FAULTS = (
    *(None, OPEN, CLEARED),
    *(Fault(FAULT_ID, "elsewhere", COMPARTMENT, 3, cleared) for cleared in (False, True)),
    *(Fault(FAULT_ID, LOCKER, "elsewhere", 3, cleared) for cleared in (False, True)),
)

EVENTS = {
    "CompartmentRegistered": (registered(),),
    "ReservationCreated": (reserved(),),
    "FaultReported": (REPORT, fault_reported(0)),
    "FaultCleared": (fault_cleared(REPORT),),
} | {
    make()["type"]: (make(), make(compartment_id=None), make(compartment_id=COMPARTMENT), make(compartment_id="other"))
    for make in (deposited, picked_up, expired)
}

type Applies = Callable[[Slice, Body], object]


class Row(Struct):
    """One row of the table."""

    event: str
    when: str
    applies: Applies
    status: int
    code: str


def _mismatch(state: Slice, body: Body) -> bool:
    reservation = state.reservation
    assert reservation is not None
    named = body["payload"].get("compartment_id") or reservation.compartment_id
    return (reservation.locker_id, reservation.compartment_id) != (body["locker_id"], named)


def _status(state: Slice) -> str:
    assert state.reservation is not None
    return state.reservation.status


def _rows_of_reservation(event: str, *rows: Row) -> tuple[Row, ...]:
    return (
        Row(event, "reservation unknown", lambda of, _: of.reservation is None, 422, "unknown_reservation"),
        Row(event, "another locker or compartment", _mismatch, 422, "reservation_mismatch"),
        *rows,
    )


def _unregistered(event: str) -> Row:
    return Row(event, "compartment not registered", lambda of, _: of.compartment is None, 422, "unknown_compartment")


TABLE = (
    Row("CompartmentRegistered", "registered", lambda of, _: of.compartment, 409, "compartment_already_registered"),
    _unregistered("ReservationCreated"),
    Row("ReservationCreated", "id was used", lambda of, _: of.reservation, 409, "reservation_already_exists"),
    Row(
        "ReservationCreated",
        "degraded",
        lambda of, _: of.compartment in (DEGRADED, OCCUPIED_AND_DEGRADED),
        409,
        "compartment_degraded",
    ),
    Row(
        "ReservationCreated",
        "has an active reservation",
        lambda of, _: of.compartment in (OCCUPIED, OCCUPIED_AND_DEGRADED),
        409,
        "compartment_reserved",
    ),
    *_rows_of_reservation(
        "ParcelDeposited",
        Row(
            "ParcelDeposited",
            "not CREATED",
            lambda of, _: _status(of) != "CREATED",
            409,
            "reservation_not_awaiting_deposit",
        ),
    ),
    *_rows_of_reservation(
        "ParcelPickedUp",
        Row("ParcelPickedUp", "EXPIRED", lambda of, _: _status(of) == "EXPIRED", 409, "reservation_expired"),
        Row(
            "ParcelPickedUp",
            "not DEPOSITED",
            lambda of, _: _status(of) != "DEPOSITED",
            409,
            "reservation_not_awaiting_pickup",
        ),
    ),
    *_rows_of_reservation(
        "ReservationExpired",
        Row(
            "ReservationExpired",
            "final",
            lambda of, _: _status(of) in ("PICKED_UP", "EXPIRED"),
            409,
            "reservation_final",
        ),
    ),
    _unregistered("FaultReported"),
    _unregistered("FaultCleared"),
    Row("FaultCleared", "never reported", lambda of, _: of.fault is None, 409, "unknown_fault"),
    Row(
        "FaultCleared",
        "another compartment's",
        lambda of, _: of.fault and (of.fault.locker_id, of.fault.compartment_id) != (LOCKER, COMPARTMENT),
        409,
        "fault_mismatch",
    ),
    Row("FaultCleared", "cleared already", lambda of, _: of.fault and of.fault.cleared, 409, "fault_already_cleared"),
)

STATES = [Slice(*rows) for rows in product(COMPARTMENTS, RESERVATIONS, FAULTS)]


def first_row(state: Slice, body: Body) -> Row | None:
    return next((row for row in TABLE if row.event == body["type"] and row.applies(state, body)), None)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.event}, {row.when}: {row.code}")
def test_the_first_row_that_applies_refuses_the_event(row: Row) -> None:
    reached = [(state, body) for state in STATES for body in EVENTS[row.event] if first_row(state, body) is row]
    assert reached
    ground = {422: RefusalKind.UNRESOLVED, 409: RefusalKind.CONFLICT}[row.status]
    for state, body in reached:
        refusal = decide(state, event(body))
        assert refusal is not None
        assert (refusal.code, refusal.ground) == (row.code, ground)


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_that_no_row_refuses_is_let_happen(event_type: str) -> None:
    good = [(state, body) for state in STATES for body in EVENTS[event_type] if first_row(state, body) is None]
    assert good
    for state, body in good:
        assert decide(state, event(body)) is None


GOOD: dict[str, tuple[Slice, Body]] = {
    "a compartment that is not there is registered": (Slice(), registered()),
    "a free compartment is reserved": (Slice(FREE), reserved()),
    "a parcel is deposited where one is awaited": (Slice(OCCUPIED, RESERVATIONS[1]), deposited()),
    "a deposited parcel is picked up": (Slice(OCCUPIED, RESERVATIONS[2]), picked_up()),
    "an awaited parcel does not come": (Slice(OCCUPIED, RESERVATIONS[1]), expired()),
    "a deposited parcel is not picked up": (Slice(OCCUPIED, RESERVATIONS[2]), expired()),
    "a fault is reported": (Slice(FREE), REPORT),
    "a fault is reported of a degraded compartment": (Slice(DEGRADED), REPORT),
    "a fault is reported of an occupied compartment": (Slice(OCCUPIED), REPORT),
    "an open fault is cleared": (Slice(DEGRADED, fault=OPEN), fault_cleared(REPORT)),
    "a parcel is deposited in a degraded compartment": (Slice(OCCUPIED_AND_DEGRADED, RESERVATIONS[1]), deposited()),
    "a parcel is picked up from a degraded compartment": (Slice(OCCUPIED_AND_DEGRADED, RESERVATIONS[2]), picked_up()),
    "a reservation of a degraded compartment expires": (Slice(OCCUPIED_AND_DEGRADED, RESERVATIONS[1]), expired()),
}


@pytest.mark.parametrize("good", GOOD)
def test_what_may_happen_is_accepted(good: str) -> None:
    given, when = GOOD[good]
    assert decide(given, event(when)) is None


def test_the_table_names_every_refusal_there_is() -> None:
    assert {row.code for row in TABLE} == {refusal.code for refusal in REFUSALS}
    assert len({refusal.code for refusal in REFUSALS}) == len(REFUSALS)


@pytest.mark.parametrize("name", ["a", "{event.payload}", "{0}{}", "{", "}", "%s %(x)d %", 'it\'s "so"', "\U0001f512"])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.event}, {row.when}")
def test_a_refusal_is_explained_in_a_sentence_that_shows_names_as_they_are(row: Row, name: str) -> None:
    state, body = next((of, body) for of in STATES for body in EVENTS[row.event] if first_row(of, body) is row)
    refusal = decide(state, event(body))
    assert refusal is not None
    ids = {key: name for key in ("compartment_id", "reservation_id") if key in body["payload"]}
    when = event(body | {"locker_id": name, "payload": body["payload"] | ids})

    sentence = refusal.explain(when)

    assert repr(name) in sentence or FAULT_ID in sentence
    rest = sentence.replace(repr(name), "")
    assert "{" not in rest
    assert "}" not in rest
    assert rest.endswith(".")
    assert rest[0].isupper()
