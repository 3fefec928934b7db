"""Runs that are written while the projection is rebuilt, from a log that is long or seems so."""

from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.events import CompartmentPayload, CompartmentRegistered, JsonText
from lockstream.core.entities.log import START
from lockstream.core.outcomes import Duplicate
from lockstream.core.rules import COMPARTMENT_ALREADY_REGISTERED
from lockstream.core.use_cases import catch_up
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.id_index import index
from lockstream.infrastructure.id_index.sorted_run import NO_RUN
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.tests.infrastructure.id_index.compacted import (
    BODIES,
    HISTORIES,
    MEMTABLE_IDS,
    assert_all_ids_are_known,
    ingest_and_checkpoint,
    open_store,
)
from lockstream.tests.support.builders import LOCKER, fault_reported, registered
from lockstream.tests.support.histories import CAPACITY


def test_a_memtable_of_the_real_size_is_compacted(log_path: Path) -> None:
    count = 35_000  # events, with two ids each
    payloads = [(f"c{number}", JsonText(f'{{"compartment_id":"c{number}"}}'.encode())) for number in range(count)]
    events = [
        CompartmentRegistered(
            f"{number:08x}-0000-4000-8000-000000000000", "2026-11-23T08:15:00Z", LOCKER, CompartmentPayload(name), text
        )
        for number, (name, text) in enumerate(payloads)
    ]
    log_path.write_bytes(b"".join(encode_lines(events, "2026-11-23T08:15:00Z", START)[0]))

    with open_store(log_path) as store:
        assert store._projection.stored.run.position * 2 > index.MEMTABLE_MIN

    with open_store(log_path) as store:
        assert len(store._projection.cache.ids.memtable) < index.MEMTABLE_MIN
        for number in (0, 62, 63, 64, 65, 127, 128, 20_000, count - 1):
            again = fault_reported(event_id=events[number].event_id)
            assert ingest_and_checkpoint(store, again) == [Duplicate(number + 1)]
        assert ingest_and_checkpoint(store, registered("c17")) == [COMPARTMENT_ALREADY_REGISTERED]


def test_a_rebuilt_projection_names_the_last_run_of_its_rebuild(
    log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MEMTABLE_MIN", MEMTABLE_IDS)
    monkeypatch.setattr(catch_up, "CHUNK_RECORDS", 10)
    with open_store(log_path) as store:
        for bodies in HISTORIES:
            ingest_and_checkpoint(store, *bodies)
    projection_path(log_path).unlink()

    for capacity in (1, 5, CAPACITY):
        with closing(EmbeddedStore(log_path, capacity)) as store:
            assert store._projection.stored.run == store._projection._compactor.run != NO_RUN
        assert not list(log_path.parent.glob("*.new.*"))
        rebuild(log_path, capacity)
    assert_all_ids_are_known(log_path, BODIES[:-2])
