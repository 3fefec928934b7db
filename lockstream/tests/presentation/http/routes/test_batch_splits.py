"""However a series of events is split into batches, its outcomes and the state are the same as one by one."""

import asyncio
import gzip
from collections.abc import Iterator, Sequence

import httpx
from hypothesis import given
from hypothesis import strategies as st

from lockstream.tests.infrastructure.stores.model import Expected, Model
from lockstream.tests.infrastructure.stores.random_events import LOCKERS, Data, Sender
from lockstream.tests.presentation.http.batch_requests import ARRAY, NDJSON, Form, items_of, post_body
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import Body
from lockstream.tests.support.clients import concurrent_client
from lockstream.tests.support.memory_system import open_in_memory

type Result = tuple[list[Expected], list[object]]
"""The outcome of each event, and the state of each locker at the end."""

type Part = tuple[list[Body], Form, bool]
"""Events of a batch, and whether their body is compressed."""


@budget(examples(40))
@given(st.data())
def test_any_split_into_batches_has_the_same_result_as_single_events(data: Data) -> None:
    events, expected = draw_events(data)
    parts = list(draw_parts(data, events))
    alone, split = asyncio.run(post_one_by_one(events)), asyncio.run(post_parts(parts))
    assert alone == split
    assert alone[0] == expected


def draw_events(data: Data) -> tuple[list[Body], list[Expected]]:
    """Draw events of a small network, new and repeated ones, with the outcomes that the model expects."""
    model = Model()
    sender = Sender(model)
    events, expected = [], []
    for _ in range(data.draw(st.integers(1, 40))):
        is_repeated = sender.sent and not data.draw(st.integers(0, 4))
        events.append(sender.resend(data) if is_repeated else sender.draw(data))
        expected.append(model.expect(events[-1]))
    return events, expected


def draw_parts(data: Data, events: Sequence[Body]) -> Iterator[Part]:
    start = 0
    while start < len(events):
        end = start + data.draw(st.integers(1, 12))
        yield list(events[start:end]), data.draw(st.sampled_from([ARRAY, NDJSON])), data.draw(st.booleans())
        start = end


async def post_one_by_one(events: Sequence[Body]) -> Result:
    async with concurrent_client(open_in_memory, is_checked=False) as client:
        responses = [await client.post("/events", json=event) for event in events]
        outcomes = [in_words_of_model(response.json() | {"status": response.status_code}) for response in responses]
        return outcomes, await read_lockers(client)


async def post_parts(parts: Sequence[Part]) -> Result:
    async with concurrent_client(open_in_memory) as client:
        outcomes: list[Expected] = []
        for events, form, is_compressed in parts:
            body = form.write(*events)
            if is_compressed:
                response = await post_body(client, form, gzip.compress(body), content_encoding="gzip")
            else:
                response = await post_body(client, form, body)
            outcomes += map(in_words_of_model, items_of(response))
        return outcomes, await read_lockers(client)


def in_words_of_model(outcome: Body) -> Expected:
    match outcome["status"]:
        case 202:
            return "accepted", outcome["position"]
        case 200:
            return "duplicate", outcome["position"]
        case _:
            return "refused", outcome["code"]


async def read_lockers(client: httpx.AsyncClient) -> list[object]:
    """Return all that each locker shows, above all its state hash."""
    return [(await client.get(f"/lockers/{locker}")).json() for locker in LOCKERS]
