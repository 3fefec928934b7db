"""The quarantine of the running system: what is noted, when it is written, and what happens if that fails."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from lockstream.core.entities.quarantine import (
    MALFORMED_BODIES,
    MALFORMED_BYTES,
    Entry,
    EntryKind,
    QuarantineChanges,
    QuarantineLimits,
    QuarantineQuery,
)
from lockstream.core.entities.subjects import Subject
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate, Refusal
from lockstream.core.ports import Listings, ReadResult
from lockstream.core.rules import UNKNOWN_COMPARTMENT
from lockstream.infrastructure.quarantine.store import FileQuarantine
from lockstream.services.running.group_commit import GroupCommit, Origin
from lockstream.services.running.quarantine import buffer as quarantine_buffer
from lockstream.services.running.quarantine import quarantine as quarantine_module
from lockstream.services.running.quarantine.buffer import Arrival, QuarantineBuffer
from lockstream.services.running.quarantine.quarantine import Quarantine
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import Body, deposited, event, registered, reserved
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.faulty_store import FaultyStore

ALL = QuarantineQuery()
HERE = Origin("192.0.2.1")


class FailingStore(FileQuarantine):
    """A store in memory whose writes fail on demand."""

    failure: Exception | None = None

    def __init__(self) -> None:
        super().__init__(QuarantineLimits())
        self.writes = 0

    def write(self, changes: QuarantineChanges) -> int:
        self.writes += 1
        if self.failure:
            raise self.failure
        return super().write(changes)


class Noted:
    """A quarantine behind the group commit of a store. For one event loop."""

    def __init__(self, store: FaultyStore) -> None:
        self.store = FailingStore()
        self.system = System(store)
        self.quarantine = Quarantine(self.store, self.system.engine)
        self.system.group_commit = GroupCommit(self.system.engine, 1_000, self.quarantine)

    async def ids(self) -> list[str]:
        return [entry.event_id for entry in await self.quarantine.entries(ALL, None, 100)]

    async def close(self) -> None:
        await self.system.group_commit.close()
        await self.quarantine.close()
        await self.system.engine.close()


@pytest.fixture
def quick_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_module, "WRITE_SECONDS", 0.01)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the condition is changed by a thread
        await asyncio.sleep(0.002)


def test_a_refusal_is_noted_although_the_client_has_gone(store: FaultyStore) -> None:
    async def scenario() -> None:
        noted, refused = Noted(store), deposited()
        posting = noted.system.post(refused)
        await asyncio.sleep(0)
        posting.cancel()
        await noted.system.post(registered())
        assert await noted.ids() == [refused["event_id"]]
        await noted.close()

    run(scenario())


def test_nothing_is_noted_of_events_that_are_not_acknowledged(store: FaultyStore) -> None:
    """The log fails. The refusal depends on an event before it, which may never be durable."""

    async def scenario() -> None:
        noted, refused = Noted(store), reserved("r1", "missing")
        with store.failing_flushes():
            posting = noted.system.post(registered(), refused)
            with pytest.raises(StoreUnavailable):
                await posting
        assert await noted.ids() == []
        await noted.close()

    run(scenario())


def test_arrivals_of_a_second_are_written_together(store: FaultyStore, quick_writes: None) -> None:
    async def scenario() -> None:
        noted, refused = Noted(store), deposited()
        for _ in range(5):
            await noted.system.post(refused)
        await until(lambda: noted.store.writes > 0)
        [entry] = noted.store.entries(ALL, None, 10)
        assert entry.count == 5
        assert noted.store.writes == 1
        await noted.close()

    run(scenario())


def test_accepted_events_alone_cause_no_write(store: FaultyStore, quick_writes: None) -> None:
    async def scenario() -> None:
        noted = Noted(store)
        await noted.system.post(registered("c1"), registered("c2"))
        await asyncio.sleep(0.05)
        await noted.close()
        assert noted.store.writes == 0

    run(scenario())


def test_arrivals_wait_while_the_store_is_unavailable(
    store: FaultyStore, quick_writes: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        noted, first, second = Noted(store), deposited("r1"), reserved("r2")
        noted.store.failure = StoreUnavailable("The database is away.")
        await noted.system.post(first, second)
        noted.quarantine.note_malformed("missing", "Field required", b"{}", "")
        await until(lambda: noted.store.writes >= 3)
        await noted.system.post(first)
        await noted.system.post(registered(), second)  # accepted meanwhile
        noted.store.failure = None
        assert await noted.ids() == [first["event_id"]]
        assert [entry.count for entry in noted.store.entries(ALL, None, 10)] == [2]
        assert (await noted.quarantine.totals()).malformed == {"missing": 1}
        assert [body.body for body in await noted.quarantine.malformed(None, 10)] == ["{}"]
        await noted.close()

    run(scenario())
    assert [record.message for record in caplog.records if "The database is away." in record.message] == [
        "The quarantine cannot be written, and is kept in memory until it can. The database is away."
    ]


def test_a_read_of_an_unavailable_store_fails(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        noted = Noted(store)

        def fail(event_id: str) -> Entry | None:
            raise StoreUnavailable("The database is away.")

        monkeypatch.setattr(noted.store, "entry", fail)
        with pytest.raises(StoreUnavailable, match="away"):
            await noted.quarantine.entry("x")
        await noted.close()

    run(scenario())


def test_an_internal_error_of_one_write_does_not_stop_the_next(
    store: FaultyStore, quick_writes: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        noted, lost, kept = Noted(store), deposited("r1"), deposited("r2")
        noted.store.failure = ZeroDivisionError()
        await noted.system.post(lost)
        await until(lambda: noted.store.writes > 0)
        noted.store.failure = None
        await noted.system.post(kept)
        assert await noted.ids() == [kept["event_id"]]
        await noted.close()

    run(scenario())
    assert "are lost" in caplog.text
    caplog.clear()


def test_a_disk_that_failed_is_tried_again(
    store: FaultyStore, quick_writes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        noted = Noted(store)
        noted.store.is_behind = True
        await noted.system.post(deposited())
        await until(lambda: noted.store.writes >= 3)
        noted.store.is_behind = False
        await noted.close()

    run(scenario())


def test_a_close_writes_what_was_noted(store: FaultyStore) -> None:
    async def scenario() -> None:
        noted = Noted(store)
        await noted.system.post(deposited())
        await noted.close()
        assert len(noted.store.entries(ALL, None, 10)) == 1

    run(scenario())


def test_duplicates_beyond_the_limit_are_counted_and_not_compared(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_buffer, "COMPARED_DUPLICATES", 3)

    async def scenario() -> None:
        noted, accepted = Noted(store), registered("c1")
        await noted.system.post(accepted)
        other = accepted | {"payload": {"compartment_id": "c2"}}
        await noted.system.post(*[accepted] * 3, *[other] * 4)
        totals = await noted.quarantine.totals()
        assert (totals.unchecked_duplicates, totals.open) == (4, {})
        await noted.system.post(other)
        assert (await noted.quarantine.totals()).open == {"event_id_reused": 1}
        await noted.close()

    run(scenario())


class _NoLists:
    async def list[ValueT](
        self, query: Callable[[Listings], ValueT], at: int | None = None, subject: Subject | None = None
    ) -> ReadResult[ValueT]:
        raise StoreUnavailable("The projection cannot be written.")


def test_duplicates_that_cannot_be_compared_are_counted() -> None:
    async def scenario() -> None:
        quarantine = Quarantine(FileQuarantine(QuarantineLimits()), _NoLists())
        one = event(registered())
        quarantine.note([one, one], [Duplicate(1), Accepted(2)], lambda: HERE)
        assert (await quarantine.totals()).unchecked_duplicates == 1
        await quarantine.close()

    run(scenario())


def add(buffer: QuarantineBuffer, body: Body, address: str = "192.0.2.1", *, is_arrival: bool = True) -> None:
    arrival = Arrival.of(event(body), 0, Origin(address), "2026-11-23T08:15:00.000000Z")
    buffer.add_refused(arrival, UNKNOWN_COMPARTMENT, is_arrival=is_arrival)


def test_an_address_may_take_as_much_of_the_buffer_as_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_buffer, "BUFFERED_ENTRIES", 12)
    buffer = QuarantineBuffer()
    for number in range(100):
        add(buffer, deposited(f"r{number}"))
    for number in range(100):
        add(buffer, deposited(f"s{number}"), "192.0.2.2")
    add(buffer, deposited("t"), "192.0.2.3")
    changes = buffer.changes("")
    counts = Counter(entry.address for entry in changes.entries)
    assert counts == {"192.0.2.1": 6, "192.0.2.2": 3, "192.0.2.3": 1}
    assert changes.dropped == 94 + 97


def test_the_bytes_of_the_buffer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_buffer, "BUFFERED_BYTES", 3_000)
    buffer = QuarantineBuffer()
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"):
        add(buffer, deposited(note="x" * 1_000), address)
    add(buffer, deposited("small"), "192.0.2.3")
    changes = buffer.changes("")
    assert [entry.address for entry in changes.entries] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert changes.dropped == 2


def test_the_bytes_of_the_buffer_are_bounded_for_ids_that_come_again_with_larger_bodies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given small bodies of many ids
    monkeypatch.setattr(quarantine_buffer, "BUFFERED_BYTES", 100_000)
    buffer = QuarantineBuffer()
    small = [deposited(f"r{number}") for number in range(100)]
    for body in small:
        add(buffer, body)
    # when their ids come again with larger bodies
    large = [deposited(f"r{number}", event_id=body["event_id"], note="x" * 5_000) for number, body in enumerate(small)]
    for body in large:
        add(buffer, body)
    # then the buffer has the larger bodies that found room, the earlier bodies of the others, and counts all arrivals
    changes = buffer.changes("")
    bodies = [json.loads(entry.body) for entry in changes.entries]
    found_room = sum(body in large for body in bodies)
    assert 0 < found_room < 20
    assert sum(body in small for body in bodies) == 100 - found_room
    assert sum(len(entry.body) for entry in changes.entries) <= 100_000
    assert {entry.count for entry in changes.entries} == {2}
    assert changes.dropped == 0
    # and smaller bodies of these ids still find room
    for body in small:
        add(buffer, body)
    assert [json.loads(entry.body) for entry in buffer.changes("").entries] == small


def test_a_larger_body_of_another_locker_that_finds_no_room_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No locker learns of another locker's arrivals."""
    monkeypatch.setattr(quarantine_buffer, "BUFFERED_BYTES", 3_000)
    buffer, first = QuarantineBuffer(), deposited()
    add(buffer, first)
    add(buffer, deposited(event_id=first["event_id"], locker="other", note="x" * 5_000))
    changes = buffer.changes("")
    assert [(json.loads(entry.body), entry.count) for entry in changes.entries] == [(first, 1)]
    assert changes.dropped == 1


