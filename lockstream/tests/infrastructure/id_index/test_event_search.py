"""Searches for events by their ids: in the run file and the memtable of one snapshot, whatever happens meanwhile."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.listings import LockerQuery
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Listings, ReadResult
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.services.commands.list_rows import list_rows
from lockstream.tests.infrastructure.id_index.compacted import (
    BODIES,
    MEMTABLE_IDS,
    ingest_and_checkpoint,
    open_store,
    run_files,
)
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.histories import CAPACITY

pytestmark = pytest.mark.usefixtures("small_memtable")

ALL = 1_000

type Events = list[tuple[str, int]]


def events_of(bodies: Iterable[Body], prefix: str = "") -> Events:
    """Return the ids and positions of the events of a log with these ids that begin with `prefix`, sorted."""
    ids = sorted((body["event_id"], position) for position, body in enumerate(bodies, 1))
    return [one for one in ids if one[0].startswith(prefix)]


def all_events(lists: Listings) -> Events:
    return lists.search("", ALL).events


def search(store: EmbeddedStore, prefix: str = "", limit: int = ALL) -> Events:
    """Return the events that a search finds. It must reflect the whole log."""
    result = store.list(lambda lists: lists.search(prefix, limit).events)
    assert result.position == store.log.end.position
    return result.value


def compact(store: EmbeddedStore, name: str) -> None:
    """Ingest so many events that the memtable is compacted, and let the projection name the new run."""
    before = store._projection.stored.run
    bodies = (registered(f"{name}-{number}") for number in range(20 * MEMTABLE_IDS))
    while store._projection.stored.run == before:
        ingest_and_checkpoint(store, next(bodies))
        store._projection.finish_compaction()
        store.checkpoint()


def test_events_are_found_in_the_run_and_in_the_memtable(log: Path) -> None:
    with open_store(log) as store:
        in_memtable = store._projection.cache.ids.memtable
        assert BODIES[0]["event_id"] not in in_memtable
        assert BODIES[-1]["event_id"] in in_memtable
        for prefix in ("", *"0123456789abcdef"):
            assert search(store, prefix) == events_of(BODIES, prefix)
            assert search(store, prefix.upper(), 3) == events_of(BODIES, prefix)[:3]
        for position, body in enumerate(BODIES, 1):
            for length in (12, 35, 36):
                assert search(store, body["event_id"][:length].upper()) == [(body["event_id"], position)]


def test_ids_with_the_same_beginning_are_found_in_both_and_sorted(log: Path) -> None:
    # given events in the run and in the memtable whose ids have the same beginning
    with open_store(log) as store:
        bodies = [*BODIES, *numbered(MEMTABLE_IDS, descending=True)]
        ingest_and_checkpoint(store, *bodies[len(BODIES) :])
        compact(store, "more")
        after = [registered("last-but-one"), *numbered(5)]
        before = store.log.end.position
        ingest_and_checkpoint(store, *after)
        # when they are searched
        found = search(store, "0190a5e0-0000-4000-8000")
        # then both are found, sorted by id
        expected = events_of(bodies, "0190a5e0-0000-4000-8000") + [
            (body["event_id"], before + number) for number, body in enumerate(after[1:], 2)
        ]
        assert found == sorted(expected)
        assert [event_id for event_id, _ in search(store, "0190a5e0", 20)] == [one for one, _ in found[:20]]


_used = iter(range(10_000))


def numbered(count: int, *, descending: bool = False) -> list[Body]:
    """Return events whose ids have the same beginning."""
    numbers = sorted((next(_used) for _ in range(count)), reverse=descending)
    return [registered(f"numbered-{number}", event_id=f"0190a5e0-0000-4000-8000-{number:012d}") for number in numbers]


def test_each_event_is_found_after_its_checkpoint_while_the_id_index_is_compacted(log_path: Path) -> None:
    with open_store(log_path) as store:
        for count, body in enumerate(BODIES, 1):
            ingest_and_checkpoint(store, body)
            assert search(store) == events_of(BODIES[:count])
        assert run_files(log_path)


def test_events_are_found_after_a_restart_and_after_a_rebuild(log: Path) -> None:
    for _ in range(2):
        with open_store(log) as store:
            assert search(store) == events_of(BODIES)
        rebuild(log, CAPACITY)


def test_a_search_finds_the_events_of_its_snapshot_only(log: Path) -> None:
    with open_store(log) as store:

        def query(lists: Listings) -> Events:
            ingest_and_checkpoint(store, *numbered(3))
            return all_events(lists)

        assert store.list(query) == (events_of(BODIES), len(BODIES))


def test_a_search_whose_run_file_was_removed_is_repeated_in_a_new_snapshot(log: Path) -> None:
    with open_store(log) as store:
        run, positions = run_files(log)[-1], []

        def query(lists: Listings) -> Events:
            positions.append(lists.position)
            while run.exists():
                compact(store, str(store.log.end.position))
            return all_events(lists)

        result = store.list(query)

        assert positions == [len(BODIES), store.log.end.position]
        assert result.position == len(result.value) == store.log.end.position
        assert {*events_of(BODIES)} <= {*result.value}


def test_without_its_run_file_only_a_search_is_unavailable_until_the_next_compaction(log: Path) -> None:
    with open_store(log) as store:
        run_files(log)[-1].unlink()
        for prefix in "", "0190a5e0", BODIES[0]["event_id"]:
            with pytest.raises(StoreUnavailable, match="could not be read"):
                search(store, prefix)
        assert len(store.list(lambda lists: lists.lockers(LockerQuery(), None, ALL)).value) > 1
        assert store.list(lambda lists: lists.search("locker-3", ALL).lockers)

        compact(store, "more")

        assert {*events_of(BODIES)} <= {*search(store)}


def test_a_run_file_that_is_too_short_makes_a_search_unavailable(log: Path) -> None:
    with open_store(log) as store:
        run = run_files(log)[-1]
        for size in (run.stat().st_size - 8, run.stat().st_size - 11, 0):
            copy = run.with_name("copy")
            copy.write_bytes(run.read_bytes()[:size])
            copy.rename(run)  # the running store has the other file mapped into memory
            with pytest.raises(StoreUnavailable, match="could not be read"):
                search(store)


def test_a_damaged_section_never_makes_a_search_find_wrong_events(log: Path) -> None:
    with open_store(log) as store:
        run, size = run_files(log)[-1], len(store._projection.cache.ids._run.hashes)
        content = bytearray(run.read_bytes())
        for offset in range(8 * size, len(content) - 8, 5):
            content[offset] ^= 1 << offset % 8
        run.write_bytes(content)
        assert {*search(store)} <= {*events_of(BODIES)}


@pytest.mark.parametrize("damage", [b"\x00", b""])
def test_a_damaged_memtable_makes_a_search_unavailable(log: Path, damage: bytes) -> None:
    with open_store(log) as store, closing(sqlite3.connect(projection_path(log))) as other_program:
        with other_program:
            other_program.execute(
                "UPDATE memtable SET content = substr(content, 1, length(content) - 1) || ?", [damage]
            )
        with pytest.raises(StoreUnavailable, match="could not be read"):
            search(store)


def test_events_are_found_in_the_log_that_was_opened(log: Path) -> None:
    with open_store(log) as store:
        log.rename(log.with_name("moved.jsonl"))
        log.write_bytes(b"")
        assert search(store) == events_of(BODIES)
        os.truncate(log.with_name("moved.jsonl"), 1_000)
        with pytest.raises(StoreUnavailable, match=f"The log {log} was altered or has lost lines"):
            search(store)


def test_a_compartment_whose_entry_looks_like_an_event_id_is_no_event(log: Path) -> None:
    with open_store(log) as store:
        body = registered("c12", locker="0190a5e0-0000-4000-8000-00000000")
        assert len(f"{body['locker_id']}/c12") == len(body["event_id"])
        ingest_and_checkpoint(store, body)
        for name in "in the memtable", "in the run":
            found = store.list(lambda lists: lists.search("0190a5e0", ALL)).value
            assert (found.lockers, found.events) == ([body["locker_id"]], []), name
            compact(store, "more")


def test_events_are_found_without_a_server_and_beside_one(log: Path) -> None:
    expected = ReadResult(events_of(BODIES), len(BODIES))
    assert list_rows(log, all_events) == expected
    with open_store(log):
        assert list_rows(log, all_events) == expected


def test_without_its_log_lists_are_unavailable(log: Path) -> None:
    log.unlink()
    with pytest.raises(StoreUnavailable, match=f"The log {log} cannot be read"):
        list_rows(log, all_events)
