"""A day of simulated lockers that were offline, and report all of it afterwards in a wrong order."""

import json
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from random import Random
from typing import NamedTuple

from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.core.outcomes import Refusal
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.simulator.simulation import Simulation
from lockstream.tests.simulator.conftest import DAY, MONDAY
from lockstream.tests.support.builders import Body, decode_event

LOCKERS = 3

DAYS_BEFORE = 2
"""Days on which the lockers were connected, so that the server knows them."""

type Texts = list[bytes]
"""Events as JSON."""


class OfflineDay(NamedTuple):
    """The life of some lockers, without impossible events: all are accepted, or known already, in this order."""

    before: Texts
    """Events of the days before, which arrived in order, or nothing."""

    day: Texts
    """Events of the day. Some are there twice, because the response to the first one was lost."""

    closing: Texts
    """Events that end all reservations and degrading faults which the day leaves open."""

    @property
    def lockers(self) -> list[str]:
        return sorted({json.loads(text)["locker_id"] for text in self.before + self.day})


def offline_day(seed: int) -> OfflineDay:
    """Return a day in the life of the lockers that a seed stands for.

    Every third seed stands for lockers that were never connected, so that their whole life belongs to the day. An
    impossible event is left out: it may be accepted if it arrives before the event that makes it impossible.
    """
    simulation, store = Simulation(LOCKERS, seed, MONDAY), MemoryStore()
    end = MONDAY + (DAYS_BEFORE + 1) * DAY
    parts: list[Texts] = []
    for until in (end - DAY, end):
        texts = [arrival.text for arrival in simulation.arrivals(until)]
        outcomes = ingest([decode_event(text) for text in texts], store.unit_of_work())
        store.log.flush()
        parts.append([text for text, one in zip(texts, outcomes, strict=True) if not isinstance(one, Refusal)])
    before, day = parts
    if seed % 3 == 0:
        before, day = [], before + day
    return OfflineDay(before, day, _closing([json.loads(text) for text in before + day], f"closing {seed}"))


def shuffled(events: Texts, seed: int) -> Texts:
    return Random(seed).sample(events, len(events))


def backwards(events: Texts, _: int) -> Texts:
    return events[::-1]


def interleaved(events: Texts, _: int) -> Texts:
    """Return the second half of the day woven with the first one: its evening comes before its morning."""
    middle = len(events) // 2
    woven = chain.from_iterable(zip_longest(events[middle:], events[:middle]))
    return [text for text in woven if text is not None]


type Order = Callable[[Texts, int], Texts]

ORDERS: Sequence[Order] = (shuffled, backwards, interleaved)


def _closing(bodies: Sequence[Body], name: str) -> Texts:
    """Return events that end all reservations and degrading faults that events leave open."""
    parcels: dict[str, Body] = {}
    """The last event of each active reservation."""

    faults: dict[str, Body] = {}
    """The report of each open fault that degrades its compartment."""

    for body in bodies:
        payload = body["payload"]
        match body["type"]:
            case "ReservationCreated" | "ParcelDeposited":
                parcels[payload["reservation_id"]] = body
            case "ParcelPickedUp" | "ReservationExpired":
                parcels.pop(payload["reservation_id"], None)
            case "FaultReported" if payload["severity"] >= DEGRADING_SEVERITY:
                faults[body["event_id"]] = body
            case "FaultCleared":
                faults.pop(payload["fault_event_id"], None)
            case _:
                pass
    random = Random(name)
    return [
        *(_event(random, _end_of(body), body, reservation_id=key) for key, body in parcels.items()),
        *(
            _event(random, "FaultCleared", body, fault_event_id=key, compartment_id=body["payload"]["compartment_id"])
            for key, body in faults.items()
        ),
    ]


def _end_of(body: Body) -> str:
    return "ParcelPickedUp" if body["type"] == "ParcelDeposited" else "ReservationExpired"


def _event(random: Random, event_type: str, of: Body, **payload: str) -> bytes:
    """Return an event at the end of the day, at the locker of another event."""
    digits = f"{random.getrandbits(128):032x}"
    event_id = "-".join((digits[:8], digits[8:12], f"4{digits[13:16]}", f"a{digits[17:20]}", digits[20:]))
    occurred_at = f"2026-01-08T00:00:00{of['occurred_at'][-6:]}"
    members = {"event_id": event_id, "occurred_at": occurred_at, "locker_id": of["locker_id"], "type": event_type}
    return json.dumps(members | {"payload": payload}).encode()