def test_a_new_decision_that_finds_no_room_is_not_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_buffer, "BUFFERED_ENTRIES", 0)
    buffer = QuarantineBuffer()
    add(buffer, deposited(), is_arrival=False)
    assert not buffer


def test_malformed_bodies_of_a_flood_are_counted_and_only_the_newest_are_written() -> None:
    buffer = QuarantineBuffer()
    for number in range(1_000):
        buffer.add_malformed("json_invalid", "", b"%05d" % number + b"\xff" * 5_000, "", "")
    changes = buffer.changes("")
    assert changes.malformed_counts == {"json_invalid": 1_000}
    assert sum(len(body.body) for body in changes.malformed) <= quarantine_buffer.MALFORMED_BYTES_A_WRITE
    assert {len(body.body) for body in changes.malformed} == {MALFORMED_BYTES}
    assert changes.malformed[-1].body.startswith("00999")


def test_changes_that_are_put_back_stand_before_newer_ones() -> None:
    older, newer = QuarantineBuffer(), QuarantineBuffer()
    first, second = deposited("r1"), deposited("r2")
    for buffer, bodies in ((older, [first, second]), (newer, [first])):
        for body in bodies:
            add(buffer, body)
    for number in range(MALFORMED_BODIES - 1):
        older.add_malformed("a", "", b"%d" % number, "", "")
    newer.add_malformed("b", "", b"newest", "", "")
    newer.add_accepted(event(second), 7)
    newer.put_back(older.changes(""))
    changes = newer.changes("")
    counts = {entry.event_id: entry.count for entry in changes.entries}
    assert counts == {first["event_id"]: 2, second["event_id"]: 1}
    assert [body.body for body in changes.malformed] == [*map(str, range(MALFORMED_BODIES - 1)), "newest"]
    assert changes.malformed_counts == {"a": MALFORMED_BODIES - 1, "b": 1}
    assert changes.accepted == [(event(second), 7)]


