"""Spans of a system in this process: of failures, disconnected clients, and events that are read much later."""

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from lockstream.core.errors import MalformedEvent, QueueFull, StoreUnavailable
from lockstream.core.outcomes import Accepted, Duplicate
from lockstream.services.running.checkpointer import Checkpointer
from lockstream.services.running.embedded_engine import EmbeddedEngine
from lockstream.services.running.telemetry.traces import deliveries
from lockstream.services.running.telemetry.traces.spans import RequestSpan, Tracing
from lockstream.services.running.telemetry.traces.traced_group_commit import TracedGroupCommit
from lockstream.tests.support.builders import event, registered, reserved
from lockstream.tests.support.coroutines import run, wait_for
from lockstream.tests.support.faulty_store import POISON, FaultyStore

pytestmark = pytest.mark.usefixtures("short_waits")


class TracedSystem:
    """A group commit and an engine with traces, which are kept in memory. For one event loop."""

    def __init__(self, store: FaultyStore, queue_limit: int = 1_000) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider, self._exporter)
        self.engine = EmbeddedEngine(store, 200, self.tracing)
        self.group_commit = TracedGroupCommit(self.engine, queue_limit, None, self.tracing)

    def begin_request(self, name: str = "request") -> RequestSpan:
        return self.tracing.begin_request(name, [])

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the ended spans with a name."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def names(self) -> list[str]:
        """Return the names of all spans that have ended, apart from checkpoints."""
        return [span.name for span in self._exporter.get_finished_spans() if span.name != "checkpoint"]

    async def close(self) -> None:
        """Close the system, and check that it holds no span of a request."""
        await self.group_commit.close()
        await self.engine.close()
        assert self.group_commit._traced == {}
        assert self.tracing.decision is None


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry logs a warning for each use of a span that has ended."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")] == []


def has_failed(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR


def test_a_failed_flush_fails_its_span_and_gives_no_position(store: FaultyStore) -> None:
    async def report() -> None:
        system = TracedSystem(store)
        request = system.begin_request()
        with store.failing_flushes(), pytest.raises(StoreUnavailable):
            await system.group_commit.submit([event(registered())])
        request.end(503, {})
        [flush], [ended] = system.named("flush"), system.named("request")
        assert has_failed(flush)
        assert has_failed(ended)
        assert "lockstream.position" not in dict(ended.attributes or {})
        await system.close()

    run(report())


def test_requests_that_are_refused_or_malformed_leave_no_span_open(store: FaultyStore) -> None:
    async def report() -> None:
        system = TracedSystem(store, queue_limit=2)
        request = system.begin_request()
        # given a queue that is nearly full
        first = asyncio.ensure_future(system.group_commit.submit([event(registered("a")), event(registered("b"))]))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await system.group_commit.submit([event(registered("c"))])
        assert await first == [Accepted(1), Accepted(2)]
        # when a malformed text, an internal error and an event are decided together
        malformed = asyncio.ensure_future(system.group_commit.submit_text(b"{}"))
        poisoned = asyncio.ensure_future(system.group_commit.submit([event(reserved(POISON, "a"))]))
        outcomes = await asyncio.gather(malformed, poisoned, return_exceptions=True)
        assert isinstance(outcomes[0], MalformedEvent)
        assert isinstance(cast(list[object], outcomes[1])[0], ZeroDivisionError)
        request.end(200, {})
        assert system.names() == ["queue", "decide", "flush", "queue", "queue", "decide", "flush", "request"]
        await system.close()

    run(report())


def test_a_client_that_disconnects_leaves_its_spans_in_order(store: FaultyStore) -> None:
    async def report() -> None:
        system = TracedSystem(store)
        store.shut_gate()
        request = system.begin_request()
        waiting = asyncio.ensure_future(system.group_commit.submit([event(registered())]))
        await store.flush_waits()
        # when the request ends before its event is durable
        waiting.cancel()
        request.end(None, {})
        # then a request that is decided meanwhile has its own spans
        other = system.begin_request("other")
        following = asyncio.ensure_future(system.group_commit.submit([event(registered("c2"))]))
        store.open_gate()
        assert await following == [Accepted(2)]
        other.end(202, {})
        assert system.names().count("flush") == 2
        assert has_failed(system.named("request")[0])
        await system.close()

    run(report())


def test_a_request_of_an_untraced_caller_has_no_spans(store: FaultyStore) -> None:
    async def report() -> None:
        system = TracedSystem(store)
        assert await system.group_commit.submit([event(registered())]) == [Accepted(1)]
        assert system.names() == []
        await system.close()

    run(report())


def test_a_failed_checkpoint_fails_its_span(store: FaultyStore) -> None:
    async def report() -> None:
        system = TracedSystem(store)
        store.checkpoint_errors = [StoreUnavailable("The disk is full.")]
        assert await system.group_commit.submit([event(registered())]) == [Accepted(1)]
        await wait_for(lambda: len(system.named("checkpoint")) == 2)  # it is tried again
        await system.close()
        first, *others = system.named("checkpoint")
        assert (has_failed(first), first.status.description) == (True, "The disk is full.")
        assert [dict(other.attributes or {}) for other in others] == [{"lockstream.position": 1}]

    run(report())


def test_without_traces_the_engine_has_the_plain_checkpointer(store: FaultyStore) -> None:
    async def close() -> None:
        engine = EmbeddedEngine(store, 200)
        assert type(engine.checkpointer) is Checkpointer
        await engine.close()

    run(close())


def test_a_page_of_the_feed_shows_in_the_traces_of_new_events_alone(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_POSITIONS", 2)

    async def report() -> None:
        system = TracedSystem(store)
        # given four events, of which the last three are traced, and only two are remembered
        bodies = [registered(str(number)) for number in range(4)]
        await system.group_commit.submit([event(bodies[0])])
        request = system.begin_request()
        await system.group_commit.submit([event(body) for body in bodies[1:]])
        assert await system.group_commit.submit([event(bodies[3])]) == [Duplicate(4)]
        request.end(200, {})
        lines = store.log_pages.page(0, 10).lines
        assert len(lines) == 4
        # when pages are read, then and again
        for page in ([], lines[:2], lines, lines[2:3]):
            system.tracing.deliveries.note(page, "page")
        shown = [dict(span.attributes or {})["lockstream.position"] for span in system.named("feed")]
        assert shown == [3, 4, 3]
        await system.close()

    run(report())
