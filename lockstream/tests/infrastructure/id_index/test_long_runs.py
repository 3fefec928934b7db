"""Runs that are made while a projection is made anew, from logs that are long or seem so."""

from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.events import CompartmentRegistered
from lockstream.core.entities.log import START
from lockstream.core.outcomes import Duplicate
from lockstream.core.rules import COMPARTMENT_ALREADY_REGISTERED
from lockstream.core.use_cases import catch_up
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.id_index import index as known_keys
from lockstream.infrastructure.sqlite.projection import RunRef
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.tests.infrastructure.id_index.test_sorted_run import (
    BODIES,
    LEAST,
    LIVES,
    assert_all_is_known,
    opened,
    taken_in,
)
from lockstream.tests.support.builders import LOCKER, fault_reported, registered
from lockstream.tests.support.histories import CAPACITY


def test_so_many_keys_that_they_are_merged_in_earnest(log_path: Path) -> None:
    count = 35_000  # each gives two keys
    payloads = [(f"c{number}", f'{{"compartment_id":"c{number}"}}'.encode()) for number in range(count)]
    events = [
        CompartmentRegistered(
            f"{number:08x}-0000-4000-8000-000000000000", "2026-11-23T08:15:00Z", LOCKER, payload, name
        )
        for number, (name, payload) in enumerate(payloads)
    ]
    log_path.write_bytes(encode_lines(events, "2026-11-23T08:15:00Z", START)[0])
    with opened(log_path) as store:
        assert store._projection.kept_run.position * 2 > known_keys.MEMTABLE_MIN
    with opened(log_path) as store:
        assert len(store._rows.known.recent) < known_keys.MEMTABLE_MIN
        for number in (0, 62, 63, 64, 65, 127, 128, 20_000, count - 1):
            assert taken_in(store, fault_reported(event_id=events[number].event_id)) == [Duplicate(number + 1)]
        assert taken_in(store, registered("c17")) == [COMPARTMENT_ALREADY_REGISTERED]


def test_a_run_merged_last_is_named_when_all_is_made_anew(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "MEMTABLE_MIN", LEAST)
    monkeypatch.setattr(catch_up, "CHUNK", 10)
    with opened(log_path) as store:
        for one in LIVES:
            taken_in(store, *one)
    projection_path(log_path).unlink()
    for capacity in (1, 5, CAPACITY):
        with closing(EmbeddedStore(log_path, capacity)) as store:
            assert store._projection.kept_run == store._projection.run != RunRef()
        assert not list(log_path.parent.glob("*.new.*"))
        rebuild(log_path, capacity)
    assert_all_is_known(log_path, BODIES[:-2])
