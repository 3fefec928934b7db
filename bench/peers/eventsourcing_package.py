"""The `eventsourcing` package: `python -m bench.peers.eventsourcing_package STORE EVENTS PER_SAVE [PID]`.

`STORE` is a file for SQLite, or the URL of a PostgreSQL database that the process `PID` serves.

The package is used in the fastest way of its documentation: immutable events as msgspec structs, and a mapper that
encodes them directly. It has neither HTTP nor decisions nor a projection, and knows duplicates only by an aggregate's
version. It saves one aggregate after the other, each flushed at commit: by SQLite's defaults with the write-ahead log
that the package turns on, or by PostgreSQL's defaults.
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

from bench.figures import PeerResult
from bench.resources import CpuMeter


class CompartmentEvent(msgspec.Struct, frozen=True, kw_only=True):
    originator_id: UUID
    originator_version: int
    timestamp: datetime
    event_id: UUID
    occurred_at: str
    locker_id: str
    compartment_id: str


class Registered(CompartmentEvent, frozen=True, kw_only=True):
    pass


class Reserved(CompartmentEvent, frozen=True, kw_only=True):
    reservation_id: str


class Deposited(CompartmentEvent, frozen=True, kw_only=True):
    reservation_id: str


class PickedUp(CompartmentEvent, frozen=True, kw_only=True):
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


class UnusedTranscoder(Transcoder):
    """The package requires a transcoder, but the mapper encodes."""

    def encode(self, obj: Any) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes) -> Any:
        raise NotImplementedError


class Lockers(Application[UUID]):
    pass


def events_of(compartment: UUID, number: int) -> Iterator[DomainEventProtocol[UUID]]:
    """Yield the events of a compartment that is registered, then reserved, filled and emptied again and again."""
    kinds = cycle((Reserved, Deposited, PickedUp))
    reservation = ""
    yield Registered(**_fields(compartment, 1))
    for version in range(2, number + 1):
        kind = next(kinds)
        if kind is Reserved:
            reservation = f"R-{uuid4().hex[:16]}"
        yield kind(**_fields(compartment, version), reservation_id=reservation)


def main() -> None:
    store, events, per_save, *pids = sys.argv[1], *map(int, sys.argv[2:])
    topics = {"MAPPER_TOPIC": get_topic(MsgspecMapper), "TRANSCODER_TOPIC": get_topic(UnusedTranscoder)}
    app = Lockers(env=topics | (_postgres(store) if pids else _sqlite(store)))
    saves = [list(events_of(uuid4(), per_save)) for _ in range(events // per_save)]
    meter, started = CpuMeter(contestant=[os.getpid()], database=pids), perf_counter()
    for save in saves:
        app.save(*save)
    rate = per_save * len(saves) / (perf_counter() - started)
    sys.stdout.buffer.write(msgspec.json.encode(PeerResult(rate, meter.read())))
    app.close()


def _fields(compartment: UUID, version: int) -> dict[str, Any]:
    return {
        "originator_id": compartment,
        "originator_version": version,
        "timestamp": datetime.now(UTC),
        "event_id": uuid4(),
        "occurred_at": "2026-11-23T09:15:00+01:00",
        "locker_id": "locker-17",
        "compartment_id": "C1",
    }


def _sqlite(file: str) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": file}


def _postgres(url: str) -> dict[str, str]:
    database = make_url(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": f"{database.database}",
        "POSTGRES_HOST": f"{database.host}",
        "POSTGRES_PORT": f"{database.port}",
        "POSTGRES_USER": f"{database.username}",
        "POSTGRES_PASSWORD": "trusted",
    }


if __name__ == "__main__":
    main()
