"""Random batches before, during and after checkpoints that are committed, fail or crash, compared with the model.

The row cache holds one to five rows over a real SQLite projection, and the id index is compacted every dozen ids.
"""

from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from lockstream.core.entities.log import Cursor, Record
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import ignore_progress
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.id_index import index
from lockstream.infrastructure.id_index.index import compartment_id_of, reservation_id_of
from lockstream.infrastructure.sqlite.cached_projection import CachedProjection
from lockstream.infrastructure.sqlite.database import reading_engine
from lockstream.infrastructure.sqlite.listings import SqliteListings
from lockstream.infrastructure.sqlite.overlay_reads import OverlayReads
from lockstream.infrastructure.sqlite.projection import SqliteProjection, projection_reads
from lockstream.infrastructure.stores.memory import MemoryLog
from lockstream.infrastructure.stores.unit_of_work import UnitOfWork
from lockstream.tests.infrastructure.sqlite.trouble import interrupted
from lockstream.tests.infrastructure.stores.comparison import assert_reads_match, in_model_terms
from lockstream.tests.infrastructure.stores.listing_queries import ALL
from lockstream.tests.infrastructure.stores.model import Model
from lockstream.tests.infrastructure.stores.network import MEMORY_DISK
from lockstream.tests.infrastructure.stores.random_events import Data, Sender
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import Body, event

BATCHES = st.integers(0, 4)


class ReadableMemoryLog:
    """A log in memory, which lists read up to the position of their snapshot."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def records(self, positions: Iterable[int], end: Cursor) -> list[Record]:
        return self._log.records(positions)

    def event_ids(self, first: int, count: int, end: Cursor) -> dict[str, int]:
        ids = self._log.event_ids(first, count)
        return {used: position for used, position in ids.items() if position <= end.position}

    def close(self) -> None:
        return


class Checkpoints(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory(dir=MEMORY_DISK)
        self.path = Path(self.directory.name) / "projection.sqlite"
        SqliteProjection.create(self.path).close()
        self.engine = reading_engine(self.path)
        self.stored_reads = projection_reads(self.engine)
        self.log = MemoryLog()
        self.listings = SqliteListings(self.path, ReadableMemoryLog(self.log))
        self.model = Model()
        self.sender = Sender(self.model)
        self.stored_model = Model()
        """The expected content of SQLite: a copy of the model, made when the last written checkpoint began."""

    @initialize(capacity=st.integers(1, 5))
    def start(self, capacity: int) -> None:
        self.capacity = capacity
        self.projection = CachedProjection.open(self.path, capacity)

    @rule(data=st.data(), batches=BATCHES)
    def ingest(self, data: Data, batches: int) -> None:
        for _ in range(batches):
            batch = self._batch(data)
            outcomes = ingest([event(body) for body in batch], self._unit_of_work())
            assert [in_model_terms(outcome) for outcome in outcomes] == [self.model.expect(body) for body in batch]
        self._assert_matches_model()

    @rule(data=st.data())
    def abandon_batch(self, data: Data) -> None:
        def fail(outcomes: object) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            ingest([event(body) for body in self._batch(data)], self._unit_of_work(), fail)
        self._assert_matches_model()

    @rule(data=st.data(), before=BATCHES, after=BATCHES, restarts=st.booleans())
    def write_checkpoint(self, data: Data, before: int, after: int, restarts: bool) -> None:
        """Write a checkpoint, with batches `before` and `after`. It is committed, or lost with the process."""
        checkpoint, model = self.projection.begin_checkpoint(), deepcopy(self.model)
        self.ingest(data, before)
        self.log.flush()
        checkpoint.write()
        self._assert_stored(model)
        self.ingest(data, after)
        if restarts:
            self._restart()
        else:
            checkpoint.commit()
        self.ingest(data, after)

    @rule(data=st.data(), during=BATCHES, is_tried=st.booleans())
    def roll_back_checkpoint(self, data: Data, during: int, is_tried: bool) -> None:
        """Roll a checkpoint back, whether its write has failed, or the log has failed before it."""
        cache = self.projection.cache
        is_needed = cache.reached != cache.checkpointed
        checkpoint = self.projection.begin_checkpoint()
        self.ingest(data, during)
        if is_tried and is_needed:
            with interrupted(self.projection.stored), pytest.raises(StoreUnavailable):
                checkpoint.write()
        checkpoint.rollback()
        self._assert_stored(self.stored_model)
        self._assert_matches_model()

    @rule(data=st.data(), batches=BATCHES)
    def discard_unflushed(self, data: Data, batches: int) -> None:
        self.log.flush()
        durable_model = deepcopy(self.model)
        self.ingest(data, batches)
        if data.draw(st.booleans()):
            self.projection.begin_checkpoint().rollback()  # may begin a compaction of ids that are then discarded
        del self.log._lines[self.log.durable.position :]
        self.log.end = self.log.durable
        self.model = self.sender.model = durable_model

        self.projection.discard_unflushed(self.log)

        self._assert_matches_model()

    def teardown(self) -> None:
        self.listings.close()
        self.projection.close()
        self.engine.dispose()
        self.directory.cleanup()

    def _restart(self) -> None:
        self.log.flush()
        self.projection.close()
        self.projection = CachedProjection.open(self.path, self.capacity)
        assert self.projection.cache.reached.position == len(self.stored_model.accepted)
        self.projection.catch_up(self.log, ignore_progress)
        self.projection.checkpoint()
        self._assert_stored(self.model)
        self._assert_matches_model()

    def _batch(self, data: Data) -> list[Body]:
        batch: list[Body] = []
        for _ in range(data.draw(st.integers(1, 3))):
            is_again = self.sender.sent and not data.draw(st.integers(0, 4))
            batch.append(self.sender.resend(data) if is_again else self.sender.draw(data))
        return batch

    def _unit_of_work(self) -> UnitOfWork:
        return UnitOfWork(self.log, self.projection.cache)

    def _assert_matches_model(self) -> None:
        cache, model = self.projection.cache, self.model
        assert cache.reached == self.log.end
        assert_reads_match(model, OverlayReads(cache, self.stored_reads, self.log))
        assert cache.ids.missing({str(event_id): position for event_id, position in model.positions.items()}) == []
        assert cache.ids.missing(dict.fromkeys(map(compartment_id_of, model.compartments), 0)) == []
        assert cache.ids.missing(dict.fromkeys(map(reservation_id_of, model.reservations), 0)) == []

    def _assert_stored(self, model: Model) -> None:
        self.stored_model = deepcopy(model)
        assert self.projection.stored.reached.position == len(model.accepted)
        assert_reads_match(model, self.stored_reads)
        found = self.listings.list(lambda lists: lists.search("", ALL).events)
        assert found == (sorted((str(one), position) for one, position in model.positions.items()), len(model.accepted))


def test_rows_and_reads_match_the_model_whatever_becomes_of_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MEMTABLE_MIN", 10)
    run_state_machine_as_test(Checkpoints, settings=budget(examples(40), stateful_step_count=12))
