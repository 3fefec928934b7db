"""Compressed request bodies: gzip is supported, and size limits count decompressed bytes."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.bodies import INFLATED_CHUNK_BYTES
from lockstream.tests.presentation.http.batch_requests import (
    NDJSON,
    SINGLE,
    Form,
    each_body,
    each_form,
    first_status,
    in_chunks,
    items_of,
    post_batch,
    post_body,
    statuses,
)
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import event_of_size, registered
from lockstream.tests.support.clients import concurrent_client, open_from_environment
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.log_audit import audited

EVENT_LIMIT, BATCH_LIMIT = 1024, 64 * 1024

EVENT = json.dumps(registered()).encode()
COMPRESSED = gzip.compress(EVENT)


def post_gzip(client: TestClient, form: Form, body: bytes, encoding: str = "gzip") -> Any:
    return post_body(client, form, body, content_encoding=encoding)


@pytest.fixture
def limited_client(new_client: NewClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("LOCKSTREAM_MAX_EVENT_BYTES", str(EVENT_LIMIT))
    monkeypatch.setenv("LOCKSTREAM_MAX_BATCH_BYTES", str(BATCH_LIMIT))
    with new_client() as client:
        yield client


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip"])
@each_body
def test_a_gzip_body_is_decompressed(client: TestClient, log_path: Path, form: Form, encoding: str) -> None:
    assert first_status(post_gzip(client, form, gzip.compress(form.write(EVENT)), encoding)) == 202
    assert [record["event_id"] for record in audited(log_path)] == [json.loads(EVENT)["event_id"]]


@each_body
def test_the_encoding_identity_means_an_uncompressed_body(client: TestClient, form: Form) -> None:
    assert first_status(post_gzip(client, form, form.write(EVENT), "identity")) == 202


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, br", "gzipped"])
@each_body
def test_another_encoding_gets_415_with_the_supported_one(
    client: TestClient, log_path: Path, form: Form, encoding: str
) -> None:
    response = post_gzip(client, form, gzip.compress(form.write(EVENT)), encoding)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip")
    assert repr(encoding) in response.json()["detail"]
    assert log_path.read_bytes() == b""


def flip(body: bytes, index: int) -> bytes:
    index %= len(body)
    return body[:index] + bytes([body[index] ^ 0x55]) + body[index + 1 :]


CORRUPTIONS: dict[str, Callable[[bytes], bytes]] = {
    "not compressed at all": gzip.decompress,
    "one byte": lambda body: body[:1],
    "half a header": lambda body: body[:5],
    "only the header": lambda body: body[:10],
    "half of the body": lambda body: body[: len(body) // 2],
    "all but the trailer": lambda body: body[:-8],
    "all but a byte": lambda body: body[:-1],
    "another magic number": lambda body: flip(body, 0),
    "another method": lambda body: flip(body, 2),
    "damaged data": lambda body: flip(body, len(body) // 2),
    "another checksum": lambda body: flip(body, -8),
    "another size": lambda body: flip(body, -4),
    "text after the end": lambda body: body + b"more",
    "half a member after the end": lambda body: body + COMPRESSED[:-3],
    "a header after the end": lambda body: body + COMPRESSED[:4],
    "the format of zlib": lambda body: zlib.compress(gzip.decompress(body)),
}
"""Description, to a function that corrupts a gzip body."""


@pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS)
@each_body
def test_a_corrupt_gzip_body_is_malformed(log_path: Path, form: Form, corrupt: Callable[[bytes], bytes]) -> None:
    intact = gzip.compress(form.write(EVENT))
    corrupted = corrupt(intact)

    async def post_corrupted_then_intact() -> None:
        async with concurrent_client(open_from_environment) as client:
            # when a corrupt body arrives in one chunk, or byte by byte, then it is malformed
            for body in corrupted, in_chunks(corrupted, 1):
                assert_corrupt(await post_body(client, form, body, content_encoding="gzip"))
            # and nothing of it is accepted, except lines of NDJSON before the error
            assert form == NDJSON or not log_path.stat().st_size  # noqa: ASYNC240  # blocks nobody
            # and it may be sent again
            assert first_status(await post_body(client, form, intact, content_encoding="gzip")) in (200, 202)

    run(post_corrupted_then_intact())
    assert len(audited(log_path)) == 1


def assert_corrupt(response: Any) -> None:
    assert response.status_code == 422
    assert [(error["loc"], error["type"]) for error in response.json()["detail"]] == [(["body"], "gzip_invalid")]


@each_body
def test_an_empty_body_is_not_gzip(client: TestClient, form: Form) -> None:
    assert post_gzip(client, form, b"").status_code == 422


@pytest.mark.parametrize("size", [1, 7, 100])
@each_body
def test_several_gzip_members_are_one_body(form: Form, size: int) -> None:
    members, empty = in_members(form.write(EVENT), size), gzip.compress(b"")

    async def post_whole_then_in_chunks() -> list[int]:
        async with concurrent_client(open_from_environment) as client:
            bodies = empty + members + empty, in_chunks(members, 13)
            return [first_status(await post_body(client, form, body, content_encoding="gzip")) for body in bodies]

    assert run(post_whole_then_in_chunks()) == [202, 200]


def in_members(body: bytes, size: int) -> bytes:
    """Return `body` compressed in parts of `size` bytes."""
    return b"".join(gzip.compress(body[begin : begin + size]) for begin in range(0, len(body), size))


@each_form
def test_an_event_may_span_two_gzip_members(client: TestClient, form: Form) -> None:
    events = [registered(f"é{number}") for number in range(300)]
    body = form.write(*(json.dumps(event, ensure_ascii=False).encode() for event in events))
    assert statuses(items_of(post_gzip(client, form, in_members(body, 501)))) == [202] * 300
    assert statuses(post_batch(client, form, *events)) == [200] * 300


@pytest.mark.parametrize("surplus", [-1, 0, 1])
@pytest.mark.parametrize("size", [INFLATED_CHUNK_BYTES // 4, INFLATED_CHUNK_BYTES, 2 * INFLATED_CHUNK_BYTES])
@each_form
def test_a_body_is_read_to_its_end_at_any_border_of_decompressed_chunks(
    client: TestClient, form: Form, size: int, surplus: int
) -> None:
    body = form.write(EVENT).ljust(size + surplus, b"\n")
    assert first_status(post_gzip(client, form, gzip.compress(body))) == 202


@pytest.mark.parametrize("level", [0, 9])
def test_the_limit_of_an_event_counts_decompressed_bytes(limited_client: TestClient, level: int) -> None:
    """At level 0, a body has more bytes than its content."""
    assert post_gzip(limited_client, SINGLE, gzip.compress(event_of_size(EVENT_LIMIT), level)).status_code == 202
    assert post_gzip(limited_client, SINGLE, gzip.compress(event_of_size(EVENT_LIMIT + 1), level)).status_code == 413


@pytest.mark.parametrize("level", [0, 9])
@each_form
def test_the_limit_of_a_batch_counts_decompressed_bytes(limited_client: TestClient, form: Form, level: int) -> None:
    body = form.write(EVENT, event_of_size(EVENT_LIMIT), event_of_size(EVENT_LIMIT + 1)).ljust(BATCH_LIMIT, b"\n")
    assert statuses(items_of(post_gzip(limited_client, form, gzip.compress(body, level)))) == [202, 409, 422]
    assert post_gzip(limited_client, form, gzip.compress(body + b"\n", level)).status_code == 413