@pytest.mark.parametrize("is_written", [True, False])
def test_an_entry_with_other_content_than_the_accepted_event_stays(store: FaultyStore, is_written: bool) -> None:
    """Two devices use one id: the fact of the second one was refused, and that of the first one is accepted."""

    async def scenario() -> None:
        noted, first = Noted(store), registered()
        second = deposited(event_id=first["event_id"])
        await noted.system.post(second)
        if is_written:
            await noted.ids()
        await noted.system.post(first)
        entry = await noted.quarantine.entry(first["event_id"])
        assert entry
        assert (entry.kind, entry.code, entry.count) == (EntryKind.REUSED_ID, "event_id_reused", 1)
        assert json.loads(entry.body)["type"] == "ParcelDeposited"
        await noted.close()

    run(scenario())


@pytest.mark.parametrize("is_written", [True, False])
def test_an_entry_leaves_if_its_event_is_accepted_in_another_form(store: FaultyStore, is_written: bool) -> None:
    async def scenario() -> None:
        noted, late = Noted(store), reserved(note=[1.50])
        await noted.system.post(late)
        if is_written:
            await noted.ids()
        again = late | {"payload": dict(reversed(late["payload"].items())), "occurred_at": "2026-11-23T08:15:00Z"}
        await noted.system.post(registered(), again)
        assert await noted.ids() == []
        await noted.close()

    run(scenario())


