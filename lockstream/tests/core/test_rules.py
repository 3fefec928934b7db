"""Rules: the table of refusals, row by row (docs/rules.md, "What happens to an event")."""

from collections.abc import Callable
from itertools import product

import pytest
from msgspec import Struct

from lockstream.core import rules
from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.state import Compartment, Fault, Reservation, Status
from lockstream.core.outcomes import Refusal, RefusalKind
from lockstream.core.rules import CODES, REFUSALS, RULES, decide
from lockstream.tests.core.states import State
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

ELSEWHERE = Reservation(RESERVATION, "elsewhere", COMPARTMENT)
RESERVATIONS = (
    None,
    *(Reservation(RESERVATION, LOCKER, COMPARTMENT, status) for status in Status),
    *(Reservation(RESERVATION, "elsewhere", COMPARTMENT, status) for status in Status),
    *(Reservation(RESERVATION, LOCKER, "elsewhere", status) for status in Status),
)

REPORT = fault_reported()
FAULT_ID = REPORT["event_id"]
OPEN = Fault(FAULT_ID, LOCKER, COMPARTMENT, 3)
CLEARED = Fault(FAULT_ID, LOCKER, COMPARTMENT, 3, 1, 2)
FAULTS = (
    *(None, OPEN, CLEARED),
    *(Fault(FAULT_ID, "elsewhere", COMPARTMENT, 3, 1, cleared) for cleared in (0, 2)),
    *(Fault(FAULT_ID, LOCKER, "elsewhere", 3, 1, cleared) for cleared in (0, 2)),
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
"""Events by type, in every form that matters to a rule."""

type Applies = Callable[[State, Body], object]


class Row(Struct):
    """One row of the table."""

    event_type: str
    condition: str
    applies: Applies
    status: int
    """Status of the HTTP response."""

    code: str


def _mismatch(state: State, body: Body) -> bool:
    reservation = state.reservation
    assert reservation is not None
    named = body["payload"].get("compartment_id") or reservation.compartment_id
    return (reservation.locker_id, reservation.compartment_id) != (body["locker_id"], named)


def _status(state: State) -> str:
    assert state.reservation is not None
    return state.reservation.status


def _rows_of_reservation(event_type: str, *rows: Row) -> tuple[Row, ...]:
    return (
        Row(event_type, "reservation unknown", lambda of, _: of.reservation is None, 422, "unknown_reservation"),
        Row(event_type, "another locker or compartment", _mismatch, 422, "reservation_mismatch"),
        *rows,
    )


def _unregistered(event_type: str) -> Row:
    return Row(
        event_type, "compartment not registered", lambda of, _: of.compartment is None, 422, "unknown_compartment"
    )


TABLE = (
    Row("CompartmentRegistered", "registered", lambda of, _: of.compartment, 409, "compartment_already_registered"),
    _unregistered("ReservationCreated"),
    Row("ReservationCreated", "id used before", lambda of, _: of.reservation, 409, "reservation_already_exists"),
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
    Row("FaultCleared", "fault never reported", lambda of, _: of.fault is None, 409, "unknown_fault"),
    Row(
        "FaultCleared",
        "fault of another compartment",
        lambda of, _: of.fault and (of.fault.locker_id, of.fault.compartment_id) != (LOCKER, COMPARTMENT),
        409,
        "fault_mismatch",
    ),
    Row(
        "FaultCleared", "already cleared", lambda of, _: of.fault and of.fault.is_cleared, 409, "fault_already_cleared"
    ),
)

STATES = [State(*rows) for rows in product(COMPARTMENTS, RESERVATIONS, FAULTS)]


def first_row(state: State, body: Body) -> Row | None:
    """Return the first row of the table that applies to an event in `state`."""
    return next((row for row in TABLE if row.event_type == body["type"] and row.applies(state, body)), None)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.event_type}, {row.condition}: {row.code}")
def test_the_first_row_that_applies_refuses_the_event(row: Row) -> None:
    cases = [(state, body) for state in STATES for body in EVENTS[row.event_type] if first_row(state, body) is row]
    assert cases
    kind = {422: RefusalKind.UNRESOLVED, 409: RefusalKind.CONFLICT}[row.status]
    for state, body in cases:
        refusal = decide(state.rows(), event(body))
        assert refusal is not None
        assert (refusal.code, refusal.kind) == (row.code, kind)


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_to_which_no_row_applies_is_accepted(event_type: str) -> None:
    cases = [(state, body) for state in STATES for body in EVENTS[event_type] if first_row(state, body) is None]
    assert cases
    for state, body in cases:
        assert decide(state.rows(), event(body)) is None


