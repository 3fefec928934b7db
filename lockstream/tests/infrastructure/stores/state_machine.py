"""Random events of a small network, valid or not, and how what a store shows is held to the model."""

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from hypothesis import strategies as st

from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal
from lockstream.core.ports import Reads
from lockstream.core.state_hash import state_hash
from lockstream.tests.infrastructure.stores.model import LEADS_TO, Expected, Model
from lockstream.tests.support.builders import Body, body

LOCKERS = ("locker-1", "Schließfach {0} %s \U0001f512")
COMPARTMENTS = ("A", "a", "é")
PLACES = tuple(product(LOCKERS, COMPARTMENTS))
RESERVATIONS = ("A", *(f"reservation-{number}" for number in range(20)))
KINDS = (
    *("CompartmentRegistered", "CompartmentRegistered", "ReservationCreated", "ReservationCreated"),
    *("ParcelDeposited", "ParcelDeposited", "ParcelPickedUp", "ReservationExpired", "FaultReported", "FaultCleared"),
)
UNKNOWN = str(UUID(int=2**128 - 1))
MOSTLY = st.sampled_from((True, True, True, False))

type Data = st.DataObject


class Sender:
    """Makes events that build on what was sent before, or collide with it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sent: list[Body] = []

    def draw(self, data: Data) -> Body:
        """A new event: most may happen now, the others name anything that is, was or never was."""
        event_id = str(uuid5(NAMESPACE_OID, str(len(self.sent))))
        kind = data.draw(st.sampled_from(KINDS))
        possible = list(self._possible(kind)) if data.draw(MOSTLY) else []
        drawn = data.draw(st.sampled_from(possible)) if possible else self._any(data, kind)
        if "fault_event_id" in drawn["payload"]:
            drawn["payload"]["fault_event_id"] = _any_case(data, drawn["payload"]["fault_event_id"])
        drawn["event_id"] = _any_case(data, event_id)
        self.sent.append(drawn)
        return drawn

    def resend(self, data: Data) -> Body:
        """An event that was sent before, in its own words or in others."""
        old = data.draw(st.sampled_from(self.sent))
        again = self._any(data, old["type"]) if data.draw(st.booleans()) else old
        return again | {"event_id": _any_case(data, old["event_id"])}

    def _possible(self, kind: str) -> Iterator[Body]:
        """Events of a kind that would be accepted now, if the model is right."""
        for (locker, compartment), other in product(PLACES, self._subjects(kind)):
            payload = {"compartment_id": compartment} | other
            drawn = body(kind, locker, event_id=UNKNOWN, **payload)
            if self.model.refusal(drawn) is None:
                yield drawn

    def _subjects(self, kind: str) -> list[dict[str, Any]]:
        match kind:
            case "CompartmentRegistered":
                return [{}]
            case "FaultReported":
                return [{"severity": severity} for severity in range(6)]
            case "FaultCleared":
                return [{"fault_event_id": str(fault)} for fault in self.model.faults]
            case "ReservationCreated":
                return [{"reservation_id": reservation} for reservation in RESERVATIONS]
            case _:
                return [{"reservation_id": reservation} for reservation in (*self.model.reservations, UNKNOWN)]

    def _any(self, data: Data, kind: str) -> Body:
        locker, compartment = data.draw(st.sampled_from(PLACES))
        payload = dict(data.draw(st.sampled_from(self._subjects(kind) or [{"fault_event_id": UNKNOWN}])))
        if kind == "ReservationCreated" and data.draw(MOSTLY) and self.model.reservations:
            payload["reservation_id"] = data.draw(st.sampled_from(list(self.model.reservations)))
        if kind == "FaultCleared" and not data.draw(MOSTLY):
            payload["fault_event_id"] = data.draw(st.sampled_from([UNKNOWN, *(old["event_id"] for old in self.sent)]))
        if kind in LEADS_TO:
            known = self.model.reservations.get(payload["reservation_id"])
            if known and data.draw(MOSTLY):
                locker, compartment = known["place"]
            if data.draw(st.booleans()):
                return body(kind, locker, **payload)
            payload["compartment_id"] = data.draw(st.sampled_from((None, compartment, *COMPARTMENTS)))
            return body(kind, locker, **payload)
        return body(kind, locker, **payload, compartment_id=compartment)


def told(outcome: Outcome) -> Expected:
    """An outcome in the model's words."""
    match outcome:
        case Accepted(position):
            return "accepted", position
        case Duplicate(position):
            return "duplicate", position
        case Refusal(code):
            return "refused", code


def hashes(queries: Reads) -> dict[str, str]:
    return {locker.locker_id: state_hash(locker) for locker in queries.lockers()}


def hold_views_to(model: Model, queries: Reads) -> None:
    """All that reads show is what the model says."""
    lockers = list(queries.lockers())
    assert [locker.locker_id for locker in lockers] == model.lockers()
    for locker in lockers:
        views = locker.compartments
        counts = len(views), locker.active_reservations, locker.degraded_compartments
        assert counts == model.counts(locker.locker_id)
        assert queries.locker(locker.locker_id) == locker
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
    _hold_rows_to(model, queries)


def _hold_rows_to(model: Model, queries: Reads) -> None:
    for place in PLACES:
        row = queries.compartment(*place)
        assert (row is not None) == (place in model.compartments)
        if row is not None:
            assert (row.degraded, row.active_reservation) == (model.degraded(place), model.active_reservation(place))
    for key in (*model.reservations, UNKNOWN):
        reservation = queries.reservation(key)
        assert (reservation is not None) == (key in model.reservations)
        if reservation is not None:
            assert reservation.status == model.status(key)
            assert (reservation.locker_id, reservation.compartment_id) == model.reservations[key]["place"]


def _any_case(data: Data, event_id: str) -> str:
    return event_id.upper() if data.draw(st.booleans()) else event_id.lower()
