"""Concurrent requests: which events are acknowledged, in which order, and which are not after an error."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from lockstream.core.entities.access import Caller
from lockstream.core.entities.events import CompartmentRegistered, KeyId
from lockstream.core.errors import QueueFull, StoreUnavailable
from lockstream.core.outcomes import Accepted, Outcome
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.infrastructure.sqlite import row_cache
from lockstream.schemas.outcomes import INTERNAL_ERROR
from lockstream.services.deployment import deployment_of
from lockstream.services.running.group_commit import Origin
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import LOCKER, Body, event, registered, reserved
from lockstream.tests.support.clients import concurrent_client
from lockstream.tests.support.coroutines import let_others_run, run, wait_for
from lockstream.tests.support.faulty_store import POISON, FaultyStore, running_on


def post(client: httpx.AsyncClient, body: Body) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.post("/events", json=body))


async def post_all(client: httpx.AsyncClient, bodies: Iterable[Body]) -> list[httpx.Response]:
    return await asyncio.gather(*(post(client, body) for body in bodies))


def start() -> Lockstream:
    return deployment_of(Settings()).start()


def responses_to_concurrent(bodies: Sequence[Body]) -> list[httpx.Response]:
    """Post `bodies` concurrently to a new system, and return the responses in the same order."""

    async def post_and_read() -> list[httpx.Response]:
        async with concurrent_client(start) as client:
            responses = await post_all(client, bodies)
            locker = (await client.get(f"/lockers/{LOCKER}")).json()
            assert locker["compartments"] == logged_compartments(Settings().event_log_path)
            return responses

    return run(post_and_read())


def responses_to_one_batch(store: FaultyStore, settings: Settings, bodies: Sequence[Body]) -> list[httpx.Response]:
    """Post `bodies`, and return the responses in the same order.

    The first one is flushed alone; the others come meanwhile, and fill the queue. Nothing is acknowledged before the
    flush that covers it has ended.
    """

    async def post_during_a_flush() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_gate()
            first = post(client, bodies[0])
            await store.flush_waits()
            rest = [post(client, body) for body in bodies[1:]]
            surplus = await post(client, registered("surplus"))
            assert surplus.status_code == 503
            assert not [request for request in (first, *rest) if request.done()]
            store.open_gate()
            return await asyncio.gather(first, *rest)

    return run(post_during_a_flush())


def statuses(responses: Iterable[httpx.Response]) -> dict[int, int]:
    """Return how many responses have each status."""
    return dict(Counter(response.status_code for response in responses))


def logged_compartments(log: Path) -> int:
    return sum(isinstance(record.event, CompartmentRegistered) for record in read_log(log))


def logged(log: Path) -> dict[str, int]:
    """Return the positions of all events in a log, by event id."""
    return {record.event.event_id: record.end.position for record in read_log(log)}


def acknowledged(responses: Iterable[httpx.Response]) -> dict[str, int]:
    """Return the positions of all events that responses say are accepted, by event id."""
    bodies = (response.json() for response in responses if response.status_code == 202)
    return {body["event_id"]: body["position"] for body in bodies}


def test_each_concurrent_event_is_acknowledged_once_and_positions_have_no_gap(log_path: Path) -> None:
    responses = responses_to_concurrent([registered(str(number)) for number in range(200)])
    assert statuses(responses) == {202: 200}
    assert sorted(acknowledged(responses).values()) == list(range(1, 201))
    assert logged(log_path) == acknowledged(responses)


def test_concurrent_duplicates_are_accepted_once(log_path: Path) -> None:
    body = registered()
    responses = responses_to_concurrent([body | {"event_id": body["event_id"].upper()}, *[body] * 49])
    assert statuses(responses) == {202: 1, 200: 49}
    assert {response.json()["position"] for response in responses} == {1}
    assert logged(log_path) == {body["event_id"]: 1}


def test_one_of_many_concurrent_reservations_of_a_compartment_is_accepted() -> None:
    responses = responses_to_concurrent([registered(), *(reserved(str(number)) for number in range(50))])
    assert statuses(responses) == {202: 2, 409: 49}


def test_a_refused_event_does_not_affect_the_other_events_of_its_batch(log_path: Path) -> None:
    good = [registered(str(number)) for number in range(100)]
    bad = [reserved(str(number), "nothing") for number in range(100)]
    responses = responses_to_concurrent([body for pair in zip(good, bad, strict=True) for body in pair])
    assert statuses(responses) == {202: 100, 422: 100}
    assert logged(log_path) == acknowledged(responses)


def test_events_that_arrive_during_a_flush_become_the_next_batch(log_path: Path) -> None:
    settings = Settings(queue_limit=53)
    store = FaultyStore(settings)
    twice = registered("twice")
    bodies = [*(registered(str(number)) for number in range(50)), reserved("r", "nothing"), twice, twice]
    responses = responses_to_one_batch(store, settings, bodies)
    assert statuses(responses) == {202: 51, 422: 1, 200: 1}
    assert store.batches == [1, 52]
    assert store.flushes == [1, 51]
    assert logged(log_path) == acknowledged(responses)


def test_only_a_full_batch_is_decided_during_a_flush(store: FaultyStore) -> None:
    async def check() -> None:
        # given a flush that is running
        system = System(store, batch_limit=3)
        store.shut_gate()
        requests = [system.post(registered("first"))]
        await store.flush_waits()
        # when fewer events arrive than a batch may have, one after the other, then they wait for the flush
        for name in ("a", "b"):
            requests.append(system.post(registered(name)))
            await let_others_run()
        assert store.batches == [1]
        # when the batch is full, then it is decided during the flush
        requests.append(system.post(registered("c")))
        await let_others_run()
        assert store.batches == [1, 3]
        # and an event that waits behind it is decided once nothing waits for a flush
        requests.append(system.post(registered("d")))
        store.open_gate()
        assert [await request for request in requests] == [[Accepted(position)] for position in range(1, 6)]
        assert store.batches == [1, 3, 1]
        await system.close()

    run(check())


def test_a_batch_is_never_larger_than_its_limit() -> None:
    settings = Settings(queue_limit=26, batch_limit=10)
    store = FaultyStore(settings)
    responses = responses_to_one_batch(store, settings, [registered(str(number)) for number in range(26)])
    assert statuses(responses) == {202: 26}
    assert store.batches == [1, 10, 10, 5]


def test_keys_take_turns(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store, batch_limit=10)

        def post(name: str, key: str) -> asyncio.Future[Sequence[Outcome | Exception]]:
            origin = Origin(caller=Caller(key_id=KeyId(key)))
            return asyncio.ensure_future(system.group_commit.submit([event(registered(name, locker=key))], origin))

        # given a key with 200 events in the queue
        flood = [post(str(number), "flooding") for number in range(200)]
        # when another key reports two events, then they are decided, in order, beside the first ones
        quiet = [await request for request in [post("a", "quiet"), post("b", "quiet")]]
        assert [type(outcome) for [outcome] in quiet] == [Accepted, Accepted]
        positions = [outcome.position for [outcome] in quiet if isinstance(outcome, Accepted)]
        assert positions == sorted(positions)
        assert positions[1] <= 50
        # and each key keeps its order
        await asyncio.gather(*flood)
        records = [record.event for record in read_log(store.log.path)]
        flooded = [one.payload.compartment_id for one in records if isinstance(one, CompartmentRegistered)]
        assert [name for name in flooded if name.isdecimal()] == [str(number) for number in range(200)]
        await system.close()

    run(check())


def test_each_batch_has_waited_since_its_first_request_has_arrived(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store, batch_limit=1)
        # given three requests of two keys, of which the second one has arrived seconds before the others
        origins = [Origin(caller=Caller(key_id=KeyId(key))) for key in ("a", "b", "a")]
        waiting = [
            asyncio.ensure_future(system.group_commit.submit([event(registered(str(number)))], origin))
            for number, origin in enumerate(origins)
        ]
        [_, line] = system.group_commit._queue._turns
        [(second, _)] = line.items
        second.arrived_at -= 5
        # when each is decided in a batch of its own
        await asyncio.gather(*waiting)
        # then one batch has waited for that long
        waits = system.group_commit.tally.queue_seconds
        assert (sum(waits.counts), waits.sum >= 5, waits.sum < 10) == (3, True, True)
        await system.close()

    run(check())


def test_requests_are_served_between_the_batches_of_a_burst(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store, batch_limit=10)
        decided: list[int] = []

        async def serve_others() -> None:
            while len(store.batches) < 5:
                decided.append(len(store.batches))
                await asyncio.sleep(0)

        burst = [system.post(registered(str(number))) for number in range(50)]
        await asyncio.gather(serve_others(), *burst)
        assert store.batches == [10] * 5
        assert set(decided) >= {1, 2, 3, 4}
        await system.close()

    run(check())


def test_a_full_queue_refuses_further_events_and_keeps_those_in_it(log_path: Path) -> None:
    settings = Settings(queue_limit=4)
    store = FaultyStore(settings)

    async def overfill() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_gate()
            first = post(client, registered("first"))
            await store.flush_waits()
            rest = [post(client, registered(str(number))) for number in range(10)]
            for _, responded in zip(range(7), asyncio.as_completed(rest), strict=False):
                assert (await responded).status_code == 503
            store.open_gate()
            return await asyncio.gather(first, *rest)

    responses = run(overfill())
    assert statuses(responses) == {202: 4, 503: 7}
    for response in responses:
        if response.status_code == 503:
            assert int(response.headers["retry-after"]) >= 1
            assert response.json() == {"detail": str(QueueFull(4))}
    assert logged(log_path) == acknowledged(responses)


def test_a_batch_larger_than_the_queue_is_accepted_if_nothing_else_waits(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store, queue_limit=2)
        outcomes = await system.post(*(registered(str(number)) for number in range(5)))
        assert outcomes == [Accepted(position) for position in range(1, 6)]
        await system.close()

    run(check())


def test_a_log_that_cannot_be_written_fails_the_whole_batch_and_reads_go_on(log_path: Path) -> None:
    # given a server with one event, and a full disk
    settings = Settings(queue_limit=10)
    store = FaultyStore(settings)
    before = registered("before")
    bodies = [*(registered(str(number)) for number in range(9)), reserved("r", "before")]

    async def post_to_a_full_disk() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            assert (await post(client, before)).status_code == 202
            fail_writes(store)
            assert (await post(client, before)).status_code == 200, "a duplicate writes nothing"
            # when a batch comes
            responses = await post_all(client, bodies)
            locker = (await client.get(f"/lockers/{LOCKER}")).json()
            assert (locker["compartments"], locker["active_reservations"]) == (1, 0)
            return responses

    responses = run(post_to_a_full_disk())
    # then each of its events is refused
    assert store.batches == [1, 1, 10]
    for response in responses:
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert f"The log {log_path} could not be written" in response.json()["detail"]
    assert len(logged(log_path)) == 1
    # and accepted after a restart
    after = responses_to_concurrent(bodies)
    assert sorted(acknowledged(after).values()) == list(range(2, 12))


def fail_writes(store: FaultyStore) -> None:
    """Let every write to the log fail from now on; it can still be read."""
    read_only = os.open(store.log.path, os.O_RDONLY)
    os.dup2(read_only, store.log._file)
    os.close(read_only)


def test_an_internal_error_fails_only_the_event_that_causes_it(
    log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(queue_limit=21)
    store = FaultyStore(settings)
    good = [registered(str(number)) for number in range(20)]
    poison = reserved(POISON, "0")
    with caplog.at_level(logging.ERROR):
        responses = responses_to_one_batch(store, settings, [*good[:10], poison, *good[10:]])
    assert store.batches == [1, 20, *[1] * 20], "one batch, and then each event alone"
    failed = responses.pop(10)
    assert failed.status_code == 500
    assert failed.json() == {"detail": INTERNAL_ERROR}
    assert poison["event_id"] in caplog.text
    assert statuses(responses) == {202: 20}
    assert logged(log_path) == acknowledged(responses)


def test_events_wait_while_checkpoints_are_far_behind(
    store_with_small_cache: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache, "OVERLOAD_ROWS", 3)
    store = store_with_small_cache

    async def check() -> None:
        # given a checkpoint that does not end, and more changed rows than may wait
        system = System(store)
        store.shut_checkpoint_gate()
        assert await system.post(registered("a"), registered("b")) == [Accepted(1), Accepted(2)]
        await store.checkpoint_waits()
        await system.post(*(registered(str(number)) for number in range(4)))
        # when more events come, then they are not decided
        waiting = [system.post(registered("c")), system.post(registered("d"))]
        await let_others_run()
        assert store.batches == [2, 4]
        assert not [request for request in waiting if request.done()]
        # and reads go on
        assert await system.compartments() == 6
        # when the checkpoint ends, then the events are decided
        store.open_checkpoint_gate()
        assert [await request for request in waiting] == [[Accepted(7)], [Accepted(8)]]
        assert store.batches == [2, 4, 2]
        await system.close()

    run(check())


@pytest.fixture
def store_with_small_cache() -> Iterator[FaultyStore]:
    """A store in which two changed rows are worth a checkpoint."""
    store = FaultyStore(Settings(row_cache_rows=1))
    yield store
    store.close()


def test_a_failed_checkpoint_ends_the_wait_of_events(
    store_with_small_cache: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once checkpoints fail, waiting would not help: the events are refused, and can be sent again."""
    monkeypatch.setattr(row_cache, "OVERLOAD_ROWS", 3)
    store = store_with_small_cache

    async def check() -> None:
        system = System(store)
        store.shut_checkpoint_gate()
        await system.post(registered("a"), registered("b"))
        await store.checkpoint_waits()
        await system.post(*(registered(str(number)) for number in range(4)))
        waiting = system.post(registered("c"))
        store.checkpoint_errors.append(StoreUnavailable("The projection is locked."))
        store.open_checkpoint_gate()
        assert [str(outcome) for outcome in await waiting] == ["The projection is locked."]
        await system.close()

    run(check())


