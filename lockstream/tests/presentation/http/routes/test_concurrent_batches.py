"""POST /events/batch: large batches, many at once, and other requests beside them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lockstream.presentation.http.routes.batches import MAX_BATCH_EVENTS
from lockstream.settings import Settings
from lockstream.tests.presentation.http.batch_requests import (
    NDJSON,
    Form,
    count_compartments,
    each_form,
    items_of,
    positions,
    positions_in_log,
    post,
    post_body,
    registrations,
    start,
    statuses,
    wait_until_queued,
)
from lockstream.tests.support.builders import Body, as_lines, registered, reserved
from lockstream.tests.support.clients import concurrent_client, open_from_environment
from lockstream.tests.support.coroutines import TIMEOUT_SECONDS, run
from lockstream.tests.support.faulty_store import FaultyStore, running_on

LARGE = 2_500
"""Number of events: more than are committed together."""


@each_form
def test_a_single_event_does_not_wait_for_the_end_of_a_large_batch(form: Form) -> None:
    settings = Settings()
    store = FaultyStore(settings)
    lockstream = running_on(store, settings)
    event = registered("single")

    async def post_event_beside_batch() -> int:
        async with concurrent_client(lambda: lockstream, is_checked=False) as client:
            # given a large batch that waits for its first flush
            store.shut_gate()
            batch = start(post(client, form, *registrations(LARGE)))
            await store.flush_waits()
            # when a single event is posted
            single = start(client.post("/events", json=event))
            await wait_until_queued(lockstream, event)
            store.open_gate()
            # then it is decided before the end of the batch
            assert statuses(items_of(await batch)) == [202] * LARGE
            position: int = (await single).json()["position"]
            return position

    assert run(post_event_beside_batch()) < LARGE / 2


@pytest.mark.parametrize("item", [None, b"{}"], ids=["good", "malformed"])
@each_form
def test_other_requests_are_served_between_the_chunks_of_a_large_batch(form: Form, item: bytes | None) -> None:
    events: list[Any] = registrations(MAX_BATCH_EVENTS) if item is None else [item] * MAX_BATCH_EVENTS

    async def count_other_responses() -> int:
        async with concurrent_client(open_from_environment, is_checked=False) as client:
            batch, count = start(post(client, form, *events)), 0
            while not batch.done():
                await asyncio.sleep(0)  # the client itself may never yield to the event loop
                assert (await client.get("/unknown")).status_code == 404
                count += 1
            assert len(items_of(batch.result())) == MAX_BATCH_EVENTS
            return count

    assert run(count_other_responses()) > 10


def test_lines_are_decided_as_they_arrive(log_path: Path) -> None:
    events = registrations(LARGE)

    async def post_lines_slowly() -> list[Body]:
        async with concurrent_client(open_from_environment, is_checked=False) as client:

            async def lines() -> AsyncIterator[bytes]:
                yield as_lines(*events[:-1])
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    while await count_compartments(client) < LARGE / 2:  # noqa: ASYNC110  # there is no event for it
                        await asyncio.sleep(0.01)
                yield as_lines(events[-1])

            return items_of(await post_body(client, NDJSON, lines()))

    assert positions(run(post_lines_slowly())) == positions_in_log(log_path)


@each_form
def test_each_of_many_concurrent_batches_is_decided_in_its_order(form: Form, log_path: Path) -> None:
    # given a batch for each of eight lockers, in which every third event conflicts with the one before it
    batches = [
        [
            event
            for number in range(40)
            for event in (registered(f"{number}", locker=locker), *reserve_twice(locker, number))
        ]
        for locker in map("locker-{}".format, range(8))
    ]

    async def post_concurrently() -> list[list[Body]]:
        async with concurrent_client(open_from_environment) as client:
            responses = await asyncio.gather(*(post(client, form, *batch) for batch in batches))
            return [items_of(response) for response in responses]

    # when all are posted at once
    responses = run(post_concurrently())
    # then each was decided in its own order, and the log holds exactly the accepted events
    assert [statuses(items) for items in responses] == [[202, 202, 409] * 40] * 8
    accepted = {event_id: position for items in responses for event_id, position in positions(items).items()}
    assert accepted == positions_in_log(log_path)
    assert sorted(accepted.values()) == list(range(1, 641))
    for items in responses:
        assert list(positions(items).values()) == sorted(positions(items).values())


def reserve_twice(locker: str, number: int) -> tuple[Body, Body]:
    reservation = f"{locker}-{number}"
    return reserved(reservation, str(number), locker=locker), reserved(reservation, str(number), locker=locker)


@each_form
def test_the_same_batch_many_times_at_once_counts_once(form: Form, log_path: Path) -> None:
    batch = registrations(150)

    async def post_five_times() -> list[list[Body]]:
        async with concurrent_client(open_from_environment) as client:
            responses = await asyncio.gather(*(post(client, form, *batch) for _ in range(5)))
            return [items_of(response) for response in responses]

    responses = run(post_five_times())
    assert len({tuple(positions(items).items()) for items in responses}) == 1
    assert positions(responses[0]) == positions_in_log(log_path)
    for number in range(150):
        assert sorted(items[number]["status"] for items in responses) == [200] * 4 + [202]


@each_form
def test_reads_show_a_batch_from_its_response_on(form: Form) -> None:
    async def post_and_read(client: Any, locker: str) -> None:
        assert set(statuses(items_of(await post(client, form, *registrations(130, locker))))) == {202}
        assert await count_compartments(client, locker) == 130

    async def post_and_read_concurrently() -> None:
        async with concurrent_client(open_from_environment, is_checked=False) as client:
            await asyncio.gather(*(post_and_read(client, f"locker-{number}") for number in range(20)))

    run(post_and_read_concurrently())
