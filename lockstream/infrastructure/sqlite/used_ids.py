"""The ids that a replay has used, in a temporary database, for `verify`. SQLite sorts them on disk."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import batched
from pathlib import Path

from lockstream.infrastructure.id_index.index import IdIndex, NewIds

CHECKED_AT_ONCE = 10_000
"""Ids that are looked up in a sorted run at once."""

SORT_KIB = 32_000
"""Memory of one sort. Larger sorts go through temporary files."""


class UsedIds:
    """Ids with the positions of the events that used them. An id may be used twice. For one thread."""

    def __init__(self, path: Path, sorting: Path) -> None:
        """Create the database at `path`, which may be unlinked at once. Sorts use the folder `sorting`.

        Each method raises sqlite3.Error if the disk is full or does not work.
        """
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._set_temporary_folder(str(sorting))
        self._connection.executescript(
            f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{SORT_KIB};"
            "CREATE TABLE used (id TEXT NOT NULL, position INTEGER NOT NULL);"
            "CREATE TABLE in_memtable (id TEXT PRIMARY KEY) WITHOUT ROWID"
        )

    def add(self, ids: Iterable[tuple[str, int]]) -> None:
        """Add ids with their positions."""
        with self._at_once():
            self._connection.executemany("INSERT INTO used VALUES (?, ?)", ids)

    def add_memtable(self, memtable: Iterable[NewIds]) -> None:
        """Add the memtable of the id index that `missing` examines."""
        with self._at_once():
            for new in memtable:
                self._connection.executemany("INSERT OR IGNORE INTO in_memtable VALUES (?)", zip(new.ids))

    def missing(self, run: IdIndex, through: int) -> Iterator[str]:
        """Yield the ids used up to position `through` that neither the memtable nor both sections of the sorted run in
        `run` hold, in order.
        """
        found = self._connection.execute(
            "SELECT id, max(position) FROM used WHERE position <= ? AND id NOT IN (SELECT id FROM in_memtable) "
            "GROUP BY id ORDER BY id",
            [through],
        )
        for ids in batched(found, CHECKED_AT_ONCE):
            yield from run.missing(dict(ids))

    def duplicates(self) -> Iterator[tuple[str, int, int]]:
        """Yield each event id that was used again, the position of its first use, and that of a later one."""
        found = self._connection.execute(
            "SELECT id, min(position), group_concat(position) FROM used WHERE id NOT LIKE '%/%' "
            "GROUP BY id HAVING count(*) > 1"
        )
        for used, first, positions in found:
            yield from ((used, first, later) for later in sorted(map(int, positions.split(",")))[1:])

    def close(self) -> None:
        self._set_temporary_folder("")
        self._connection.close()

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Context manager that writes all rows of the block in one transaction, even if the block fails."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    def _set_temporary_folder(self, folder: str) -> None:
        """Let all connections of the process sort in `folder`. SQLite unlinks the files of sorts as it opens them."""
        self._connection.execute("PRAGMA temp_store_directory = '{}'".format(folder.replace("'", "''")))