async def close_begins(unavailable_reason: Callable[[], str | None]) -> None:
    """Wait until a close has begun."""
    await wait_for(lambda: "stopping" in (unavailable_reason() or ""))


def test_close_finishes_submitted_events_and_refuses_later_ones(log_path: Path) -> None:
    settings = Settings(queue_limit=2)
    store = FaultyStore(settings)
    lockstream = running_on(store, settings)

    async def check() -> None:
        # given an event that is being flushed, and one behind it
        lockstream.bind_running_loop()
        store.shut_gate()
        first = asyncio.ensure_future(lockstream.ingest([event(registered("first"))]))
        await store.flush_waits()
        second = asyncio.ensure_future(lockstream.ingest([event(registered("second"))]))
        # when the system is closed, then it refuses further events
        closing = asyncio.create_task(lockstream.close())
        await close_begins(lambda: lockstream.unavailable_reason)
        with pytest.raises(StoreUnavailable, match="stopping"):
            await lockstream.ingest([event(registered("late"))])
        assert not first.done()
        # and acknowledges the two that it has
        store.open_gate()
        await closing
        assert [await first, await second] == [[Accepted(1)], [Accepted(2)]]

    run(check())
    assert len(logged(log_path)) == 2


def test_close_acknowledges_an_event_that_was_submitted_during_a_checkpoint(store: FaultyStore) -> None:
    async def check() -> None:
        # given a checkpoint that does not end, and an event that was submitted meanwhile
        system = System(store)
        store.shut_checkpoint_gate()
        assert await system.post(registered("c1")) == [Accepted(1)]
        await store.checkpoint_waits()
        store.shut_gate()
        submitted = system.post(registered("c2"))
        # when the system is closed before the event is decided
        closing = asyncio.create_task(system.close())
        await close_begins(lambda: system.group_commit.unavailable_reason)
        assert not submitted.done()
        store.open_checkpoint_gate()
        store.open_gate()
        # then the event is acknowledged all the same
        assert await submitted == [Accepted(2)]
        await closing

    run(check())


def test_close_ends_although_the_log_fails_under_waiting_batches(store: FaultyStore) -> None:
    async def check() -> None:
        # given a flush that is running, and two batches behind it
        system = System(store, batch_limit=1)
        store.shut_gate()
        with store.failing_flushes():
            requests = [system.post(registered("first"))]
            await store.flush_waits()
        for name in ("second", "third"):
            requests.append(system.post(registered(name)))
            await let_others_run()
        assert store.batches == [1, 1, 1]
        # when the system is closed, and the flush fails
        closing = asyncio.create_task(system.close())
        await close_begins(lambda: system.group_commit.unavailable_reason)
        store.open_gate()
        # then none of them is acknowledged, and close returns
        for request in requests:
            with pytest.raises(StoreUnavailable, match="could not be written"):
                await request
        await closing

    run(check())
