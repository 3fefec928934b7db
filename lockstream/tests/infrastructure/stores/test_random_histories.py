"""Thousands of random steps in the history of a network, on every store, compared with the independent model."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lockstream.core.entities.listings import HistoryQuery
from lockstream.core.entities.log import START
from lockstream.core.errors import StoreUnavailable
from lockstream.core.ports import Listings
from lockstream.core.state_hash import state_hash
from lockstream.core.use_cases.time_travel import past_locker
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.id_index import index
from lockstream.tests.infrastructure.stores.comparison import assert_events_match, assert_reads_match, in_model_terms
from lockstream.tests.infrastructure.stores.model import Model
from lockstream.tests.infrastructure.stores.network import (
    MEMORY_DISK,
    EmbeddedNetwork,
    MemoryNetwork,
    Network,
    PostgresNetwork,
)
from lockstream.tests.infrastructure.stores.random_events import LOCKERS, Data, Sender
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import Body, event
from lockstream.tests.support.histories import hashes
from lockstream.tests.support.processes import file_size_limit

STEPS = 40
"""Steps of one history. With 75 histories, some 3,000 steps."""

HASH_OF: dict[object, str] = {}
STATE_OF: dict[str, object] = {}
"""State hashes of all histories on all stores, so that equal states which arose in different ways are compared."""


class Histories[NetworkT: Network[Any]](RuleBasedStateMachine):
    """The steps that every store must survive."""

    def __init__(self, network: NetworkT) -> None:
        super().__init__()
        self.network = network
        self.model = Model()
        self.sender = Sender(self.model)
        self.refused: list[Body] = []
        self.served: dict[int, dict[str, str]] = {}
        """The state hash of each locker that was served at a position, by locker id."""

    @rule(data=st.data(), is_checkpointed=st.booleans())
    def post(self, data: Data, is_checkpointed: bool) -> None:
        self._ingest([self.sender.draw(data)], is_checkpointed)

    @rule(data=st.data(), size=st.integers(2, 8), is_checkpointed=st.booleans())
    def post_batch(self, data: Data, size: int, is_checkpointed: bool) -> None:
        self._ingest(self._batch(data, size), is_checkpointed)

    @rule(data=st.data(), size=st.integers(1, 6))
    def abandon_batch(self, data: Data, size: int) -> None:
        self.network.abandon(*self._batch(data, size))

    @precondition(lambda self: self.sender.sent)
    @rule(data=st.data(), is_checkpointed=st.booleans())
    def resend(self, data: Data, is_checkpointed: bool) -> None:
        self._ingest([self.sender.resend(data)], is_checkpointed)

    @precondition(lambda self: self.refused)
    @rule(data=st.data(), is_checkpointed=st.booleans())
    def resend_refused_event(self, data: Data, is_checkpointed: bool) -> None:
        self._ingest([data.draw(st.sampled_from(self.refused))], is_checkpointed)

    @rule(data=st.data())
    def restart(self, data: Data) -> None:
        getattr(self.network, data.draw(st.sampled_from(self.network.restarts)))()
        self._assert_matches_model()
        self._assert_remembers(data)

    @precondition(lambda self: self.served)
    @rule(data=st.data())
    def read_the_past(self, data: Data) -> None:
        self._assert_remembers(data)

    @invariant()
    def log_holds_as_many_events_as_were_accepted(self) -> None:
        assert self.network.store.log.end.position == len(self.model.accepted)

    def teardown(self) -> None:
        try:
            self._assert_recovers_to_the_same_state()
            self._assert_log_holds_accepted_events()
        finally:
            self.network.close()

    def _batch(self, data: Data, size: int) -> list[Body]:
        batch: list[Body] = []
        for _ in range(size):
            is_again = self.sender.sent and not data.draw(st.integers(0, 4))
            batch.append(self.sender.resend(data) if is_again else self.sender.draw(data))
        return batch

    def _acceptable(self, batch: list[Body]) -> list[Body]:
        """Return the events of a batch that would be accepted."""
        model = deepcopy(self.model)
        return [body for body in batch if model.expect(body)[0] == "accepted"]

    def _ingest(self, bodies: list[Body], is_checkpointed: bool) -> None:
        outcomes = [in_model_terms(outcome) for outcome in self.network.ingest_and_flush(*bodies)]
        expected = [self.model.expect(body) for body in bodies]
        assert outcomes == expected
        self.refused += [body for body, (kind, _) in zip(bodies, expected, strict=True) if kind == "refused"]
        if is_checkpointed:
            self.network.checkpoint()
            self._assert_matches_model()

    def _assert_matches_model(self) -> None:
        reads = self.network.store.reads
        assert_reads_match(self.model, reads)
        assert_events_match(self.model, reads)
        served = hashes(reads)
        for locker, served_hash in served.items():
            state = self.model.canonical(locker)
            assert HASH_OF.setdefault(state, served_hash) == served_hash
            assert STATE_OF.setdefault(served_hash, state) == state
        assert self.served.setdefault(len(self.model.accepted), served) == served

    def _assert_remembers(self, data: Data) -> None:
        """Assert that the lists know all events up to theirs, and the states that were served at a position."""
        position = data.draw(st.sampled_from(sorted(self.served)))

        def compare(lists: Listings) -> None:
            accepted = self.model.accepted[: lists.position]
            for locker_id in LOCKERS:
                found = lists.history(HistoryQuery(locker_id), None, 1_000) or []
                assert found == [at for at, body in enumerate(accepted, 1) if body["locker_id"] == locker_id]
                last = found[-5:]
                assert [record.event for record in lists.records(last)] == [event(accepted[at - 1]) for at in last]
            if position <= lists.position:
                states = [past_locker(lists, locker_id, position) for locker_id in LOCKERS]
                shown = {state.locker_id: state_hash(state.locker) for state in states if state}
                assert shown == self.served[position]

        self.network.store.list(compare)

    def _assert_recovers_to_the_same_state(self) -> None:
        self.network.checkpoint()
        live = hashes(self.network.store.reads)
        for way in self.network.restarts:
            getattr(self.network, way)()
            assert hashes(self.network.store.reads) == live
            self._assert_matches_model()

    def _assert_log_holds_accepted_events(self) -> None:
        log = self.network.store.log
        records = list(log.read(START))
        assert [record.event for record in records] == [event(body) for body in self.model.accepted]
        assert [record.end.position for record in records] == list(range(1, len(records) + 1))
        assert (records[-1].end if records else START) == log.end


class EmbeddedHistories(Histories[EmbeddedNetwork]):
    """Further steps that only a log in a file and a projection beside it can take."""

    def __init__(self) -> None:
        self.directory = TemporaryDirectory(dir=MEMORY_DISK)
        super().__init__(EmbeddedNetwork(Path(self.directory.name) / "event_log.jsonl"))

    @rule()
    def remember_projection(self) -> None:
        self.network.remember_projection()

    @rule(data=st.data(), size=st.integers(1, 4), share=st.floats(0, 1))
    def crash_while_a_batch_is_written(self, data: Data, size: int, share: float) -> None:
        lines, end = [], self.network.store.log.end
        for accepted in self._acceptable(self._batch(data, size)):
            [line], end = encode_lines([event(accepted)], "2026-11-23T08:15:00Z", end)
            lines.append((line, accepted))
        written = b"".join(line for line, _ in lines)
        torn = written[: round(share * len(written))]
        self.network.crash(torn)
        for line, accepted in lines:
            # A line without its line end is a whole record. It counts, because it may have been acknowledged.
            if len(torn) < len(line) - 1:
                break
            torn = torn[len(line) :]
            self.model.expect(accepted)
        self._assert_matches_model()

    @rule(data=st.data(), size=st.integers(1, 4), room=st.integers(0, 600))
    def post_batch_while_the_disk_is_full(self, data: Data, size: int, room: int) -> None:
        batch = self._batch(data, size)
        acceptable = self._acceptable(batch)
        if not acceptable:
            return self._ingest(batch, is_checkpointed=True)

        before = self.network.path.stat().st_size
        room = min(room, 250 * len(acceptable))
        with file_size_limit(before + room), pytest.raises(StoreUnavailable):
            self.network.ingest_and_flush(*batch)
        with pytest.raises(StoreUnavailable):
            self.network.ingest_and_flush(*batch)
        self.network.store.discard_unflushed()
        self._assert_matches_model()

        written = self.network.path.read_bytes()[before:]
        self.network.reopen()
        survived = self.network.store.log.end.position - len(self.model.accepted)
        assert survived - written.count(b"\n") in (0, 1)
        for body in acceptable[:survived]:
            self.model.expect(body)
        return self._assert_matches_model()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.directory.cleanup()


@pytest.fixture(autouse=True)
def small_memtable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a history of a few dozen events compact the id index."""
    monkeypatch.setattr(index, "MEMTABLE_MIN", 10)


def run(new_machine: Callable[[], RuleBasedStateMachine], count: int) -> None:
    """Run `count` random histories of `STEPS` steps, each on a new state machine."""
    run_state_machine_as_test(new_machine, settings=budget(examples(count), stateful_step_count=STEPS))  # type: ignore[arg-type]


def test_any_history_on_the_memory_store_matches_the_model() -> None:
    run(lambda: Histories(MemoryNetwork()), 75)


def test_any_history_on_the_postgres_store_matches_the_model(database: str) -> None:
    run(lambda: Histories(PostgresNetwork(database)), 25)


def test_any_history_on_the_embedded_store_matches_the_model() -> None:
    run(EmbeddedHistories, 75)