ACCEPTED: dict[str, tuple[State, Body]] = {
    "an unknown compartment is registered": (State(), registered()),
    "a free compartment is reserved": (State(FREE), reserved()),
    "an awaited parcel is deposited": (State(OCCUPIED, RESERVATIONS[1]), deposited()),
    "a deposited parcel is picked up": (State(OCCUPIED, RESERVATIONS[2]), picked_up()),
    "a reservation expires before the deposit": (State(OCCUPIED, RESERVATIONS[1]), expired()),
    "a reservation expires after the deposit": (State(OCCUPIED, RESERVATIONS[2]), expired()),
    "a fault of a free compartment is reported": (State(FREE), REPORT),
    "a fault of a degraded compartment is reported": (State(DEGRADED), REPORT),
    "a fault is reported of an occupied compartment": (State(OCCUPIED), REPORT),
    "an open fault is cleared": (State(DEGRADED, fault=OPEN), fault_cleared(REPORT)),
    "a parcel is deposited in a degraded compartment": (State(OCCUPIED_AND_DEGRADED, RESERVATIONS[1]), deposited()),
    "a parcel is picked up from a degraded compartment": (State(OCCUPIED_AND_DEGRADED, RESERVATIONS[2]), picked_up()),
    "a reservation of a degraded compartment expires": (State(OCCUPIED_AND_DEGRADED, RESERVATIONS[1]), expired()),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_rules_accept_a_possible_event(case: str) -> None:
    given, when = ACCEPTED[case]
    assert decide(given.rows(), event(when)) is None


def test_every_event_type_has_a_rule() -> None:
    assert set(RULES) == set(EVENT_TYPES.values())
    assert set(EVENTS) == set(EVENT_TYPES)


def test_refusals_holds_every_refusal_of_the_module_once() -> None:
    named = [value for value in vars(rules).values() if isinstance(value, Refusal)]
    assert len({id(refusal) for refusal in REFUSALS}) == len(REFUSALS) == len(named)
    assert {id(refusal) for refusal in REFUSALS} == {id(refusal) for refusal in named}


def test_the_table_names_every_refusal() -> None:
    assert {row.code for row in TABLE} == {refusal.code for refusal in REFUSALS}
    assert set(CODES) == {refusal.code for refusal in REFUSALS}
    assert len(set(CODES)) == len(CODES)


@pytest.mark.parametrize(
    ("state", "body", "refusal"),
    [
        (State(OCCUPIED, ELSEWHERE), deposited(), "RESERVATION_OF_ANOTHER_LOCKER"),
        (State(OCCUPIED, ELSEWHERE), deposited(compartment_id="other"), "RESERVATION_OF_ANOTHER_LOCKER"),
        (State(OCCUPIED, RESERVATIONS[1]), deposited(compartment_id="other"), "RESERVATION_OF_ANOTHER_COMPARTMENT"),
        (State(FREE, fault=FAULTS[3]), fault_cleared(REPORT), "FAULT_OF_ANOTHER_LOCKER"),
        (State(FREE, fault=FAULTS[5]), fault_cleared(REPORT), "FAULT_OF_ANOTHER_COMPARTMENT"),
    ],
)
def test_a_mismatch_says_whether_the_locker_or_the_compartment_is_another(
    state: State, body: Body, refusal: str
) -> None:
    decided = decide(state.rows(), event(body))
    assert decided is getattr(rules, refusal)
    assert "elsewhere" not in decided.explain(event(body))


@pytest.mark.parametrize("name", ["a", "{event.payload}", "{0}{}", "{", "}", "%s %(x)d %", 'it\'s "so"', "\U0001f512"])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.event_type}, {row.condition}")
def test_an_explanation_is_a_sentence_that_quotes_names_unchanged(row: Row, name: str) -> None:
    # given an event that the row refuses, and which contains the name
    state, body = next((of, body) for of in STATES for body in EVENTS[row.event_type] if first_row(of, body) is row)
    refusal = decide(state.rows(), event(body))
    assert refusal is not None
    ids = {key: name for key in ("compartment_id", "reservation_id") if key in body["payload"]}
    named = event(body | {"locker_id": name, "payload": body["payload"] | ids})
    # when the refusal is explained
    sentence = refusal.explain(named)
    # then the sentence contains the name, and no placeholder
    assert repr(name) in sentence or FAULT_ID in sentence
    rest = sentence.replace(repr(name), "")
    assert "{" not in rest
    assert "}" not in rest
    assert rest.endswith(".")
    assert rest[0].isupper()
