"""Nothing is acknowledged or shown before the flush that covers it, and a failed flush takes its events back."""

import asyncio
import os
from contextlib import nullcontext

import pytest

from lockstream.core.entities.listings import CompartmentQuery
from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.services.running.embedded_engine import EmbeddedEngine
from lockstream.services.running.ingest_queue import weight_of
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import LOCKER, RESERVATION, deposited, event, registered, reserved
from lockstream.tests.support.coroutines import let_others_run, run
from lockstream.tests.support.faulty_store import FaultyStore


def test_events_that_are_appended_during_a_flush_wait_for_the_next_flush(store: FaultyStore) -> None:
    async def check() -> None:
        # given a flush that is running
        system = System(store, batch_limit=1)
        store.shut_gate()
        first = system.post(registered("a"))
        await store.flush_waits()
        # when more requests come
        second, empty, refused = system.post(registered("b")), system.post(), system.post(reserved("r", "nothing"))
        await let_others_run()
        # then they are decided and appended meanwhile, and nothing is acknowledged
        assert store.batches[0] == 1
        assert store.log.end.position == 2
        assert store.log.durable.position == 0
        assert not [request for request in (first, second, empty, refused) if request.done()]
        # when the flush ends, then only the event that it covers is acknowledged
        store.open_gate()
        store.shut_gate()
        assert await first == [Accepted(1)]
        assert store.log.durable.position == 1
        await store.flush_waits()
        assert not second.done()
        # when the next flush ends, then all others are answered
        store.open_gate()
        assert await second == [Accepted(2)]
        await asyncio.gather(empty, refused)
        assert store.flushes == [1, 2]

    run(check())


def test_a_read_waits_for_the_flush_of_a_change_that_it_shows(store: FaultyStore) -> None:
    async def check() -> None:
        # given a durable event, and one that is being flushed
        system = System(store)
        assert await system.post(registered("a")) == [Accepted(1)]
        assert await system.compartments() == 1
        store.shut_gate()
        posted = system.post(registered("b"))
        await store.flush_waits()
        # when the locker is read, then the read waits
        early = system.compartments()
        await let_others_run()
        assert not early.done()
        assert not posted.done()
        # and shows the event once it is durable
        store.open_gate()
        assert await posted == [Accepted(2)]
        assert await early == 2
        assert await system.compartments() == 2
        await system.close()

    run(check())


def test_a_read_waits_only_for_events_of_its_own_locker(store: FaultyStore) -> None:
    async def check() -> None:
        # given a flush that is running, and a batch behind it
        system = System(store, batch_limit=1)
        assert await system.post(registered("a", locker="other")) == [Accepted(1)]
        store.shut_gate()
        first = system.post(registered("a"), registered("b"))
        await store.flush_waits()
        second = system.post(registered("c", locker="third"))
        await let_others_run()
        # when lockers are read that the batches have changed, then these reads wait, and no others
        flushing, waiting = system.compartments(), system.compartments("third")
        assert await system.compartments("other") == 1
        assert await system.compartments("nowhere") == 0
        assert not [pending for pending in (first, flushing, second, waiting) if pending.done()]
        # and each waits only for the flush that covers its locker's events
        store.open_gate()
        store.shut_gate()
        assert await flushing == 2
        assert not waiting.done()
        assert not second.done()
        store.open_gate()
        assert await waiting == 1
        await system.close()

    run(check())


