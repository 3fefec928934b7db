"""Thousands of random steps in the life of a network, on every store, against the independent model."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lockstream.core.entities.log import START
from lockstream.core.errors import StoreUnavailable
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.id_index import index as known_keys
from lockstream.tests.infrastructure.stores.model import Model
from lockstream.tests.infrastructure.stores.network import KINDS, Network
from lockstream.tests.infrastructure.stores.state_machine import Data, Sender, hashes, hold_views_to, told
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import Body, event

STEPS = 40
"""Of one life: together some 3,000 steps on each store."""

HASH_OF: dict[object, str] = {}
STATE_OF: dict[str, object] = {}
"""Over all lives on all stores, so that equal states that came about in different ways meet."""


class Lives(RuleBasedStateMachine):
    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.network = Network(self.kind, Path(self.directory.name) / "event_log.jsonl")
        self.model = Model()
        self.sender = Sender(self.model)
        self.refused: list[Body] = []
        self.former = self.network.projection_files()

    @rule(data=st.data(), settled=st.booleans())
    def post(self, data: Data, settled: bool) -> None:
        self._ingest([self.sender.draw(data)], settled)

    @rule(data=st.data(), size=st.integers(2, 8), settled=st.booleans())
    def post_batch(self, data: Data, size: int, settled: bool) -> None:
        self._ingest(self._batch(data, size), settled)

    @rule(data=st.data(), size=st.integers(1, 6))
    def abandon_a_batch(self, data: Data, size: int) -> None:
        self.network.abandon(*self._batch(data, size))

    @precondition(lambda self: self.sender.sent)
    @rule(data=st.data(), settled=st.booleans())
    def resend(self, data: Data, settled: bool) -> None:
        self._ingest([self.sender.resend(data)], settled)

    @precondition(lambda self: self.refused)
    @rule(data=st.data(), settled=st.booleans())
    def resend_what_was_refused(self, data: Data, settled: bool) -> None:
        self._ingest([data.draw(st.sampled_from(self.refused))], settled)

    @rule(how=st.sampled_from(["reopen", "crash", "power failure", "rebuild"]))
    def stop_and_start(self, how: str) -> None:
        self._stop_and_start(how)
        self._hold_to_model()

    @rule()
    def remember_the_projection_for_a_power_failure(self) -> None:
        self.former = self.network.projection_files()

    @precondition(lambda self: self.network.kind == "embedded")
    @rule(data=st.data(), size=st.integers(1, 4), share=st.floats(0, 1))
    def crash_while_a_batch_is_written(self, data: Data, size: int, share: float) -> None:
        lines, end = [], self.network.store.log.end
        for accepted in self._acceptable(self._batch(data, size)):
            line, end = encode_lines([event(accepted)], "2026-11-23T08:15:00Z", end)
            lines.append((line, accepted))
        written = b"".join(line for line, _ in lines)
        torn = written[: round(share * len(written))]
        self.network.crash(torn=torn)
        for line, accepted in lines:
            # A line that lacks only its end is whole, and whether anybody was told of it is unknown: it counts.
            if len(torn) < len(line) - 1:
                break
            torn = torn[len(line) :]
            self.model.expect(accepted)
        self._hold_to_model()

    @precondition(lambda self: self.network.kind == "embedded")
    @rule(data=st.data(), size=st.integers(1, 4), room=st.integers(0, 600))
    def post_a_batch_while_the_disk_is_full(self, data: Data, size: int, room: int) -> None:
        batch = self._batch(data, size)
        acceptable = self._acceptable(batch)
        if not acceptable:
            return self._ingest(batch, settled=True)
        before = self.network.path.stat().st_size
        room = min(room, 250 * len(acceptable))
        with _file_size_limit(before + room), pytest.raises(StoreUnavailable):
            self.network.ingest_unsettled(*batch)
        with pytest.raises(StoreUnavailable):
            self.network.ingest_unsettled(*batch)
        self.network.store.fall_back()
        self._hold_to_model()
        written = self.network.path.read_bytes()[before:]
        self.network.reopen()
        survived = self.network.store.log.end.position - len(self.model.accepted)
        assert survived - written.count(b"\n") in (0, 1)
        for body in acceptable[:survived]:
            self.model.expect(body)
        return self._hold_to_model()

    @invariant()
    def the_log_holds_as_many_events_as_were_accepted(self) -> None:
        assert self.network.store.log.end.position == len(self.model.accepted)

    def teardown(self) -> None:
        try:
            self._recovers_to_the_same()
            self._log_holds_what_was_accepted()
        finally:
            self.network.close()
            self.directory.cleanup()

    def _stop_and_start(self, how: str) -> None:
        match how:
            case "reopen":
                self.network.reopen()
            case "crash":
                self.network.crash()
            case "power failure":
                self.network.crash(self.former)
            case _:
                self.network.rebuild()

    def _batch(self, data: Data, size: int) -> list[Body]:
        batch: list[Body] = []
        for _ in range(size):
            again = self.sender.sent and not data.draw(st.integers(0, 4))
            batch.append(self.sender.resend(data) if again else self.sender.draw(data))
        return batch

    def _acceptable(self, batch: list[Body]) -> list[Body]:
        """Those that would be accepted."""
        model = deepcopy(self.model)
        return [body for body in batch if model.expect(body)[0] == "accepted"]

    def _ingest(self, bodies: list[Body], settled: bool) -> None:
        outcomes = [told(outcome) for outcome in self.network.ingest_unsettled(*bodies)]
        expected = [self.model.expect(body) for body in bodies]
        assert outcomes == expected
        self.refused += [body for body, (what, _) in zip(bodies, expected, strict=True) if what == "refused"]
        if settled:
            self.network.store.checkpoint()
            self._hold_to_model()

    def _hold_to_model(self) -> None:
        queries = self.network.store.queries
        hold_views_to(self.model, queries)
        for locker, state_hash in hashes(queries).items():
            state = self.model.canonical(locker)
            assert HASH_OF.setdefault(state, state_hash) == state_hash
            assert STATE_OF.setdefault(state_hash, state) == state

    def _recovers_to_the_same(self) -> None:
        self.network.store.checkpoint()
        live = hashes(self.network.store.queries)
        for how in ("crash", "power failure", "rebuild"):
            self._stop_and_start(how)
            assert hashes(self.network.store.queries) == live
            self._hold_to_model()

    def _log_holds_what_was_accepted(self) -> None:
        log = self.network.store.log
        records = list(log.read(START))
        assert [record.event for record in records] == [event(body) for body in self.model.accepted]
        assert [record.end.position for record in records] == list(range(1, len(records) + 1))
        assert (records[-1].end if records else START) == log.end


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    """Have the system refuse every write beyond `size` bytes in a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
def test_any_life_goes_as_the_model_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "MEMTABLE_MIN", 10)  # so that a life of some dozens of events makes runs
    lives = type(f"LivesOn{kind}", (Lives,), {"kind": kind})
    run_state_machine_as_test(lives, settings=budget(examples(75), stateful_step_count=STEPS))
