"""The `eventsourcing` package on SQLite: `python -m bench.peers.eventsourced FILE EVENTS PER_SAVE` tells the seconds.

It is used in the fastest way that its documentation shows, immutable events as msgspec structs with a mapper that
encodes them directly. It is spared what Lockstream does besides: HTTP, a decision on each event, knowing duplicates
(but for the aggregate's version), a projection. Its saves are one aggregate's each, and flushed at commit: SQLite's
defaults, with the write-ahead log that the package turns on.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, StoredEvent, Transcoder
from eventsourcing.utils import get_topic, resolve_topic


class _Reported(msgspec.Struct, frozen=True, kw_only=True):
    originator_id: UUID
    originator_version: int
    timestamp: datetime
    event_id: UUID
    occurred_at: str
    locker_id: str
    compartment_id: str


class Registered(_Reported, frozen=True, kw_only=True):
    pass


class Reserved(_Reported, frozen=True, kw_only=True):
    reservation_id: str


class Deposited(_Reported, frozen=True, kw_only=True):
    reservation_id: str


class PickedUp(_Reported, frozen=True, kw_only=True):
    reservation_id: str


class MsgspecMapper(Mapper[UUID]):
    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=get_topic(type(domain_event)),
            state=msgspec.json.encode(domain_event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        event: DomainEventProtocol[UUID] = msgspec.json.decode(
            stored_event.state, type=resolve_topic(stored_event.topic)
        )
        return event


class Untranscoded(Transcoder):
    """Is asked nothing: the mapper encodes."""

    def encode(self, obj: Any) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes) -> Any:
        raise NotImplementedError


class Lockers(Application[UUID]):
    pass


def life(locker: UUID, events: int) -> Iterator[DomainEventProtocol[UUID]]:
    """What a compartment reports: registered, then reserved, filled and emptied again and again."""
    kinds = cycle((Reserved, Deposited, PickedUp))
    reservation = ""
    yield Registered(**_report(locker, 1))
    for version in range(2, events + 1):
        kind = next(kinds)
        if kind is Reserved:
            reservation = f"R-{uuid4().hex[:16]}"
        yield kind(**_report(locker, version), reservation_id=reservation)


def _report(locker: UUID, version: int) -> dict[str, Any]:
    return {
        "originator_id": locker,
        "originator_version": version,
        "timestamp": datetime.now(UTC),
        "event_id": uuid4(),
        "occurred_at": "2026-11-23T09:15:00+01:00",
        "locker_id": "locker-17",
        "compartment_id": "C1",
    }


def main() -> None:
    file, events, per_save = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    app = Lockers(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": file,
            "MAPPER_TOPIC": get_topic(MsgspecMapper),
            "TRANSCODER_TOPIC": get_topic(Untranscoded),
        }
    )
    lives = [list(life(uuid4(), per_save)) for _ in range(events // per_save)]
    began = perf_counter()
    for one in lives:
        app.save(*one)
    sys.stdout.write(f"{perf_counter() - began}\n")


if __name__ == "__main__":
    main()
