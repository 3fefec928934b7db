"""The history in a database: whether it is legal, complete, and becomes visible in order."""

from contextlib import closing, suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self
from uuid import UUID

import psycopg

from lockstream.tests.infrastructure.stores.model import Model
from lockstream.tests.nodes.clients import Responses
from lockstream.tests.support.builders import Body, body
from lockstream.tests.support.databases import connect, execute


def read_history(url: str) -> list[Body]:
    """Return all events of the log in order. Their positions have no gap."""
    rows = execute(
        url, "SELECT position, event_id::text, locker_id, type, occurred_at, payload FROM events ORDER BY position"
    )
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    return [
        body(event_type, locker, event_id, **payload) | {"occurred_at": occurred_at}
        for _, event_id, locker, event_type, occurred_at, payload in rows
    ]


def assert_legal(events: list[Body], responses: Responses) -> Model:
    """Check a history with the independent model, and that it holds every acknowledged event at its position."""
    model = Model()
    for position, event in enumerate(events, 1):
        assert model.expect(event) == ("accepted", position), event
    lost = {
        event_id: position
        for event_id, position in responses.acknowledged.items()
        if model.positions.get(UUID(event_id)) != position
    }
    assert not lost
    return model


class Follower:
    """Reads new events of the log in a thread, and checks that each position becomes visible once, and in order."""

    def __init__(self, url: str) -> None:
        self.event_ids: list[str] = []
        self._url = url
        self._stopping = Event()
        self._thread = Thread(target=self._follow)
        self._problem = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        assert not self._problem

    def _follow(self) -> None:
        is_stopping = False
        while not is_stopping:
            is_stopping = self._stopping.wait(0.01)
            with suppress(psycopg.Error), closing(connect(self._url)) as connection:
                while not is_stopping and not self._problem:
                    self._read_new_events(connection)
                    is_stopping = self._stopping.wait(0.01)
                self._read_new_events(connection)

    def _read_new_events(self, connection: psycopg.Connection) -> None:
        rows = connection.execute(
            "SELECT position, event_id::text FROM events WHERE position > %s ORDER BY position", [len(self.event_ids)]
        )
        for position, event_id in rows.fetchall():
            if position != len(self.event_ids) + 1:
                self._problem = f"position {position} became visible after {len(self.event_ids)}"
                return
            self.event_ids.append(event_id)
