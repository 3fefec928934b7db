"""Bodies that are made to be as hard to read as can be: they cost little more than others of their size."""

import asyncio
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.batches import LINES, LIST, Form, post_text, posted, statuses, task
from lockstream.tests.presentation.http.conftest import concurrent_client, open_from_environment
from lockstream.tests.presentation.http.test_gzip_bombs import peak_memory
from lockstream.tests.services.running.test_group_commit import run
from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import Server

MEBIBYTE = 1024 * 1024
LIMIT = 4 * MEBIBYTE
EVENT_SIZE = 64 * 1024

CPU_SECONDS_PER_MEBIBYTE = 5
"""How much a list may take. What is usual is a hundredth of that; what grows with the square is far beyond it."""

ROOM = 12 * LIMIT
"""How much more memory a server may take for the largest list."""

DEEP = b"[" * 5_000 + b"]" * 5_000


def filled(unit: bytes, head: bytes = b"[", tail: bytes = b"0]", size: int = EVENT_SIZE) -> bytes:
    """As many units as there is room for."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def paired(begin: bytes, end: bytes, size: int) -> bytes:
    """A list that is as deep as there is room for."""
    depth = (size - 3) // len(begin + end)
    return b"[" + begin * depth + b"0" + end * depth + b"]"


def astray(size: int) -> bytes:
    """Events of which next to nothing is right: what is wrong with them is longer than they are."""
    fields = b",".join(b'"%x":0' % number for number in range(EVENT_SIZE // 10))
    item = b'{"type":"FaultReported",' + fields + b"},"
    return filled(item, size=max(size, len(item) + 10))


LISTS: dict[str, Callable[[int], bytes]] = {
    "millions of numbers": lambda size: filled(b"0,", size=size),
    "millions of lists": lambda size: filled(b"[],", size=size),
    "millions of strings": lambda size: filled(b'"",', size=size),
    "one long list": lambda size: filled(b"0,", b"[[", b"0]]", size),
    "one long string": lambda size: filled(b"x", b'["', b'"]', size),
    "one long string of escapes": lambda size: filled(b'\\"', b'["', b'"]', size),
    "one deep list": lambda size: paired(b"[", b"]", size),
    "one deep object": lambda size: paired(b'{"a":', b"}", size),
    "beginnings of lists": lambda size: filled(b"[", tail=b"", size=size),
    "beginnings of objects": lambda size: filled(b'{"a":', tail=b"", size=size),
    "a deep list and millions of numbers": lambda size: filled(b"0,", b"[" + DEEP + b",", size=size),
    "a deep list and millions of lists": lambda size: filled(b"[],", b"[" + DEEP + b",", size=size),
    "a deep list and a string without an end": lambda size: filled(b"\\\\", b"[" + DEEP + b',"', b"", size),
    "a deep list and strings without an end": lambda size: filled(b'"\\', b"[" + DEEP + b",", b"", size),
    "NaN millions of times": lambda size: filled(b"NaN,", size=size),
    "events of which next to nothing is right": astray,
    "surrogates millions of times": lambda size: filled(b'"\\ud800",', size=size),
}


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_MAX_BATCH_BYTES", str(LIMIT))


@pytest.mark.parametrize("make", LISTS.values(), ids=LISTS)
def test_a_list_is_answered_before_long(client: TestClient, make: Callable[[int], bytes]) -> None:
    client.event_hooks = {}  # to hold thousands of events to the contract takes longer
    for size in EVENT_SIZE, MEBIBYTE:  # the smaller one first: what grows with the square shall be seen today
        body = make(size)
        before = time.process_time()
        answer = post_text(client, LIST, body)
        assert time.process_time() - before < max(1, CPU_SECONDS_PER_MEBIBYTE * size / MEBIBYTE)
        assert answer.status_code in (200, 413, 422)
    assert statuses(posted(client, LIST, registered())) == [202]


EVENTS: dict[str, bytes] = {
    "beginnings of lists": filled(b"["),
    "a deep list": b"[" * (EVENT_SIZE // 2) + b"]" * (EVENT_SIZE // 2),
    "many lists": filled(b"[],"),
    "a deep list and strings without an end": filled(b'"\\', b"[" * 200, b""),
    "a deep list and quotation marks": filled(b'"', b"[" * 200, b""),
    "a deep list and backslashes": filled(b"\\", b"[" * 200 + b'"', b""),
    "surrogates": filled(rb'"\ud800",'),
    "digits": filled(b"9", b'{"event_id":', b"}"),
    "members": filled(b'"a":1,', b"{", b'"a":1}'),
    "a further field": filled(b"9", b'{"type":"FaultReported","payload":{"x":', b"}}"),
    "a long id": filled(b"a", b'{"event_id":"', b'"}'),
    "a long time": filled(b"0", b'{"occurred_at":"', b'"}'),
}


@pytest.mark.parametrize("body", EVENTS.values(), ids=EVENTS)
def test_an_event_is_answered_before_long(client: TestClient, body: bytes) -> None:
    assert len(body) <= EVENT_SIZE
    before = time.process_time()
    assert client.post("/events", content=body, headers={"content-type": LIST.media_type}).status_code == 422
    assert statuses(posted(client, LINES, body)) == [422]
    assert time.process_time() - before < 1


def test_thousands_of_faults_are_not_told_one_by_one(client: TestClient) -> None:
    many = json.dumps(registered() | {f"x{number}": 0 for number in range(5_000)}).encode()
    answer = post_text(client, LINES, b"\n".join([many] * 20))
    assert len(answer.content) < 20 * 1_000
    for item in answer.json():
        assert item["status"] == 422
        assert "5000 faults" in item["detail"][0]["msg"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
@pytest.mark.parametrize(
    "name",
    [
        "one deep list",
        "millions of numbers",
        "a deep list and millions of numbers",
        "events of which next to nothing is right",
    ],
)
def test_a_list_takes_no_more_memory_than_a_few_of_its_size(log_path: Path, name: str) -> None:
    body = gzip.compress(LISTS[name](LIMIT))
    with Server(log_path).start() as server:
        before = peak_memory(server)
        headers = {"content-type": LIST.media_type, "content-encoding": "gzip"}
        assert server.request("POST", LIST.path, body, headers)[0] in (200, 413)
        assert peak_memory(server) - before < ROOM


@pytest.mark.parametrize("form", [LIST, LINES], ids=["blanks in a list", "blank lines"])
def test_others_are_served_while_a_small_body_is_inflated_to_a_large_one(form: Form) -> None:
    body = gzip.compress((b"[" if form == LIST else b"") + b"\n" * (LIMIT - 2) + (b"]" if form == LIST else b""))

    async def life() -> int:
        async with concurrent_client(open_from_environment) as client:
            reads, batch = 0, task(post_text(client, form, body, content_encoding="gzip"))
            while not batch.done():
                await asyncio.sleep(0)
                reads += 1
            assert batch.result().json() == []
            return reads

    assert run(life()) > LIMIT / MEBIBYTE
