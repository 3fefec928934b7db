"""Bodies made to be as hard to decode as possible: they cost little more time and memory than others of their size."""

import asyncio
import gzip
import json
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.batch_requests import (
    ARRAY,
    NDJSON,
    Form,
    each_form,
    items_of,
    post_batch,
    post_body,
    start,
    statuses,
)
from lockstream.tests.support.builders import registered
from lockstream.tests.support.clients import concurrent_client, open_from_environment
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.processes import Server, needs_proc, peak_memory

MEBIBYTE = 1024 * 1024
LIMIT = 4 * MEBIBYTE
EVENT_SIZE = 64 * 1024

CPU_SECONDS_PER_MEBIBYTE = 5
"""Time that an array may take. Usual is a hundredth of that; quadratic time is far beyond."""

MAX_GROWTH = 12 * LIMIT
"""Bytes of memory that the largest array may cost."""

NESTED = b"[" * 5_000 + b"]" * 5_000


def filled(unit: bytes, head: bytes = b"[", tail: bytes = b"0]", size: int = EVENT_SIZE) -> bytes:
    """Return `head`, repetitions of `unit`, and `tail`: as many repetitions as fit into `size` bytes."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def nested(opening: bytes, closing: bytes, size: int) -> bytes:
    """Return an array of at most `size` bytes, nested as deep as possible."""
    depth = (size - 3) // len(opening + closing)
    return b"[" + opening * depth + b"0" + closing * depth + b"]"


def events_full_of_errors(size: int) -> bytes:
    """Return malformed events, each with so many errors that the list of errors would be longer than the event."""
    members = b",".join(b'"%x":0' % number for number in range(EVENT_SIZE // 10))
    item = b'{"type":"FaultReported",' + members + b"},"
    return filled(item, size=max(size, len(item) + 10))


ARRAYS: dict[str, Callable[[int], bytes]] = {
    "millions of numbers": lambda size: filled(b"0,", size=size),
    "millions of arrays": lambda size: filled(b"[],", size=size),
    "millions of strings": lambda size: filled(b'"",', size=size),
    "one long array": lambda size: filled(b"0,", b"[[", b"0]]", size),
    "one long array of arrays": lambda size: filled(b"[],", b"[[", b"0]]", size),
    "one long array of objects": lambda size: filled(b"{},", b"[[", b"0]]", size),
    "one long object": lambda size: filled(b'"a":0,', b"[{", b'"a":0}]', size),
    "one long string": lambda size: filled(b"x", b'["', b'"]', size),
    "one long string of escapes": lambda size: filled(b'\\"', b'["', b'"]', size),
    "one long number": lambda size: filled(b"9", size=size),
    "one deep array": lambda size: nested(b"[", b"]", size),
    "one deep object": lambda size: nested(b'{"a":', b"}", size),
    "opening brackets": lambda size: filled(b"[", tail=b"", size=size),
    "opening brackets of objects": lambda size: filled(b'{"a":', tail=b"", size=size),
    "a deep array and millions of numbers": lambda size: filled(b"0,", b"[" + NESTED + b",", size=size),
    "a deep array and millions of arrays": lambda size: filled(b"[],", b"[" + NESTED + b",", size=size),
    "a deep array and a string without an end": lambda size: filled(b"\\\\", b"[" + NESTED + b',"', b"", size),
    "a deep array and strings without an end": lambda size: filled(b'"\\', b"[" + NESTED + b",", b"", size),
    "a string without an end": lambda size: filled(b"x,", b'["', b"", size),
    "NaN millions of times": lambda size: filled(b"NaN,", size=size),
    "events full of errors": events_full_of_errors,
    "surrogates millions of times": lambda size: filled(b'"\\ud800",', size=size),
    "blanks": lambda size: filled(b" ", size=size),
    "large items": lambda size: filled(b"[" + b"0," * EVENT_SIZE + b"0],", size=max(size, 3 * EVENT_SIZE)),
}
"""Description, to a function that returns an array of some size."""


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_MAX_BATCH_BYTES", str(LIMIT))


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_an_array_takes_time_in_proportion_to_its_size(
    unchecked_client: TestClient, make: Callable[[int], bytes]
) -> None:
    for size in EVENT_SIZE, MEBIBYTE:  # the smaller one first, so that quadratic time fails soon
        body = make(size)
        begin = time.process_time()
        response = post_body(unchecked_client, ARRAY, body)
        assert time.process_time() - begin < max(1, CPU_SECONDS_PER_MEBIBYTE * size / MEBIBYTE)
        assert response.status_code in (200, 413, 422)
    assert statuses(post_batch(unchecked_client, ARRAY, registered())) == [202]


EVENTS: dict[str, bytes] = {
    "opening brackets": filled(b"["),
    "a deep array": b"[" * (EVENT_SIZE // 2) + b"]" * (EVENT_SIZE // 2),
    "many arrays": filled(b"[],"),
    "a deep array and strings without an end": filled(b'"\\', b"[" * 200, b""),
    "a deep array and quotation marks": filled(b'"', b"[" * 200, b""),
    "a deep array and backslashes": filled(b"\\", b"[" * 200 + b'"', b""),
    "surrogates": filled(rb'"\ud800",'),
    "digits": filled(b"9", b'{"event_id":', b"}"),
    "duplicate members": filled(b'"a":1,', b"{", b'"a":1}'),
    "a further payload member": filled(b"9", b'{"type":"FaultReported","payload":{"x":', b"}}"),
    "a long id": filled(b"a", b'{"event_id":"', b'"}'),
    "a long time": filled(b"0", b'{"occurred_at":"', b'"}'),
}


@pytest.mark.parametrize("body", EVENTS.values(), ids=EVENTS)
def test_an_event_takes_less_than_a_second(client: TestClient, body: bytes) -> None:
    assert len(body) <= EVENT_SIZE
    begin = time.process_time()
    assert client.post("/events", content=body, headers={"content-type": ARRAY.media_type}).status_code == 422
    assert statuses(post_batch(client, NDJSON, body)) == [422]
    assert time.process_time() - begin < 1


def test_thousands_of_errors_are_summarised(client: TestClient) -> None:
    event = json.dumps(registered() | {f"x{number}": 0 for number in range(5_000)}).encode()
    response = post_body(client, NDJSON, b"\n".join([event] * 20))
    assert len(response.content) < 20 * 1_000
    for item in response.json():
        assert item["status"] == 422
        assert "5000 errors" in item["detail"][0]["msg"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    """One server for all arrays, with its peak memory before the first of them."""
    log = tmp_path_factory.mktemp("server") / "event_log.jsonl"
    with Server(log, LOCKSTREAM_MAX_BATCH_BYTES=str(LIMIT)).start() as server:
        yield server, peak_memory(server)


@needs_proc
@pytest.mark.parametrize(
    "name",
    [
        *("one deep array", "millions of numbers", "a deep array and millions of numbers", "events full of errors"),
        *("one long array of arrays", "one long object", "NaN millions of times", "large items"),
    ],
)
def test_an_array_takes_memory_in_proportion_to_its_size(server: tuple[Server, int], name: str) -> None:
    process, initial_peak = server
    body = gzip.compress(ARRAYS[name](LIMIT), 1)
    headers = {"content-type": ARRAY.media_type, "content-encoding": "gzip"}
    assert process.request("POST", ARRAY.path, body, headers)[0] in (200, 413, 422)
    assert peak_memory(process) - initial_peak < MAX_GROWTH


@each_form
def test_other_requests_are_served_while_a_small_body_is_decompressed_to_a_large_one(form: Form) -> None:
    blanks = b"\n" * (LIMIT - 2)
    body = gzip.compress(b"[%b]" % blanks if form == ARRAY else blanks)

    async def count_turns_of_the_event_loop() -> int:
        async with concurrent_client(open_from_environment) as client:
            count, batch = 0, start(post_body(client, form, body, content_encoding="gzip"))
            while not batch.done():
                await asyncio.sleep(0)
                count += 1
            assert items_of(batch.result()) == []
            return count

    assert run(count_turns_of_the_event_loop()) > LIMIT / MEBIBYTE
