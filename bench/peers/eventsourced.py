"""The `eventsourcing` package: `python -m bench.peers.eventsourced STORE EVENTS PER_SAVE [PID]`.

`STORE` is a file for SQLite, or the URL of a database of PostgreSQL, which the process `PID` serves.

It is used in the fastest way that its documentation shows, immutable events as msgspec structs with a mapper that
encodes them directly. It is spared what Lockstream does besides: HTTP, a decision on each event, knowing duplicates
(but for the aggregate's version), a projection. Its saves are one aggregate's each, one after the other, and flushed at
commit: SQLite's defaults with the write-ahead log that the package turns on, or PostgreSQL's defaults.
"""

import os
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
from sqlalchemy import make_url

from bench.figures import Told
from bench.meter import Meter


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
    store, events, per_save, *pids = sys.argv[1], *map(int, sys.argv[2:])
    mapped = {"MAPPER_TOPIC": get_topic(MsgspecMapper), "TRANSCODER_TOPIC": get_topic(Untranscoded)}
    app = Lockers(env=mapped | (_postgres(store) if pids else _sqlite(store)))
    lives = [list(life(uuid4(), per_save)) for _ in range(events // per_save)]
    meter, began = Meter(contestant=[os.getpid()], database=pids), perf_counter()
    for one in lives:
        app.save(*one)
    rate = per_save * len(lives) / (perf_counter() - began)
    sys.stdout.buffer.write(msgspec.json.encode(Told(rate, meter.read())))
    app.close()


def _sqlite(file: str) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": file}


def _postgres(url: str) -> dict[str, str]:
    named = make_url(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": f"{named.database}",
        "POSTGRES_HOST": f"{named.host}",
        "POSTGRES_PORT": f"{named.port}",
        "POSTGRES_USER": f"{named.username}",
        "POSTGRES_PASSWORD": "trusted",
    }


if __name__ == "__main__":
    main()
