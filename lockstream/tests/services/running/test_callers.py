"""Group commit: events of callers with keys, and of callers that are bound to lockers."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from lockstream.core.entities.access import Caller, Lockers
from lockstream.core.entities.events import Event, KeyId
from lockstream.core.entities.log import START
from lockstream.core.errors import LockerNotAllowed, QueueFull
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.services.running.access.access import Access
from lockstream.services.running.group_commit import Origin
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import Body, event, registered
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.faulty_store import FaultyStore
from lockstream.tests.support.memory_system import open_in_memory

OPERATOR = Caller(KeyId("0perat0r"))
LOCKER = Caller(KeyId("l0ckerK1"), lockers=Lockers.of(["mine"]))


class Noted:
    """Notes the events that were refused for their lockers, with their addresses."""

    def __init__(self, system: System) -> None:
        self.refused: list[tuple[str, list[str]]] = []
        system.group_commit.on_not_allowed = self._note

    def _note(self, errors: Sequence[LockerNotAllowed], origin: Origin) -> None:
        assert {error.key_id for error in errors} == {origin.caller.key_id}
        self.refused.append((origin.address, [error.locker_id for error in errors]))


def origin_of(bodies: Sequence[Body], caller: Caller) -> Origin:
    return Origin("192.0.2.7", [json.dumps(body).encode() for body in bodies], caller=caller)


def events_of(bodies: Sequence[Body]) -> list[Event]:
    return [event(body) for body in bodies]


def keys_in(store: FaultyStore) -> list[str]:
    return [record.event.recorded_by for record in store.log.read(START)]


def test_texts_of_several_callers_are_decided_together_and_bear_their_keys(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        noted = Noted(system)
        given = [(OPERATOR, "a"), (LOCKER, "mine"), (LOCKER, "theirs"), (Caller(), "b")]
        texts = [(json.dumps(registered(locker=locker)).encode(), caller) for caller, locker in given]
        submitted = [system.group_commit.submit_text(text, "192.0.2.7", caller) for text, caller in texts]
        results = await asyncio.gather(*submitted, return_exceptions=True)
        error = results.pop(2)
        assert isinstance(error, LockerNotAllowed)
        assert (error.key_id, error.locker_id) == ("l0ckerK1", "theirs")
        assert [one[1] for one in results if not isinstance(one, BaseException)] == [Accepted(n) for n in (1, 2, 3)]
        assert noted.refused == [("192.0.2.7", ["theirs"])]
        assert store.batches == [3]
        await system.close()

    run(check())
    assert keys_in(store) == ["0perat0r", "l0ckerK1", ""]


def test_events_that_are_not_allowed_are_not_decided_and_harm_no_other(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        noted = Noted(system)
        bodies = [registered(str(number), locker=locker) for number, locker in enumerate(["x", "mine", "y", "mine"])]
        bodies.append(bodies[1])
        outcomes = await system.group_commit.submit(events_of(bodies), origin_of(bodies, LOCKER))
        assert [outcomes[index] for index in (1, 3, 4)] == [Accepted(1), Accepted(2), Duplicate(1)]
        assert [type(outcomes[index]) for index in (0, 2)] == [LockerNotAllowed] * 2
        assert noted.refused == [("192.0.2.7", ["x", "y"])]
        await system.close()

    run(check())
    assert keys_in(store) == ["l0ckerK1"] * 2


def test_events_that_are_all_not_allowed_wait_for_nothing_and_take_no_room(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store, queue_limit=3)
        bodies = [registered(str(number), locker="theirs") for number in range(50)]
        outcomes = await system.group_commit.submit(events_of(bodies), origin_of(bodies, LOCKER))
        assert {type(outcome) for outcome in outcomes} == {LockerNotAllowed}
        assert system.group_commit.unavailable_reason is None
        assert await system.post(*[registered(str(number)) for number in range(3)]) == [Accepted(n) for n in (1, 2, 3)]
        await system.close()

    run(check())


def test_a_text_that_is_not_allowed_leaves_the_queue(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store, queue_limit=1)
        for _ in range(5):
            with pytest.raises(LockerNotAllowed):
                await system.group_commit.submit_text(json.dumps(registered(locker="x")).encode(), "", LOCKER)
        assert await system.post(registered()) == [Accepted(1)]
        await system.close()

    run(check())


def test_a_full_queue_refuses_a_request_before_its_events_are_noted_as_not_allowed(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store, queue_limit=1)
        noted = Noted(system)
        store.shut_gate()
        waiting = system.post(registered())
        await asyncio.sleep(0)
        bodies = [registered(locker="mine"), registered(locker="theirs")]
        with pytest.raises(QueueFull):
            await system.group_commit.submit(events_of(bodies), origin_of(bodies, LOCKER))
        assert noted.refused == []
        store.open_gate()
        await waiting
        await system.close()

    run(check())


def test_a_request_that_is_cancelled_while_its_events_wait_harms_nothing(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        bodies = [registered(locker="mine"), registered(locker="theirs")]
        deciding = asyncio.ensure_future(system.group_commit.submit(events_of(bodies), origin_of(bodies, LOCKER)))
        await asyncio.sleep(0)
        deciding.cancel()
        assert await system.post(registered()) == [Accepted(2)], "an event that was submitted is decided"
        await system.close()

    run(check())


def test_an_error_of_the_note_harms_no_request(store: FaultyStore, caplog: pytest.LogCaptureFixture) -> None:
    def fail(errors: Sequence[LockerNotAllowed], origin: Origin) -> None:
        raise ZeroDivisionError

    async def check() -> None:
        system = System(store)
        system.group_commit.on_not_allowed = fail
        bodies = [registered(locker="mine"), registered(locker="theirs")]
        texts = [system.group_commit.submit_text(json.dumps(body).encode(), "", LOCKER) for body in bodies]
        accepted, refused = await asyncio.gather(*texts, return_exceptions=True)
        assert not isinstance(accepted, BaseException)
        assert isinstance(refused, LockerNotAllowed)
        again = await system.group_commit.submit(events_of(bodies), origin_of(bodies, LOCKER))
        assert again[0] == Duplicate(1)
        await system.close()

    run(check())
    assert caplog.text.count("could not be noted") == 2


class NotingAccess(Access):
    """An open system that notes refused requests in a list instead of an audit log."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, str, str, str, int]] = []

    def note_refusal(self, key_id: str, address: str, operation: str, code: str, count: int = 1) -> None:
        self.noted.append((key_id, address, operation, code, count))


def test_the_running_system_tells_the_audit_log_of_events_that_are_not_allowed() -> None:
    async def check() -> None:
        lockstream = open_in_memory()
        lockstream.bind_running_loop()
        lockstream.access = noting
        bodies = [registered(locker="theirs"), registered(locker="mine"), registered(locker="others")]
        await lockstream.ingest(events_of(bodies), origin_of(bodies, LOCKER))
        with pytest.raises(LockerNotAllowed):
            await lockstream.ingest_text(json.dumps(bodies[0]).encode(), "192.0.2.8", LOCKER)
        await lockstream.close()

    noting = NotingAccess()
    run(check())
    assert noting.noted == [
        (LOCKER.key_id, "192.0.2.7", "report", "locker_not_allowed", 2),
        (LOCKER.key_id, "192.0.2.8", "report", "locker_not_allowed", 1),
    ]
