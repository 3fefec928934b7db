"""Search for accepted events by the beginning of their ids, in the id index that one snapshot of the projection names.

The id index of a running store belongs to another thread. So a search reads the memtable that the snapshot contains,
and opens the run file that the snapshot names.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from heapq import nsmallest
from itertools import chain
from pathlib import Path

import msgspec
from sqlalchemy import Connection, LargeBinary, bindparam, func, literal_column, select

from lockstream.core.entities.log import Cursor
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.id_index.index import NewIds
from lockstream.infrastructure.id_index.prefix_search import find_events
from lockstream.infrastructure.id_index.sorted_run import RunRef, open_run
from lockstream.infrastructure.rows.mapping import VALUE_ERRORS, projection_unavailable
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.tables import memtable, progress
from lockstream.infrastructure.sqlite.database import DIALECT

type ReadEventIds = Callable[[int, int, Cursor], Mapping[str, int]]
"""Reads the log: `(first, count, end)` returns the ids and positions of up to `count` events from position `first` on,
none of them after `end`. For any thread. Raises StoreUnavailable if the log cannot be read.
"""

_UUID_HEADER = b"\xd9\x24"
"""Stands before a text of 36 bytes in MessagePack. Texts are UTF-8, in which these bytes never follow each other."""

_UUID_LENGTH = 36

_PROGRESS = Prepared(select(*progress.c["position", "offset", "chain", "run", "run_checksum"]), DIALECT)
_CONTAINS_TEXT = func.instr(memtable.c.content, bindparam("text", type_=LargeBinary)) > literal_column("0")
_NEW_IDS = Prepared(select(memtable.c.content).where(_CONTAINS_TEXT), DIALECT)

_new_ids = msgspec.msgpack.Decoder(NewIds)


class RunFileMissing(StoreUnavailable):
    """Raised when the run file that a snapshot names does not exist. A compaction may have removed the file since."""


class EventSearch:
    """Searches the id index of a projection. For any thread."""

    def __init__(self, projection: Path, read_event_ids: ReadEventIds) -> None:
        self._projection = projection
        self._read_event_ids = read_event_ids

    def find(self, snapshot: Connection, prefix: str, limit: int) -> list[tuple[str, int]]:
        """Return up to `limit` ids and positions of events whose ids begin with `prefix`, sorted by id.

        `prefix` is a result of `uuid_prefix`. `find_events` says which events may be missing.

        Raises:
            RunFileMissing: the run file of the snapshot was removed. A new snapshot may name another one.
            StoreUnavailable: the id index or the log cannot be read.
        """
        try:
            found = self._in_memtable(snapshot, prefix, limit) | self._in_run(snapshot, prefix, limit)
        except FileNotFoundError as error:
            raise RunFileMissing(str(projection_unavailable("read", error))) from error
        except (OSError, *VALUE_ERRORS) as error:
            raise projection_unavailable("read", error) from error
        return sorted(found.items())[:limit]

    def _in_memtable(self, snapshot: Connection, prefix: str, limit: int) -> dict[str, int]:
        """Return the first `limit` events in the memtable, in 4 ms for 65,536 ids.

        SQLite finds the rows that contain the prefix, without Python's lock. Only the rows of the result are decoded.
        """
        text = _UUID_HEADER + prefix.encode()
        pattern = re.compile(re.escape(text) + b"[-0-9a-f]{%d}" % (_UUID_LENGTH - len(prefix)))
        first: list[tuple[bytes, bytes]] = []
        with closing(snapshot.connection.cursor()) as cursor:
            cursor.execute(_NEW_IDS.text, _NEW_IDS.bind({"text": text}))
            for (content,) in iter(cursor.fetchone, None):  # all rows together may be 1 byte for each event of the log
                first = nsmallest(limit, chain(first, ((match, content) for match in pattern.findall(content))))
        rows = {content: _new_ids.decode(content) for content in {content for _, content in first}}
        matches = [(match.removeprefix(_UUID_HEADER).decode(), rows[content]) for match, content in first]
        return {event_id: row.positions[row.ids.index(event_id)] for event_id, row in matches}

    def _in_run(self, snapshot: Connection, prefix: str, limit: int) -> dict[str, int]:
        """Return the events in the run file."""
        [values] = _PROGRESS.rows(snapshot.connection, {})
        position, offset, chain, run, checksum = msgspec.convert(values, tuple[int, int, str, int, int])
        reached = Cursor(position, offset, chain)

        def read_block(first: int, count: int) -> Mapping[str, int]:
            return self._read_event_ids(first, count, reached)

        return find_events(open_run(self._projection, RunRef(run, checksum)), prefix, limit, read_block)
