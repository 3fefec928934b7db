"""Traces of a server: each request with its wait, decision, flush and delivery, as a collector receives them."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lockstream.tests.support.builders import as_array, registered
from lockstream.tests.support.clients import concurrent_client, open_from_environment
from lockstream.tests.support.otlp import Collector, collecting
from lockstream.tests.support.processes import Server, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
NO_TRACE = "0" * 32
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def test_an_accepted_event_is_followed_from_its_request_to_the_feed(log_path: Path, collector: Collector) -> None:
    # given a server that traces
    with Server(log_path, **collector.settings).start() as server:
        # when a client with a trace of its own reports an event, and another one reads the feed
        headers = {**SAMPLED, "X-Request-ID": "delivery-17"}
        status, given_back, _ = server.request("POST", "/events", json.dumps(registered()).encode(), headers)
        assert status == 202
        assert server.get("/events?after=0")[0] == 200
        assert server.stop(signal.SIGTERM) == 0
    # then the request is part of the client's trace
    [request] = collector.named("post_event")
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)
    assert request.service == "lockstream"
    assert request.attributes.items() >= {
        ("lockstream.position", 1),
        ("lockstream.request_id", "delivery-17"),
        ("http.request.method", "POST"),
        ("url.path", "/events"),
        ("http.response.status_code", 202),
    }
    assert not request.has_failed
    # and its response names the span of the request
    assert given_back["traceparent"] == f"00-{TRACE}-{request.span_id}-01"
    assert given_back["x-request-id"] == "delivery-17"
    # and all work for the event is below the request, in order
    assert collector.children(request) == ["queue", "decide", "flush", "feed"]
    [decision], [flush], [delivery] = map(collector.named, ("decide", "flush", "feed"))
    assert decision.attributes["lockstream.position"] == delivery.attributes["lockstream.position"] == 1
    assert request.started <= decision.started <= decision.ended <= flush.ended <= request.ended <= delivery.started
    # and the page of the feed is linked with it
    [page] = collector.named("get_events")
    assert delivery.links == [page.span_id]
    assert page.trace_id != TRACE
    # and a checkpoint has a trace of its own
    checkpoint = collector.named("checkpoint")[-1]
    assert (checkpoint.parent_id, checkpoint.attributes) == ("", {"lockstream.position": 1})


def test_the_transaction_of_a_batch_is_below_its_decision(
    log_path: Path, collector: Collector, database_url: str
) -> None:
    with Server(log_path, DATABASE_URL=database_url, **collector.settings).start() as server:
        assert server.request("POST", "/events", json.dumps(registered()).encode(), SAMPLED)[0] == 202
        assert server.get("/events?after=0")[0] == 200
        assert server.stop(signal.SIGTERM) == 0
    [request], [decision], [transaction] = map(collector.named, ("post_event", "decide", "transaction"))
    assert collector.children(request) == ["queue", "decide", "flush", "feed"]
    assert collector.children(decision) == ["transaction"]
    assert transaction.events == ["locked", "committed"]


@pytest.mark.parametrize(
    ("settings", "traced"),
    [
        ({}, ["sampled", "unknown"]),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, ["sampled"]),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, []),
        ({"OTEL_SDK_DISABLED": "true"}, []),
    ],
    ids=["always", "ratio", "never", "disabled"],
)
def test_the_sampler_decides_at_the_request_and_follows_the_client(
    log_path: Path, collector: Collector, settings: dict[str, str], traced: list[str]
) -> None:
    senders = {"sampled": SAMPLED, "not sampled": NOT_SAMPLED, "unknown": {}}
    with Server(log_path, **collector.settings, **settings).start() as server:
        for name, headers in senders.items():
            sent = {**headers, "X-Request-ID": name.replace(" ", "-")}
            status, given_back, _ = server.request("POST", "/events", json.dumps(registered(name)).encode(), sent)
            assert status == 202
            assert given_back["x-request-id"] == sent["X-Request-ID"]
            if headers:
                assert given_back["traceparent"].startswith(f"00-{TRACE}-")
            assert NO_TRACE not in given_back.get("traceparent", "")
        assert server.stop(signal.SIGTERM) == 0
    requests = collector.named("post_event")
    assert [span.attributes["lockstream.request_id"] for span in requests] == traced
    assert [collector.children(span) for span in requests] == [["queue", "decide", "flush"]] * len(traced)
    assert len(collector.named("decide")) == len(traced)


def test_requests_that_share_a_batch_are_linked_with_its_decision(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 5

    async def report_together() -> None:
        async with concurrent_client(open_from_environment) as client:
            bodies = [registered(f"c{number}") for number in range(count)]
            responses = await asyncio.gather(*(client.post("/events", json=body) for body in bodies))
            assert {response.status_code for response in responses} == {202}

    for name, value in collector.settings.items():
        monkeypatch.setenv(name, value)
    asyncio.run(report_together())
    requests = {span.span_id: span for span in collector.named("post_event")}
    assert len(requests) == count
    reached = set()
    for decision in collector.named("decide"):
        sharers = [decision.parent_id, *decision.links]
        assert decision.attributes["lockstream.requests"] == decision.attributes["lockstream.events"] == len(sharers)
        for sharer in decision.links:
            assert decision.span_id in requests[sharer].links
        reached |= set(sharers)
    assert reached == set(requests)
    assert len(collector.named("decide")) < count
    assert sorted(int(span.attributes["lockstream.position"]) for span in requests.values()) == [1, 2, 3, 4, 5]


def test_a_batch_has_the_spans_of_its_chunks_and_counts_its_outcomes(log_path: Path, collector: Collector) -> None:
    first = registered("c1")
    items = as_array(first, first, registered("c2"), b'{"event_id": 1}')
    with Server(log_path, **collector.settings).start() as server:
        assert server.request("POST", "/events/batch", items, {"Content-Type": "application/json"})[0] == 200
        assert server.request("POST", "/events", b"{}")[0] == 422
        assert server.request("POST", "/events", json.dumps(first).encode())[0] == 200
        assert server.stop(signal.SIGTERM) == 0
    [batch] = collector.named("post_batch")
    assert (batch.attributes["lockstream.position"], batch.events) == (2, ["acknowledged"])
    malformed, duplicate = collector.named("post_event")
    assert collector.children(malformed) == ["queue", "decide"]
    assert "lockstream.position" not in malformed.attributes
    assert duplicate.attributes["lockstream.position"] == 1


def test_a_stream_shows_in_the_trace_of_each_event_that_it_sends(log_path: Path, collector: Collector) -> None:
    from http.client import HTTPConnection

    with Server(log_path, **collector.settings).start() as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/events/stream?after=0")
        stream = connection.getresponse()
        assert server.request("POST", "/events", json.dumps(registered()).encode(), SAMPLED)[0] == 202
        while b"data: " not in stream.readline():
            pass
        connection.close()
        wait_until(lambda: collector.named("feed"))
        [delivery] = collector.named("feed")
        assert delivery.trace_id == TRACE
        assert delivery.attributes["lockstream.feed"] == "stream"
        assert server.stop(signal.SIGTERM) == 0


def test_a_server_without_its_collector_accepts_events_and_stops(log_path: Path) -> None:
    settings = {"LOCKSTREAM_TRACES": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with Server(log_path, LOCKSTREAM_LOG_FORMAT="json", **settings).start() as server:
        assert server.post(json.dumps(registered(event_id=str(uuid4()))).encode()) == 202
        assert server.stop(signal.SIGTERM) == 0
        lines = [json.loads(line) for line in server.stderr.splitlines()]
    assert any(line["logger"].startswith("opentelemetry.") for line in lines)
