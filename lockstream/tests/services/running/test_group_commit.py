"""Many requests at once: what is acknowledged, in which order, and who suffers when something goes wrong."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from lockstream.core.entities.events import CompartmentRegistered
from lockstream.core.errors import QueueFull, StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.settings import Settings
from lockstream.tests.presentation.http.conftest import concurrent_client, open_from_environment
from lockstream.tests.support.builders import LOCKER, Body, event, registered, reserved
from lockstream.tests.support.faulty_store import POISON, TIMEOUT_SECONDS, FaultyStore, running_on


def run[AnswersT](life: Coroutine[Any, Any, AnswersT]) -> AnswersT:
    """Live `life` to its end, which must come."""
    return asyncio.run(asyncio.wait_for(life, 3 * TIMEOUT_SECONDS))


def post(client: httpx.AsyncClient, body: Body) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.post("/events", json=body))


async def post_all(client: httpx.AsyncClient, bodies: Iterable[Body]) -> list[httpx.Response]:
    return await asyncio.gather(*(post(client, body) for body in bodies))


def posted_at_once(bodies: Sequence[Body]) -> list[httpx.Response]:
    async def life() -> list[httpx.Response]:
        async with concurrent_client(open_from_environment) as client:
            answers = await post_all(client, bodies)
            shown = (await client.get(f"/lockers/{LOCKER}")).json()
            assert shown["compartments"] == compartments(Settings().event_log_path), "reads show all of it"
            return answers

    return run(life())


async def posted_as_one_batch(
    client: httpx.AsyncClient, store: FaultyStore, bodies: Sequence[Body]
) -> list[httpx.Response]:
    """Answers to `bodies`; the first is flushed alone, the rest come meanwhile and just fill the queue.

    Nobody hears anything before the flush that covers it has ended.
    """
    store.shut_gate()
    first = post(client, bodies[0])
    await store.at_gate()
    rest = [post(client, body) for body in bodies[1:]]
    surplus = await post(client, registered("surplus"))
    assert surplus.status_code == 503
    assert not [answer for answer in (first, *rest) if answer.done()]
    store.open_gate()
    return await asyncio.gather(first, *rest)


def statuses(answers: Iterable[httpx.Response]) -> dict[int, int]:
    return dict(Counter(answer.status_code for answer in answers))


def compartments(log: Path) -> int:
    return sum(isinstance(record.event, CompartmentRegistered) for record in read_log(log))


def logged(log: Path) -> dict[str, int]:
    """The events in a log, each with its position."""
    return {record.event.event_id: record.end.position for record in read_log(log)}


def accepted(answers: Iterable[httpx.Response]) -> dict[str, int]:
    told = (answer.json() for answer in answers if answer.status_code == 202)
    return {answer["event_id"]: answer["position"] for answer in told}


def test_concurrent_events_are_each_acknowledged_once_and_without_a_gap(log_path: Path) -> None:
    answers = posted_at_once([registered(str(number)) for number in range(200)])
    assert statuses(answers) == {202: 200}
    assert sorted(accepted(answers).values()) == list(range(1, 201))
    assert logged(log_path) == accepted(answers)


def test_concurrent_duplicates_are_accepted_once(log_path: Path) -> None:
    body = registered()
    answers = posted_at_once([body | {"event_id": body["event_id"].upper()}, *[body] * 49])
    assert statuses(answers) == {202: 1, 200: 49}
    assert {answer.json()["position"] for answer in answers} == {1}
    assert logged(log_path) == {body["event_id"]: 1}


def test_only_one_of_many_reservations_of_a_compartment_is_accepted() -> None:
    answers = posted_at_once([registered(), *(reserved(str(number)) for number in range(50))])
    assert statuses(answers) == {202: 2, 409: 49}


def test_a_refused_event_harms_none_of_those_around_it(log_path: Path) -> None:
    good = [registered(str(number)) for number in range(100)]
    bad = [reserved(str(number), "nothing") for number in range(100)]
    answers = posted_at_once([body for pair in zip(good, bad, strict=True) for body in pair])
    assert statuses(answers) == {202: 100, 422: 100}
    assert logged(log_path) == accepted(answers)


def test_what_comes_while_a_batch_is_committed_becomes_the_next_one(log_path: Path) -> None:
    settings = Settings(queue_limit=53)
    store = FaultyStore(settings)
    twice = registered("twice")
    bodies = [*(registered(str(number)) for number in range(50)), reserved("r", "nothing"), twice, twice]

    async def life() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            return await posted_as_one_batch(client, store, bodies)

    answers = run(life())
    assert statuses(answers) == {202: 51, 422: 1, 200: 1}
    assert store.batches == [1, 52]
    assert store.flushes == [1, 51]
    assert logged(log_path) == accepted(answers)


def test_a_batch_is_never_larger_than_its_limit() -> None:
    settings = Settings(queue_limit=26, batch_limit=10)
    store = FaultyStore(settings)

    async def life() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            return await posted_as_one_batch(client, store, [registered(str(number)) for number in range(26)])

    assert statuses(run(life())) == {202: 26}
    assert store.batches == [1, 10, 10, 5]


def test_a_full_queue_refuses_the_surplus_and_keeps_what_it_took(log_path: Path) -> None:
    settings = Settings(queue_limit=4)
    store = FaultyStore(settings)

    async def life() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            store.shut_gate()
            first = post(client, registered("first"))
            await store.at_gate()
            rest = [post(client, registered(str(number))) for number in range(10)]
            for _, answered in zip(range(7), asyncio.as_completed(rest), strict=False):
                assert (await answered).status_code == 503
            store.open_gate()
            return await asyncio.gather(first, *rest)

    answers = run(life())
    assert statuses(answers) == {202: 4, 503: 7}
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json() == {"detail": str(QueueFull(4))}
    assert logged(log_path) == accepted(answers)


def test_a_log_that_cannot_be_written_fails_the_whole_batch_and_reads_go_on(log_path: Path) -> None:
    settings = Settings(queue_limit=10)
    store = FaultyStore(settings)
    before = registered("before")
    bodies = [*(registered(str(number)) for number in range(9)), reserved("r", "before")]

    async def life() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            assert (await post(client, before)).status_code == 202
            fill_the_disk(store)
            assert (await post(client, before)).status_code == 200, "to know it, nothing need be written"
            answers = await post_all(client, bodies)
            shown = (await client.get(f"/lockers/{LOCKER}")).json()
            assert (shown["compartments"], shown["active_reservations"]) == (1, 0)
            return answers

    answers = run(life())
    assert store.batches == [1, 1, 10]
    for answer in answers:
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert f"The log {log_path} could not be written" in answer.json()["detail"]
    assert len(logged(log_path)) == 1
    after = posted_at_once(bodies)
    assert sorted(accepted(after).values()) == list(range(2, 12)), "after a restart all goes on"


def fill_the_disk(store: FaultyStore) -> None:
    """From now on what is written to the log fails; it can still be read."""
    full = os.open(store.log.path, os.O_RDONLY)
    os.dup2(full, store.log._file)
    os.close(full)


def test_a_fault_of_ours_fails_only_the_event_that_sets_it_off(
    log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(queue_limit=21)
    store = FaultyStore(settings)
    good = [registered(str(number)) for number in range(20)]
    poison = reserved(POISON, "0")

    async def life() -> list[httpx.Response]:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            client.event_hooks = {}  # the contract declares no fault of ours
            return await posted_as_one_batch(client, store, [*good[:10], poison, *good[10:]])

    with caplog.at_level(logging.ERROR):
        answers = run(life())
    assert store.batches[:2] == [1, 20], "they were one batch, before it was known what is wrong"
    failed = answers.pop(10)
    assert failed.status_code == 500
    assert failed.json() == {"detail": "A fault of Lockstream's own; its log on standard error says more."}
    assert poison["event_id"] in caplog.text
    assert statuses(answers) == {202: 20}
    assert logged(log_path) == accepted(answers)


def test_what_was_taken_in_before_closing_is_kept_and_what_comes_later_is_not_taken(log_path: Path) -> None:
    settings = Settings(queue_limit=2)
    store = FaultyStore(settings)
    lockstream = running_on(store, settings)

    async def life() -> None:
        lockstream.bind_running_loop()
        store.shut_gate()
        first = asyncio.ensure_future(lockstream.ingest([event(registered("first"))]))
        await store.at_gate()
        second = asyncio.ensure_future(lockstream.ingest([event(registered("second"))]))
        closing = asyncio.create_task(lockstream.close())
        refused: StoreUnavailable = QueueFull(2)
        while isinstance(refused, QueueFull):
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable) as caught:
                await lockstream.ingest([event(registered("late"))])
            refused = caught.value
        assert "stopping" in str(refused)
        assert not first.done()
        store.open_gate()
        await closing
        assert [await first, await second] == [[Accepted(1)], [Accepted(2)]]

    run(life())
    assert len(logged(log_path)) == 2