def test_many_duplicates_with_other_texts_are_compared_only_in_part(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_module, "DIFFERING_BYTES", 1_000)

    async def scenario() -> None:
        noted, accepted = Noted(store), registered(a="x" * 300, b=1)
        await noted.system.post(accepted)
        swapped = accepted | {"payload": dict(reversed(accepted["payload"].items()))}
        await noted.system.post(*[accepted] * 100, *[swapped] * 5)
        totals = await noted.quarantine.totals()
        assert (totals.unchecked_duplicates, totals.open) == (3, {})
        await noted.close()

    run(scenario())


def test_a_reader_that_is_cancelled_loses_nothing(store: FaultyStore) -> None:
    async def scenario() -> None:
        noted = Noted(store)
        await noted.system.post(deposited())
        reading = asyncio.create_task(noted.quarantine.totals())
        await asyncio.sleep(0)
        reading.cancel()
        assert len(await noted.ids()) == 1
        await noted.close()

    run(scenario())


def test_an_error_in_the_quarantine_harms_no_request(
    store: FaultyStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        noted = Noted(store)

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(noted.quarantine, "note", fail)
        [outcome] = await noted.system.post(deposited())
        assert isinstance(outcome, Refusal)
        await noted.close()

    run(scenario())
    assert "could not be noted" in caplog.text
    caplog.clear()


def test_losses_are_logged(
    store: FaultyStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_buffer, "BUFFERED_ENTRIES", 2)

    async def scenario() -> None:
        noted = Noted(store)
        for _ in range(2):
            await noted.system.post(*(deposited(f"r{number}") for number in range(5)))
            await noted.quarantine.totals()
        await noted.close()

    run(scenario())
    assert [record.message for record in caplog.records] == [
        "The quarantine is full: 4 refused events were dropped. GET /quarantine shows the senders; "
        "LOCKSTREAM_QUARANTINE_ENTRIES and LOCKSTREAM_QUARANTINE_BYTES are its bounds."
    ]


def test_an_event_that_is_accepted_while_its_entry_is_written_leaves(store: FaultyStore) -> None:
    async def scenario() -> None:
        noted, late = Noted(store), reserved("r1")
        await noted.system.post(late)
        is_written, may_end = threading.Event(), threading.Event()
        write = noted.store.write

        def slow_write(changes: QuarantineChanges) -> int:
            is_written.set()
            assert may_end.wait(20)
            return write(changes)

        noted.store.write = slow_write  # type: ignore[method-assign]  # this store alone
        listing = asyncio.create_task(noted.ids())
        await asyncio.to_thread(is_written.wait)
        await noted.system.post(registered(), late)
        may_end.set()
        assert await listing == [late["event_id"]]
        assert await noted.ids() == []
        await noted.close()

    run(scenario())
