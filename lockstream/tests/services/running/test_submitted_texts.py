"""Group commit: the texts of concurrent requests are decoded together, and a malformed one harms no other."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from lockstream.core.entities.events import Event
from lockstream.core.errors import MalformedEvent
from lockstream.core.outcomes import Accepted
from lockstream.infrastructure.codec.event_json import decode_events
from lockstream.services.running import group_commit
from lockstream.tests.services.running.system import System
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.faulty_store import FaultyStore


def test_texts_are_decoded_and_decided_together_with_events(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        first, second, third = registered("1"), registered("2"), registered("3")
        texts = [system.group_commit.submit_text(json.dumps(body).encode()) for body in (first, second)]
        events = system.post(third)
        decided = await asyncio.gather(*texts)
        assert decided == [(event(first), Accepted(1)), (event(second), Accepted(2))]
        assert await events == [Accepted(3)]
        assert store.batches == [3]
        await system.close()

    run(check())


def test_a_malformed_text_harms_no_other_and_waits_for_no_flush(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        store.shut_gate()
        texts = [json.dumps(registered()).encode(), b"{}", b"", b'"a"']
        good, *malformed = (asyncio.ensure_future(system.group_commit.submit_text(text)) for text in texts)
        for one in malformed:
            with pytest.raises(MalformedEvent):
                await one
        assert not good.done()
        store.open_gate()
        assert (await good)[1] == Accepted(1)
        with pytest.raises(MalformedEvent):
            await system.group_commit.submit_text(b"{")
        await system.close()
        assert store.log.end.position == 1

    run(check())


def test_an_internal_error_of_the_decoder_fails_only_the_text_that_causes_it(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def decode(texts: Sequence[bytes]) -> list[Event | MalformedEvent]:
        if b"poison" in texts:
            raise ZeroDivisionError
        return decode_events(texts)

    monkeypatch.setattr(group_commit, "decode_events", decode)

    async def check() -> None:
        system = System(store)
        texts = [json.dumps(registered("1")).encode(), b"poison", json.dumps(registered("2")).encode()]
        submitted = [asyncio.ensure_future(system.group_commit.submit_text(text)) for text in texts]
        first, failed, last = await asyncio.gather(*submitted, return_exceptions=True)
        assert isinstance(failed, ZeroDivisionError)
        assert [one[1] for one in (first, last) if not isinstance(one, BaseException)] == [Accepted(1), Accepted(2)]
        await system.close()

    run(check())
    assert "could not be decoded" in caplog.text


def test_a_request_that_is_cancelled_before_its_text_is_decoded_harms_nothing(store: FaultyStore) -> None:
    async def check() -> None:
        system = System(store)
        texts = [b"{}", json.dumps(registered("1")).encode()]
        cancelled = [asyncio.ensure_future(system.group_commit.submit_text(text)) for text in texts]
        for one in cancelled:
            one.cancel()
        assert await system.post(registered("2")) == [Accepted(2)], "an event that was submitted is decided"
        await system.close()

    run(check())
