"""Bodies made to be as hard to decode as possible: they cost little more work and memory than others of their size."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product

import pytest
from fastapi.testclient import TestClient

from lockstream.infrastructure.codec import event_json
from lockstream.presentation.http.routes.batches import MAX_BATCH_EVENTS
from lockstream.schemas import batches, events
from lockstream.tests.presentation.http.batch_requests import (
    ARRAY,
    NDJSON,
    SINGLE,
    Form,
    each_form,
    items_of,
    post_batch,
    post_body,
    start,
    statuses,
)
from lockstream.tests.support.builders import fault_with_member, registered
from lockstream.tests.support.clients import concurrent_client, open_from_environment
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.processes import Server, needs_proc, peak_memory
from lockstream.tests.support.work import counted_work

MEBIBYTE = 1024 * 1024
LIMIT = 4 * MEBIBYTE
EVENT_SIZE = 64 * 1024

SIZES = 8 * 1024, 3 * EVENT_SIZE
"""Sizes of arrays in bytes. The smaller one comes first, so that quadratic work fails soon."""

FEW_COMMAS = 1_000
"""Commas beyond which arrays are scanned item by item here, so that small arrays are, too."""

STEPS_PER_BYTE, BYTES_PER_BYTE = 300, 200
"""Work that each byte of a body may take. At most 120 steps are usual, for an array of digits, and 67 bytes, for a long
id. Quadratic work takes thousands."""

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


@contextmanager
def linear_work(monkeypatch: pytest.MonkeyPatch, size: int, further_bytes: int = 0) -> Iterator[None]:
    """Assert that the block takes work in proportion to `size`, a number of bytes."""
    with counted_work(monkeypatch, batches, event_json, events) as work:
        yield
    assert 0 < work.steps <= STEPS_PER_BYTE * size
    assert size <= work.bytes <= BYTES_PER_BYTE * size + further_bytes


def bytes_of_windows(size: int) -> int:
    """Return the further bytes that the scan of an array may take: it copies and decodes a window for each item."""
    return 2 * min(MAX_BATCH_EVENTS + 1, size // 2) * min(size, EVENT_SIZE)


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_an_array_takes_work_in_proportion_to_its_size(
    unchecked_client: TestClient, monkeypatch: pytest.MonkeyPatch, make: Callable[[int], bytes]
) -> None:
    for body, many_commas in product(map(make, SIZES), (FEW_COMMAS, batches.MANY_COMMAS)):
        monkeypatch.setattr(batches, "MANY_COMMAS", many_commas)
        with linear_work(monkeypatch, len(body), bytes_of_windows(len(body))):
            response = post_body(unchecked_client, ARRAY, body)
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
    "a further member of many arrays": fault_with_member(f"[{'[],' * 20_000}[]]"),
    "a further member of many names": fault_with_member(f"[{'{"[":0},' * 7_000}[]]"),
    "a further member of many escapes": fault_with_member(f'["{'\\"[' * 20_000}"]'),
}


BODIES = [*(f"array: {name}" for name in ARRAYS), *(f"event: {name}" for name in EVENTS)]


@pytest.mark.parametrize("body", EVENTS.values(), ids=EVENTS)
def test_an_event_takes_work_in_proportion_to_its_size(
    unchecked_client: TestClient, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    assert len(body) <= EVENT_SIZE
    with linear_work(monkeypatch, len(body)):
        assert post_body(unchecked_client, SINGLE, body).status_code == 422
        assert statuses(post_batch(unchecked_client, NDJSON, body)) == [422]


@pytest.mark.parametrize("text", [*(make(EVENT_SIZE) for make in ARRAYS.values()), *EVENTS.values()], ids=BODIES)
def test_a_string_is_found_at_each_quotation_mark(text: bytes) -> None:
    """A search that reads on to the end, finds no string there, and begins again behind the mark would be quadratic."""
    assert '"' not in batches._tokens.sub("", text.decode())
    assert b'"' not in event_json._STRING.sub(b"", text)


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
