"""Runs that are made while a projection is made anew, from logs that are long or seem so."""

from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.decide import COMPARTMENT_ALREADY_REGISTERED
from lockstream.core.entities.events import CompartmentRegistered
from lockstream.core.entities.log import START
from lockstream.core.outcomes import Duplicate
from lockstream.core.use_cases import catch_up
from lockstream.infrastructure import known_keys
from lockstream.infrastructure.embedded import EmbeddedStore, projection_path, rebuild
from lockstream.infrastructure.line_codec import encode_lines
from lockstream.infrastructure.projection import KeptRun
from lockstream.tests.crash.history import CAPACITY
from lockstream.tests.given import LOCKER, fault_reported, registered
from lockstream.tests.stores.test_runs import BODIES, LEAST, LIVES, assert_all_is_known, opened, taken_in


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
        assert store._projection.kept_run.position * 2 > known_keys.RECENT_LEAST
    with opened(log_path) as store:
        assert len(store._rows.known.recent) < known_keys.RECENT_LEAST
        for number in (0, 62, 63, 64, 65, 127, 128, 20_000, count - 1):
            assert taken_in(store, fault_reported(event_id=events[number].event_id)) == [Duplicate(number + 1)]
        assert taken_in(store, registered("c17")) == [COMPARTMENT_ALREADY_REGISTERED]


def test_a_run_merged_last_is_named_when_all_is_made_anew(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "RECENT_LEAST", LEAST)
    monkeypatch.setattr(catch_up, "CHUNK", 10)
    with opened(log_path) as store:
        for one in LIVES:
            taken_in(store, *one)
    projection_path(log_path).unlink()
    for capacity in (1, 5, CAPACITY):
        with closing(EmbeddedStore(log_path, capacity)) as store:
            assert store._projection.kept_run == store._projection.run != KeptRun()
        assert not list(log_path.parent.glob("*.new.*"))
        rebuild(log_path, capacity)
    assert_all_is_known(log_path, BODIES[:-2])
