"""Large batches, many at once, and others beside them: who waits for whom."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lockstream.presentation.http.routes.batches import MAX_BATCH_EVENTS
from lockstream.settings import Settings
from lockstream.tests.presentation.http.batches import (
    LINES,
    Form,
    compartments,
    each_form,
    logged,
    positions,
    post,
    post_text,
    shown,
    statuses,
    task,
    told,
)
from lockstream.tests.presentation.http.conftest import concurrent_client, open_from_environment
from lockstream.tests.services.running.test_group_commit import run
from lockstream.tests.support.builders import Body, as_lines, registered, reserved
from lockstream.tests.support.faulty_store import TIMEOUT_SECONDS, FaultyStore, running_on

LARGE = 2_500
"""Events: more than are committed together."""


@each_form
def test_an_event_alone_does_not_wait_for_the_end_of_a_large_batch(form: Form) -> None:
    settings = Settings()
    store = FaultyStore(settings)

    async def life() -> int:
        async with concurrent_client(lambda: running_on(store, settings)) as client:
            client.event_hooks = {}  # to hold thousands of events to the contract takes its time
            store.shut_gate()
            batch = task(post(client, form, *compartments(LARGE)))
            await store.at_gate()
            alone = task(client.post("/events", json=registered("alone")))
            await asyncio.sleep(0.05)
            store.open_gate()
            assert statuses(told(await batch)) == [202] * LARGE
            position: int = (await alone).json()["position"]
            return position

    assert run(life()) < LARGE / 2


@pytest.mark.parametrize("item", [None, b"{}"], ids=["good", "malformed"])
@each_form
def test_others_are_served_between_the_parts_of_a_large_batch(form: Form, item: bytes | None) -> None:
    events: list[Any] = compartments(MAX_BATCH_EVENTS) if item is None else [item] * MAX_BATCH_EVENTS

    async def life() -> int:
        async with concurrent_client(open_from_environment) as client:
            client.event_hooks = {}
            batch, answers = task(post(client, form, *events)), 0
            while not batch.done():
                await asyncio.sleep(0)  # the client itself may never let go of the loop
                assert (await client.get("/nothing")).status_code == 404
                answers += 1
            assert len(told(batch.result())) == MAX_BATCH_EVENTS
            return answers

    assert run(life()) > 10


def test_lines_are_decided_as_they_come(log_path: Path) -> None:
    """They come from a client that waits to see what it has sent."""
    events = compartments(LARGE)

    async def life() -> list[Body]:
        async with concurrent_client(open_from_environment) as client:
            client.event_hooks = {}

            async def lines() -> AsyncIterator[bytes]:
                yield as_lines(*events[:-1])
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    while await shown(client) < LARGE / 2:  # noqa: ASYNC110  # nobody tells
                        await asyncio.sleep(0.01)
                yield as_lines(events[-1])

            return told(await post_text(client, LINES, lines()))

    assert positions(run(life())) == logged(log_path)


@each_form
def test_many_batches_at_once_are_each_decided_in_their_order(form: Form, log_path: Path) -> None:
    lives = [
        [event for number in range(40) for event in (registered(f"{number}", locker=f"l{at}"), *double(at, number))]
        for at in range(8)
    ]

    async def life() -> list[list[Body]]:
        async with concurrent_client(open_from_environment) as client:
            return [told(answer) for answer in await asyncio.gather(*(post(client, form, *each) for each in lives))]

    outcomes = run(life())
    assert [statuses(each) for each in outcomes] == [[202, 202, 409] * 40] * 8
    accepted = {key: value for each in outcomes for key, value in positions(each).items()}
    assert accepted == logged(log_path)
    assert sorted(accepted.values()) == list(range(1, 641))
    for each in outcomes:
        assert list(positions(each).values()) == sorted(positions(each).values())


def double(at: int, number: int) -> tuple[Body, Body]:
    reservation = f"{at}-{number}"
    return reserved(reservation, str(number), locker=f"l{at}"), reserved(reservation, str(number), locker=f"l{at}")


@each_form
def test_the_same_batch_many_times_at_once_counts_once(form: Form, log_path: Path) -> None:
    batch = compartments(150)

    async def life() -> list[list[Body]]:
        async with concurrent_client(open_from_environment) as client:
            return [told(answer) for answer in await asyncio.gather(*(post(client, form, *batch) for _ in range(5)))]

    outcomes = run(life())
    assert len({tuple(positions(each).items()) for each in outcomes}) == 1
    assert positions(outcomes[0]) == logged(log_path)
    for number in range(150):
        assert sorted(each[number]["status"] for each in outcomes) == [200] * 4 + [202]


@each_form
def test_what_a_batch_was_told_is_what_reads_show_from_then_on(form: Form) -> None:
    async def life() -> None:
        async with concurrent_client(open_from_environment) as client:
            client.event_hooks = {}
            sent = [f"l{number}" for number in range(20)]

            async def report(locker: str) -> None:
                told(await post(client, form, *compartments(130, locker)))
                assert await shown(client, locker) == 130

            await asyncio.gather(*map(report, sent))

    run(life())
