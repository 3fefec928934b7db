"""The projection in SQLite: which of its commits wait for the disk, and when pages of its write-ahead log are moved."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.log import START, Cursor, Moment
from lockstream.core.entities.state import Fault
from lockstream.core.row_set import no_rows
from lockstream.infrastructure.id_index.index import NewIds
from lockstream.infrastructure.id_index.sorted_run import NO_RUN, RunRef
from lockstream.infrastructure.sqlite.projection import SqliteProjection
from lockstream.infrastructure.sqlite.row_cache import ChangeSet
from lockstream.tests.infrastructure.sqlite.trouble import driver_connection

RUN = RunRef(7, 0)


@pytest.fixture
def projection(tmp_path: Path) -> Iterator[SqliteProjection]:
    path = tmp_path / "projection.sqlite"
    SqliteProjection.create(path).close()
    with closing(SqliteProjection.open(path)) as projection:
        yield projection


def last_commit_waited(projection: SqliteProjection) -> bool:
    """Return whether the last commit waited for the disk: SQLite calls that FULL, and 2."""
    [(level,)] = driver_connection(projection._writing.connection).execute("PRAGMA synchronous")
    return bool(level == 2)


def test_a_commit_waits_for_the_disk_only_if_it_names_another_run(projection: SqliteProjection) -> None:
    waited = []
    for run in (NO_RUN, RUN, RUN):
        projection.write(ChangeSet(START), run)
        waited.append(last_commit_waited(projection))
    assert waited == [False, True, False]


def test_ids_stay_in_the_memtable_until_the_run_holds_all_of_their_slice(projection: SqliteProjection) -> None:
    change_set = ChangeSet(START)
    change_set.add({}, {"a": 1, "b": 2, "c": 3}, [Moment(1, 5)], Cursor(3))
    projection.write(change_set, NO_RUN)
    kept = [NewIds(["a", "b", "c"], [1, 2, 3])]
    for run_position, expected in ((2, kept), (3, [])):
        projection.write(ChangeSet(Cursor(3)), RunRef(run_position, 0))
        assert projection.memtable() == expected


def test_the_note_of_acknowledged_events_waits_for_the_disk(projection: SqliteProjection) -> None:
    projection.note_acknowledged(0)
    assert last_commit_waited(projection)


def test_pages_are_moved_to_the_database_file_after_enough_rows(
    projection: SqliteProjection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockstream.infrastructure.sqlite.projection.MOVED_ROWS", 200)
    database = tmp_path / "projection.sqlite"
    before = database.read_bytes()
    # given rows in the write-ahead log, fewer than are moved at a time
    needed = []
    for number in (1, 2):
        change_set = ChangeSet(START)
        faults = {f"{number}-{one}": Fault(f"{number}-{one}", "L", "C", 1, one, 0) for one in range(100)}
        change_set.add({**no_rows(), Fault: faults}, {}, [], Cursor(number))
        projection.write(change_set, NO_RUN)
        needed.append(projection.needs_move)
    assert database.read_bytes() == before
    # when they are enough, then a move writes them to the file of the database
    projection.move_pages()
    assert [*needed, projection.needs_move] == [False, True, False]
    assert database.read_bytes() != before


def test_many_small_commits_make_a_move_due_as_well(projection: SqliteProjection) -> None:
    writes = 0
    while not projection.needs_move:
        projection.write(_one_fault(), NO_RUN)
        writes += 1
    assert writes < 200


def test_a_move_that_fails_loses_nothing_and_is_tried_again(projection: SqliteProjection) -> None:
    projection.write(_one_fault(), NO_RUN)
    moved = driver_connection(projection._writing.connection)
    # given a connection on which each operation of SQLite is interrupted
    moved.set_progress_handler(lambda: 1, 1)
    # when pages are moved, then nothing is raised, and all rows can be read
    projection.move_pages()
    assert len(list(projection.fetch(Fault, ["f"]))) == 1
    # and a later move succeeds
    moved.set_progress_handler(None, 0)
    projection.move_pages()
    assert len(list(projection.fetch(Fault, ["f"]))) == 1


def _one_fault() -> ChangeSet:
    change_set = ChangeSet(START)
    change_set.add({**no_rows(), Fault: {"f": Fault("f", "L", "C", 1, 1, 0)}}, {}, [], Cursor(1))
    return change_set
