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
from lockstream.core.entities.state import Compartment, Fault, Reservation, Slice, Status
from lockstream.core.evolve import evolve
from lockstream.core.read_set import read_set_of
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

    def value(self) -> Compartment:
        return Compartment(self.locker_id, self.compartment_id, self.active_reservation, self.degrading_faults)


class ReservationRow(Base):
    __tablename__ = "reservations"

    reservation_id: Mapped[str] = mapped_column(primary_key=True)
    locker_id: Mapped[str]
    compartment_id: Mapped[str]
    status: Mapped[str]

    def value(self) -> Reservation:
        return Reservation(self.reservation_id, self.locker_id, self.compartment_id, Status(self.status))


class FaultRow(Base):
    __tablename__ = "faults"

    fault_id: Mapped[str] = mapped_column(primary_key=True)
    locker_id: Mapped[str]
    compartment_id: Mapped[str]
    severity: Mapped[int]
    cleared: Mapped[bool]

    def value(self) -> Fault:
        return Fault(self.fault_id, self.locker_id, self.compartment_id, self.severity, self.cleared)


type _Rows = tuple[CompartmentRow | None, ReservationRow | None, FaultRow | None]


class JsonLines:
    """The log: one event a line, with its id at the beginning of the line."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file = file.open("ab")

    def append(self, event: Event) -> None:
        """Append `event` and flush it to the disk."""
        head = b'"occurred_at":%b,"locker_id":%b,"type":"%b","payload":%b}\n' % (
            msgspec.json.encode(event.occurred_at),
            msgspec.json.encode(event.locker_id),
            type(event).__name__.encode(),
            event.payload,
        )
        self._file.write(_line_start(event.event_id) + head)
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def __contains__(self, event_id: str) -> bool:
        start = _line_start(event_id)
        with self._path.open("rb") as lines:
            return any(line.startswith(start) for line in lines)


class Service:
    """Decides events one after the other."""

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
            state = _state_of(rows)
            if refusal := decide(state, event):
                return refusal
            self._log.append(event)
            _change(session, rows, evolve(state, event))
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


def _rows_of(session: Session, event: Event) -> _Rows:
    """Return the rows that the rules need to decide `event`."""
    keys = read_set_of(event)
    reservation = session.get(ReservationRow, keys.reservation) if keys.reservation else None
    fault = session.get(FaultRow, keys.fault) if keys.fault else None
    compartment_key = keys.compartment
    if compartment_key is None and reservation is not None:
        compartment_key = reservation.locker_id, reservation.compartment_id
    compartment = session.get(CompartmentRow, compartment_key) if compartment_key else None
    return compartment, reservation, fault


def _state_of(rows: _Rows) -> Slice:
    compartment, reservation, fault = rows
    return Slice(
        compartment.value() if compartment else None,
        reservation.value() if reservation else None,
        fault.value() if fault else None,
    )


def _change(session: Session, rows: _Rows, state: Slice) -> None:
    """Give the rows the values of `state`, and add the rows that it has in addition."""
    values = state.compartment, state.reservation, state.fault
    for row, value, table in zip(rows, values, (CompartmentRow, ReservationRow, FaultRow), strict=True):
        fields = msgspec.structs.asdict(value) if value else {}
        if row:
            for name, field in fields.items():
                setattr(row, name, field)
        elif fields:
            session.add(table(**fields))


if __name__ == "__main__":
    serve(create_app(Service(Path(sys.argv[1])).ingest))
