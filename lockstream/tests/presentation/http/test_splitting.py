"""However what happened is split into batches, the same comes of it as one by one."""

import asyncio
import gzip
from collections.abc import Iterator, Sequence

import httpx
import pytest

pytest.importorskip("hypothesis", reason="the development tools are not installed")

from hypothesis import given
from hypothesis import strategies as st

from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.settings import Settings
from lockstream.tests.infrastructure.stores.model import Expected, Model
from lockstream.tests.infrastructure.stores.random_events import LOCKERS, Data, Sender
from lockstream.tests.presentation.http.batches import LINES, LIST, Form, post_text, told
from lockstream.tests.presentation.http.conftest import concurrent_client
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import Body
from lockstream.tests.support.faulty_store import running_on

type Network = tuple[list[Expected], list[object]]
"""What was told of each event, and what the lockers hold then."""

type Part = tuple[list[Body], Form, bool]
"""Events of a batch, and whether they are compressed."""


@budget(examples(40))
@given(st.data())
def test_any_splitting_comes_to_the_same_as_one_by_one(data: Data) -> None:
    sent, expected = life(data)
    alone, split = asyncio.run(one_by_one(sent)), asyncio.run(in_batches(list(parts(data, sent))))
    assert alone == split
    assert alone[0] == expected


def life(data: Data) -> tuple[list[Body], list[Expected]]:
    """Events of a small network, new ones and old ones, and what the model says will come of each."""
    model = Model()
    sender = Sender(model)
    sent, expected = [], []
    for _ in range(data.draw(st.integers(1, 40))):
        again = sender.sent and not data.draw(st.integers(0, 4))
        sent.append(sender.resend(data) if again else sender.draw(data))
        expected.append(model.expect(sent[-1]))
    return sent, expected


def parts(data: Data, sent: Sequence[Body]) -> Iterator[Part]:
    start = 0
    while start < len(sent):
        end = start + data.draw(st.integers(1, 12))
        yield list(sent[start:end]), data.draw(st.sampled_from([LIST, LINES])), data.draw(st.booleans())
        start = end


async def one_by_one(sent: Sequence[Body]) -> Network:
    limits = Settings()
    async with concurrent_client(lambda: running_on(MemoryStore(), limits)) as client:
        client.event_hooks = {}
        answers = [await client.post("/events", json=event) for event in sent]
        outcomes = [expected(answer.json() | {"status": answer.status_code}) for answer in answers]
        return outcomes, await lockers(client)


async def in_batches(parts: Sequence[Part]) -> Network:
    limits = Settings()
    async with concurrent_client(lambda: running_on(MemoryStore(), limits)) as client:
        outcomes: list[Expected] = []
        for events, form, compressed in parts:
            text = form.write(*events)
            sent = (gzip.compress(text), {"content_encoding": "gzip"}) if compressed else (text, {})
            outcomes += map(expected, told(await post_text(client, form, sent[0], **sent[1])))
        return outcomes, await lockers(client)


def expected(outcome: Body) -> Expected:
    """An outcome in the model's words."""
    match outcome["status"]:
        case 202:
            return "accepted", outcome["position"]
        case 200:
            return "duplicate", outcome["position"]
        case _:
            return "refused", outcome["code"]


async def lockers(client: httpx.AsyncClient) -> list[object]:
    """All that each locker shows, its state hash above all."""
    return [(await client.get(f"/lockers/{locker}")).json() for locker in LOCKERS]
