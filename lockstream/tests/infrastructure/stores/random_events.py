"""Random events of a small network: valid ones, and others that collide with earlier events."""

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from hypothesis import strategies as st

from lockstream.tests.infrastructure.stores.model import STATUS_AFTER, Model
from lockstream.tests.support.builders import Body, body

LOCKERS = ("locker-1", "Schließfach {0} %s \U0001f512")
COMPARTMENTS = ("A", "a", "é")
PLACES = tuple(product(LOCKERS, COMPARTMENTS))
RESERVATIONS = ("A", *(f"reservation-{number}" for number in range(20)))
EVENT_TYPES = (
    *("CompartmentRegistered", "CompartmentRegistered", "ReservationCreated", "ReservationCreated"),
    *("ParcelDeposited", "ParcelDeposited", "ParcelPickedUp", "ReservationExpired", "FaultReported", "FaultCleared"),
)
"""Event types to draw from. Those that other events need occur twice."""

UNKNOWN = str(UUID(int=2**128 - 1))
MOSTLY = st.sampled_from((True, True, True, False))

type Data = st.DataObject


class Sender:
    """Draws events that build on earlier ones, or collide with them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sent: list[Body] = []

    def draw(self, data: Data) -> Body:
        """Return a new event. Most are acceptable now; the others name anything that exists, existed or never did."""
        event_id = str(uuid5(NAMESPACE_OID, str(len(self.sent))))
        event_type = data.draw(st.sampled_from(EVENT_TYPES))
        acceptable = list(self._acceptable(event_type)) if data.draw(MOSTLY) else []
        drawn = data.draw(st.sampled_from(acceptable)) if acceptable else self._any(data, event_type)
        if "fault_event_id" in drawn["payload"]:
            drawn["payload"]["fault_event_id"] = _any_case(data, drawn["payload"]["fault_event_id"])
        drawn["event_id"] = _any_case(data, event_id)
        self.sent.append(drawn)
        return drawn

    def resend(self, data: Data) -> Body:
        """Return an event that was sent before, either unchanged or with another content."""
        old = data.draw(st.sampled_from(self.sent))
        again = self._any(data, old["type"]) if data.draw(st.booleans()) else old
        return again | {"event_id": _any_case(data, old["event_id"])}

    def _acceptable(self, event_type: str) -> Iterator[Body]:
        """Yield events of a type that the model would accept now."""
        for (locker, compartment), other in product(PLACES, self._subjects(event_type)):
            payload = {"compartment_id": compartment} | other
            drawn = body(event_type, locker, event_id=UNKNOWN, **payload)
            if self.model.refusal(drawn) is None:
                yield drawn

    def _subjects(self, event_type: str) -> list[dict[str, Any]]:
        match event_type:
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

    def _any(self, data: Data, event_type: str) -> Body:
        locker, compartment = data.draw(st.sampled_from(PLACES))
        payload = dict(data.draw(st.sampled_from(self._subjects(event_type) or [{"fault_event_id": UNKNOWN}])))
        if event_type == "ReservationCreated" and data.draw(MOSTLY) and self.model.reservations:
            payload["reservation_id"] = data.draw(st.sampled_from(list(self.model.reservations)))
        if event_type == "FaultCleared" and not data.draw(MOSTLY):
            payload["fault_event_id"] = data.draw(st.sampled_from([UNKNOWN, *(old["event_id"] for old in self.sent)]))
        if event_type in STATUS_AFTER:
            known = self.model.reservations.get(payload["reservation_id"])
            if known and data.draw(MOSTLY):
                locker, compartment = known["place"]
            if data.draw(st.booleans()):
                return body(event_type, locker, **payload)
            payload["compartment_id"] = data.draw(st.sampled_from((None, compartment, *COMPARTMENTS)))
            return body(event_type, locker, **payload)
        return body(event_type, locker, **payload, compartment_id=compartment)


def _any_case(data: Data, event_id: str) -> str:
    return event_id.upper() if data.draw(st.booleans()) else event_id.lower()
