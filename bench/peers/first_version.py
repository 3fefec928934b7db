"""The design of Lockstream's first version: `python -m bench.peers.first_version FOLDER`.

- An event is appended to a JSONL file, which is flushed (`fdatasync`) before the response.
- A duplicate is found by reading the file from its start, so each event costs more than the one before.
- The projection is rows of SQLAlchemy's ORM in SQLite, changed in one session per event.
- FastAPI validates pydantic bodies. Its route runs in threads, and a lock lets one of them write at a time.

Each choice that the design leaves open is made in its favour. The search compares the beginnings of lines and decodes
none. SQLite has a write-ahead log and `synchronous=NORMAL`, so only the file is flushed for each event. The rules are
Lockstream's own (docs/rules.md). They decide before the append, while the first version appended first. The service
answers no reads, because the benchmark sends none.
"""

import os
import sys
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from sqlalchemy import Engine, create_engine
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.peers.event_api import PeerOutcome, create_app
from bench.peers.serving import serve
from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Compartment, Fault, LockerTotals, Reservation, Row, Status
from lockstream.core.evolve import evolve
from lockstream.core.row_set import RowSet, read_set_of, with_absent
from lockstream.core.rules import decide

LOG_NAME = "events.jsonl"


class Base(DeclarativeBase):
    pass


class CompartmentRow(Base):
    __tablename__ = "compartments"

    locker_id: Mapped[str] = mapped_column(primary_key=True)
    compartment_id: Mapped[str] = mapped_column(primary_key=True)
    active_reservation: Mapped[str | None]
    degrading_faults: Mapped[int]
    changed_position: Mapped[int]
    registered_position: Mapped[int]

    def value(self) -> Compartment:
        return Compartment(
            self.locker_id,
            self.compartment_id,
            self.active_reservation,
            self.degrading_faults,
            self.changed_position,
            self.registered_position,
        )


class ReservationRow(Base):
    __tablename__ = "reservations"

    reservation_id: Mapped[str] = mapped_column(primary_key=True)
    locker_id: Mapped[str]
    compartment_id: Mapped[str]
    status: Mapped[str]
    created_position: Mapped[int]
    deposited_position: Mapped[int]
    changed_position: Mapped[int]

    def value(self) -> Reservation:
        return Reservation(
            self.reservation_id,
            self.locker_id,
            self.compartment_id,
            Status(self.status),
            self.created_position,
            self.deposited_position,
            self.changed_position,
        )


class FaultRow(Base):
    __tablename__ = "faults"

    fault_id: Mapped[str] = mapped_column(primary_key=True)
    locker_id: Mapped[str]
    compartment_id: Mapped[str]
    severity: Mapped[int]
    reported_position: Mapped[int]
    cleared_position: Mapped[int]

    def value(self) -> Fault:
        return Fault(
            self.fault_id,
            self.locker_id,
            self.compartment_id,
            self.severity,
            self.reported_position,
            self.cleared_position,
        )


class LockerRow(Base):
    __tablename__ = "lockers"

    locker_id: Mapped[str] = mapped_column(primary_key=True)
    events: Mapped[int]
    last_position: Mapped[int]
    compartments: Mapped[int]
    available: Mapped[int]
    degraded: Mapped[int]
    reserved: Mapped[int]
    occupied: Mapped[int]
    picked_up: Mapped[int]
    expired: Mapped[int]
    gap_sum: Mapped[int]
    gap_squares: Mapped[int]

    def value(self) -> LockerTotals:
        return LockerTotals(
            self.locker_id,
            self.events,
            self.last_position,
            self.compartments,
            self.available,
            self.degraded,
            self.reserved,
            self.occupied,
            self.picked_up,
            self.expired,
            self.gap_sum,
            self.gap_squares,
        )


_TABLES: dict[type[Row], type[Base]] = {
    Compartment: CompartmentRow,
    Reservation: ReservationRow,
    Fault: FaultRow,
    LockerTotals: LockerRow,
}


class JsonLines:
    """The log: one event a line, with its id at the beginning of the line."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file = file.open("ab")
        self._end = 0

    def append(self, event: Event) -> int:
        """Append `event`, flush it to the disk, and return its position."""
        head = b'"occurred_at":%b,"locker_id":%b,"type":"%b","payload":%b}\n' % (
            msgspec.json.encode(event.occurred_at),
            msgspec.json.encode(event.locker_id),
            type(event).__name__.encode(),
            event.payload_text,
        )
        self._file.write(_line_start(event.event_id) + head)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._end += 1
        return self._end

    def __contains__(self, event_id: str) -> bool:
        start = _line_start(event_id)
        with self._path.open("rb") as lines:
            return any(line.startswith(start) for line in lines)


class Service:
    """The service of the peer, which decides one event at a time."""

    def __init__(self, folder: Path) -> None:
        self._log = JsonLines(folder / LOG_NAME)
        self._engine = _engine(folder / "projection.sqlite")
        self._lock = Lock()
        Base.metadata.create_all(self._engine)

    def ingest(self, event: Event) -> PeerOutcome:
        with self._lock, Session(self._engine) as session:
            if event.event_id in self._log:
                return "duplicate"
            rows = _rows_of(session, event)
            if refusal := decide(rows, event):
                return refusal
            position = self._log.append(event)
            for row in evolve(rows, event, position):
                session.merge(_TABLES[type(row)](**msgspec.structs.asdict(row)))
            session.commit()
        return "accepted"


def _line_start(event_id: str) -> bytes:
    return b'{"event_id":"%b",' % event_id.encode()


def _engine(file: Path) -> Engine:
    engine = create_engine(f"sqlite:///{file}")

    @sqlalchemy_event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine


def _rows_of(session: Session, event: Event) -> RowSet:
    """Return the rows that the rules need to decide `event`."""
    keys = read_set_of([event])
    reservations = [found.value() for key in keys.reservations if (found := session.get(ReservationRow, key))]
    keys.compartments.update(row.compartment_key for row in reservations)
    compartments = [each.value() for key in keys.compartments if (each := session.get(CompartmentRow, key))]
    faults = [fault.value() for key in keys.faults if (fault := session.get(FaultRow, key))]
    lockers = [locker.value() for key in keys.lockers if (locker := session.get(LockerRow, key))]
    return RowSet(
        with_absent(keys.compartments, compartments),
        with_absent(keys.reservations, reservations),
        with_absent(keys.faults, faults),
        with_absent(keys.lockers, lockers),
    )


if __name__ == "__main__":
    serve(create_app(Service(Path(sys.argv[1])).ingest))
