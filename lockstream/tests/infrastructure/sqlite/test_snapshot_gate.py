"""The snapshot gate, and the size of SQLite's write-ahead log while lists overlap without a pause."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from lockstream.core.entities.listings import ReservationQuery
from lockstream.core.ports import Listings
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.sqlite import database
from lockstream.infrastructure.sqlite.snapshot_gate import SnapshotGate
from lockstream.infrastructure.stores.embedded import EmbeddedStore, projection_path
from lockstream.tests.support.builders import event, registered, reserved

TIMEOUT_SECONDS = 60

CHECKPOINTS = 120


def test_a_shut_gate_waits_for_open_snapshots_and_new_ones_wait_for_it() -> None:
    gate, is_shut, may_open, order = SnapshotGate(), Event(), Event(), list[str]()

    def shut() -> None:
        with gate.shut():
            order.append("shut")
            is_shut.set()
            assert may_open.wait(TIMEOUT_SECONDS)
            order.append("opened")

    def take_snapshot() -> None:
        with gate.snapshot():
            order.append("snapshot")

    shutting, waiting = Thread(target=shut), Thread(target=take_snapshot)
    with gate.snapshot(), gate.snapshot():
        # given open snapshots, when the gate is being shut, then it waits for them
        shutting.start()
        assert not is_shut.wait(0.05)
    assert is_shut.wait(TIMEOUT_SECONDS)
    # and a snapshot waits for the gate
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    may_open.set()
    for thread in (shutting, waiting):
        thread.join(TIMEOUT_SECONDS)
    assert order == ["shut", "opened", "snapshot"]


def test_the_write_ahead_log_stays_small_while_lists_overlap(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAL_CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(database, "LONG_WAL_BYTES", 100 * 4096)
    sizes, is_done = list[int](), Event()
    with closing(EmbeddedStore(log_path, 10_000)) as store, ThreadPoolExecutor(2) as pool:
        ingest([event(registered(str(number))) for number in range(100)], store.unit_of_work())
        store.checkpoint()
        # given two lists, one of which always begins before the other one ends
        one_may_end, other_may_end = Event(), Event()

        def list_on(this: Event, other: Event) -> None:
            def query(listings: Listings) -> None:
                other.set()
                listings.reservations(ReservationQuery(), None, 1_000)
                this.wait(0.02)
                this.clear()

            while not is_done.is_set():
                store.list(query)

        listing = [
            pool.submit(list_on, one_may_end, other_may_end),
            pool.submit(list_on, other_may_end, one_may_end),
        ]
        # when many checkpoints are written meanwhile
        for number in range(CHECKPOINTS):
            bodies = [reserved(f"r{number}-{one}", str(one), locker=f"L{number}") for one in range(20)]
            doors = [registered(str(one), locker=f"L{number}") for one in range(20)]
            ingest([event(body) for body in (*doors, *bodies)], store.unit_of_work())
            store.log.flush()
            checkpoint = store.begin_checkpoint()
            store.write(checkpoint)
            checkpoint.commit()
            sizes.append(projection_path(log_path).with_name(f"{projection_path(log_path).name}-wal").stat().st_size)
        is_done.set()
        for one in listing:
            one.result()
    # then the file has been begun anew each time that it was long
    assert max(sizes) < 300 * 4096
