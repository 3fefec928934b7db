"""An independent model of a locker network in plain dicts, written from docs/rules.md, not from the product's code."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

type Body = dict[str, Any]
type Place = tuple[str, str]
"""Names a compartment: the ids of the locker and of the compartment."""

type Expected = tuple[str, int] | tuple[str, str]
"""("accepted", position), ("duplicate", position) or ("refused", code)."""

FINAL = ("PICKED_UP", "EXPIRED")
STATUS_AFTER = {"ParcelDeposited": "DEPOSITED", "ParcelPickedUp": "PICKED_UP", "ReservationExpired": "EXPIRED"}


@dataclass
class Model:
    """The accepted events, and the state of the network after them."""

    accepted: list[Body] = field(default_factory=list)
    positions: dict[UUID, int] = field(default_factory=dict)
    compartments: dict[Place, int] = field(default_factory=dict)
    """The position of each registration."""

    reservations: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    since: dict[Place, int] = field(default_factory=dict)
    """By compartment, the position of the last event that reserved, freed or degraded it, or ended its degradation."""

    _shown: dict[Place, tuple[str | None, bool]] = field(default_factory=dict)
    _newest: dict[Place, str] = field(default_factory=dict)
    """By compartment, the id of its newest reservation. No other one can be active."""

    _open: dict[Place, dict[UUID, int]] = field(default_factory=dict)
    """By compartment, the severity of each open fault, by fault id."""

    def expect(self, body: Body) -> Expected:
        """Apply an event, and return the outcome that every store must return for it."""
        event_id = UUID(body["event_id"])
        if event_id in self.positions:
            return "duplicate", self.positions[event_id]
        if code := self.refusal(body):
            return "refused", code
        self._apply(body)
        self.accepted.append(body)
        self.positions[event_id] = len(self.accepted)
        place = self.place(body)
        shown = self.active_reservation(place), self.degraded(place)
        if self._shown.get(place) != shown:
            self._shown[place], self.since[place] = shown, len(self.accepted)
        return "accepted", len(self.accepted)

    def at(self, position: int) -> "Model":
        """Return the model after the first `position` accepted events, or after all of them if there are fewer."""
        past = Model()
        for body in self.accepted[:position]:
            past.expect(body)
        return past

    def refusal(self, body: Body) -> str | None:
        """Return the code of the first row of the rules' table that applies, or None."""
        match body["type"]:
            case "CompartmentRegistered":
                return "compartment_already_registered" if _place(body) in self.compartments else None
            case "ReservationCreated":
                return self._reservation_refusal(body)
            case "FaultReported":
                return None if _place(body) in self.compartments else "unknown_compartment"
            case "FaultCleared":
                return self._clearing_refusal(body)
            case _:
                return self._parcel_refusal(body)

    def _reservation_refusal(self, body: Body) -> str | None:
        place = _place(body)
        if place not in self.compartments:
            return "unknown_compartment"
        if body["payload"]["reservation_id"] in self.reservations:
            return "reservation_already_exists"
        if self.degraded(place):
            return "compartment_degraded"
        return "compartment_reserved" if self.active_reservation(place) is not None else None

    def _parcel_refusal(self, body: Body) -> str | None:
        reservation = self.reservations.get(body["payload"]["reservation_id"])
        if reservation is None:
            return "unknown_reservation"
        locker, compartment = reservation["place"]
        named = body["payload"].get("compartment_id")
        if body["locker_id"] != locker or (named is not None and named != compartment):
            return "reservation_mismatch"
        status = reservation["status"]
        if body["type"] == "ParcelDeposited":
            return None if status == "CREATED" else "reservation_not_awaiting_deposit"
        if body["type"] == "ReservationExpired":
            return "reservation_final" if status in FINAL else None
        if status == "EXPIRED":
            return "reservation_expired"
        return None if status == "DEPOSITED" else "reservation_not_awaiting_pickup"

    def _clearing_refusal(self, body: Body) -> str | None:
        if _place(body) not in self.compartments:
            return "unknown_compartment"
        fault = self.faults.get(UUID(body["payload"]["fault_event_id"]))
        if fault is None:
            return "unknown_fault"
        if fault["place"] != _place(body):
            return "fault_mismatch"
        return "fault_already_cleared" if fault["cleared"] else None

    def _apply(self, body: Body) -> None:
        payload, position = body["payload"], len(self.accepted) + 1
        match body["type"]:
            case "CompartmentRegistered":
                self.compartments[_place(body)] = position
            case "ReservationCreated":
                self.reservations[payload["reservation_id"]] = {
                    "place": _place(body),
                    "status": "CREATED",
                    "steps": {"CREATED": position},
                }
                self._newest[_place(body)] = payload["reservation_id"]
            case "FaultReported":
                fault = {"place": _place(body), "severity": payload["severity"], "cleared": 0, "reported": position}
                self.faults[UUID(body["event_id"])] = fault
                self._open.setdefault(_place(body), {})[UUID(body["event_id"])] = payload["severity"]
            case "FaultCleared":
                self.faults[UUID(payload["fault_event_id"])]["cleared"] = position
                del self._open[_place(body)][UUID(payload["fault_event_id"])]
            case event_type:
                reservation = self.reservations[payload["reservation_id"]]
                reservation["status"] = STATUS_AFTER[event_type]
                reservation["steps"][reservation["status"]] = position

    def place(self, body: Body) -> Place:
        """Return the compartment that an accepted event is about."""
        reservation = self.reservations.get(body["payload"].get("reservation_id", ""))
        place: Place = reservation["place"] if reservation else _place(body)
        return place

    def lockers(self) -> list[str]:
        return sorted({locker for locker, _ in self.compartments})

    def compartments_of(self, locker: str) -> list[str]:
        return sorted(compartment for of_locker, compartment in self.compartments if of_locker == locker)

    def open_faults(self, place: Place) -> list[tuple[str, int]]:
        """Return the id and severity of each open fault of a compartment, sorted by id."""
        return sorted((str(fault_id), severity) for fault_id, severity in self._open.get(place, {}).items())

    def degraded(self, place: Place) -> bool:
        return any(severity >= 3 for severity in self._open.get(place, {}).values())

    def active_reservation(self, place: Place) -> str | None:
        """Return the id of the reservation that occupies a compartment."""
        newest = self._newest.get(place)
        return None if newest is None or self.status(newest) in FINAL else newest

    def status(self, reservation: str) -> str:
        status: str = self.reservations[reservation]["status"]
        return status

    def counts(self, locker: str) -> tuple[int, int, int]:
        """Return the numbers of compartments, of active reservations and of degraded compartments."""
        places = [(locker, compartment) for compartment in self.compartments_of(locker)]
        active = sum(self.active_reservation(place) is not None for place in places)
        return len(places), active, sum(map(self.degraded, places))

    def canonical(self, locker: str) -> object:
        """Return a locker's state as one hashable value. State hashes must be equal if and only if these values are."""
        return locker, tuple(
            self._canonical_compartment((locker, compartment)) for compartment in self.compartments_of(locker)
        )

    def _canonical_compartment(self, place: Place) -> object:
        active = self.active_reservation(place)
        reservation = None if active is None else (active, self.status(active))
        return place[1], self.degraded(place), reservation, tuple(self.open_faults(place))


def _place(body: Body) -> Place:
    return body["locker_id"], body["payload"]["compartment_id"]