def test_a_read_states_no_position_that_is_not_durable(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        assert await system.post(registered("a", locker="other")) == [Accepted(1)]
        store.shut_gate()
        system.post(registered("a"))
        await store.flush_waits()
        result = await system.engine.read(lambda reads: reads.locker("other"))
        assert result.position == 1
        store.open_gate()
        await system.close()

    run(check())


def test_a_duplicate_of_an_unflushed_event_waits_for_its_flush(store: FaultyStore) -> None:
    async def check() -> None:
        system, body = System(store), registered("a")
        store.shut_gate()
        first = system.post(body)
        await store.flush_waits()
        again = system.post(body)
        await let_others_run()
        assert not again.done()
        store.open_gate()
        assert (await first, await again) == ([Accepted(1)], [Duplicate(1)])
        assert store.flushes == [1], "a duplicate appends nothing"

    run(check())


@pytest.mark.parametrize("failure", ["flush", "append"])
def test_a_failing_disk_undoes_all_unflushed_events(store: FaultyStore, failure: str) -> None:
    async def check() -> None:
        # given two durable events, a flush that is running, and two batches and a read behind it
        system = System(store, batch_limit=1)
        assert await system.post(registered(), reserved()) == [Accepted(1), Accepted(2)]
        store.shut_gate()
        with store.failing_flushes() if failure == "flush" else nullcontext():
            lost = [system.post(deposited(), registered("b"))]
            await store.flush_waits()
        lost += [system.post(registered("c")), system.post(registered("c"))]
        early = system.compartments()
        await let_others_run()
        # when the flush fails, or the append of another batch
        if failure == "append":
            store.log.path.rename(store.log.path.with_name("moved.jsonl"))
            lost.append(system.post(registered("d")))
            await let_others_run()
        store.open_gate()
        # then none of these is acknowledged, and the read shows only durable events
        for request in lost:
            with pytest.raises(StoreUnavailable, match="could not be written"):
                await request
        assert await early == 1
        # and no later event is accepted, while reads go on
        for body in (registered("e"), registered()):
            with pytest.raises(StoreUnavailable, match="could not be written"):
                await system.post(body)
        reservation, position = await system.engine.read(lambda reads: reads.reservation(RESERVATION))
        assert reservation is not None
        assert reservation.status == "CREATED"
        assert position == 2
        assert await system.compartments() == 1
        assert len(store.flushes) == 2, "a flush that failed is never tried again"
        await system.close()

    run(check())


def test_no_state_is_shown_that_lacks_acknowledged_events_after_a_truncation(store: FaultyStore) -> None:
    """The acknowledged events are then neither in the file nor in the projection."""

    async def check() -> None:
        # given an acknowledged event that no checkpoint has written, and one that is being flushed
        store.shut_checkpoint_gate()
        system = System(store, batch_limit=1)
        assert await system.post(registered("a")) == [Accepted(1)]
        await store.checkpoint_waits()
        store.checkpoint_errors.append(StoreUnavailable("The projection is locked."))
        store.shut_gate()
        lost = system.post(registered("b"))
        await store.flush_waits()
        # when another program truncates the log, and the next event notices that
        os.truncate(store.log.path, 0)
        lost_too = system.post(registered("c"))
        await let_others_run()
        store.open_checkpoint_gate()
        store.open_gate()
        for request in (lost, lost_too):
            with pytest.raises(StoreUnavailable, match="shortened"):
                await request
        # then reads are refused, and do not show a network without the acknowledged event
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"only 0 of 1 acknowledged event, .* restore the log"):
                await system.locker()
        await system.close()

    run(check())


def test_a_cancelled_request_disturbs_no_other_request(store: FaultyStore) -> None:
    async def check() -> None:
        # given a batch that is being flushed, and more requests behind it
        system = System(store, batch_limit=1)
        store.shut_gate()
        cancelled = system.post(registered("a"))
        await store.flush_waits()
        posted = system.post(registered("b"))
        read, cancelled_read = system.compartments(), system.compartments()
        await let_others_run()
        # when two clients disconnect
        cancelled.cancel()
        cancelled_read.cancel()
        store.open_gate()
        # then the others have their responses, and the cancelled event was accepted
        assert await posted == [Accepted(2)]
        assert await read == 2
        await system.close()

    run(check())


def test_a_request_that_is_cancelled_before_its_batch_is_decided_is_accepted_all_the_same(store: FaultyStore) -> None:
    async def check() -> None:
        system, body = System(store), registered("a")
        system.post(body).cancel()
        assert await system.post(registered("b")) == [Accepted(2)]
        assert await system.post(body) == [Duplicate(1)]
        await system.close()

    run(check())


def test_a_failed_log_keeps_nothing_in_memory_for_refused_events(store: FaultyStore) -> None:
    """Clients go on to send events, perhaps for days, until somebody restarts the server."""

    async def check() -> None:
        # given a log that has failed with an unflushed event
        system = System(store)
        store.shut_gate()
        with store.failing_flushes():
            lost = system.post(registered())
            await store.flush_waits()
        store.open_gate()
        await asyncio.gather(lost, return_exceptions=True)
        kept = len(system.engine._unflushed)
        # when more events come
        for number in range(20):
            with pytest.raises(StoreUnavailable):
                await system.group_commit.submit([event(registered(str(number)))])
        # then there is no entry for any of them
        assert len(system.engine._unflushed) <= kept
        await system.close()

    run(check())


def test_lists_show_what_is_durable_after_the_log_has_failed(store: FaultyStore) -> None:
    async def check() -> None:
        # given a durable event, and one whose flush fails
        system = System(store)
        assert await system.post(registered("a")) == [Accepted(1)]
        store.shut_gate()
        with store.failing_flushes():
            lost = system.post(registered("b"))
            await store.flush_waits()
        # when lists are read before, during and after the failure
        early = asyncio.create_task(listed(system))
        await let_others_run()
        store.open_gate()
        with pytest.raises(StoreUnavailable, match="could not be written"):
            await lost
        # then each shows the durable event alone
        assert await early == (["a"], 1)
        assert await listed(system) == (["a"], 1)
        await system.close()

    run(check())


async def listed(system: System) -> tuple[list[str], int]:
    """Return the ids of the listed compartments, and the position of the list."""
    found, position = await system.engine.list(
        lambda listings: listings.compartments(CompartmentQuery(LOCKER), None, 10)
    )
    return [row.compartment_id for row in found or ()], position


def test_a_list_after_the_stop_is_unavailable(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        await system.close()
        with pytest.raises(StoreUnavailable, match="stopping"):
            await listed(system)

    run(check())


def test_a_large_text_counts_as_several_events(store: FaultyStore) -> None:
    async def check() -> None:
        engine = EmbeddedEngine(store, batch_limit=10)
        assert weight_of([b"x" * 300, b"x" * 2_048], engine.weight_bytes) == 1 + 5
        await engine.close()

    run(check())
