"""Request bodies: size limits, media types and the byte order mark."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.batch_requests import (
    ARRAY,
    NDJSON,
    SINGLE,
    Form,
    each_body,
    each_form,
    first_status,
    items_of,
    post_batch,
    post_body,
    post_in_chunks,
    statuses,
)
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import LOCKER, event_of_size, registered, reserved
from lockstream.tests.support.log_audit import audited

LIMIT = 1024

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@pytest.fixture
def limited_client(new_client: NewClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("LOCKSTREAM_MAX_EVENT_BYTES", str(LIMIT))
    with new_client() as client:
        yield client


def test_a_body_of_the_largest_size_is_accepted(limited_client: TestClient) -> None:
    assert limited_client.post("/events", content=event_of_size(LIMIT)).status_code == 202


def test_a_larger_body_gets_413(limited_client: TestClient) -> None:
    response = limited_client.post("/events", content=event_of_size(LIMIT + 1))
    assert response.status_code == 413
    detail = "The body is larger than 1024 bytes. Send less, or raise LOCKSTREAM_MAX_EVENT_BYTES."
    assert response.json() == {"detail": detail}
    assert limited_client.get(f"/lockers/{LOCKER}").status_code == 404


def test_a_body_of_unknown_length_gets_413_once_it_exceeds_the_limit(served: str) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        body = event_of_size(size)
        yield from (body[begin : begin + 1000] for begin in range(0, size, 1000))

    default_limit = 64 * 1024
    with httpx.Client(base_url=served) as client:
        assert client.post("/events", content=chunks(default_limit + 1)).status_code == 413
        assert client.post("/events", content=chunks(default_limit)).status_code == 202
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 1


JSON_TYPES = [
    *(
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON ;q=1",
        "Application/JSON ; charset=UTF-8",
    ),
    *("application/vnd.lockers+json", "application/ld+json; profile=x", "application/problem+JSON", None),
]
NDJSON_TYPES = [
    *("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines"),
    *("Application/X-NDJSON ; charset=UTF-8", "Application/NDJSON", "APPLICATION/JSONL;charset=utf-8"),
]
OTHER_TYPES = [
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "application/xml"),
    *("text/json", "application/json-seq", "application/jsonlines", "application/json,application/json"),
    "application/cloudevents-batch+json",
]
CLOUD_EVENT_TYPES = ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"]


def media_type_header(media_type: str | None) -> dict[str, str]:
    return {"content-type": media_type} if media_type else {}


@pytest.mark.parametrize("media_type", JSON_TYPES)
def test_an_event_of_a_json_type_is_accepted(client: TestClient, media_type: str | None) -> None:
    response = client.post("/events", content=json.dumps(registered()), headers=media_type_header(media_type))
    assert response.status_code == 202


@pytest.mark.parametrize("media_type", JSON_TYPES)
def test_a_batch_of_a_json_type_is_an_array(client: TestClient, media_type: str | None) -> None:
    body = ARRAY.write(registered(), reserved())
    response = client.post("/events/batch", content=body, headers=media_type_header(media_type))
    assert statuses(items_of(response)) == [202, 202]


@pytest.mark.parametrize("media_type", NDJSON_TYPES)
def test_a_batch_of_an_ndjson_type_has_one_event_a_line(client: TestClient, media_type: str) -> None:
    body = NDJSON.write(registered(), reserved())
    response = client.post("/events/batch", content=body, headers=media_type_header(media_type))
    assert statuses(items_of(response)) == [202, 202]


@pytest.mark.parametrize("media_type", [*OTHER_TYPES, *NDJSON_TYPES])
def test_an_event_of_another_type_gets_415(client: TestClient, log_path: Path, media_type: str) -> None:
    response = client.post("/events", content=json.dumps(registered()), headers=media_type_header(media_type))
    assert response.status_code == 415
    named = media_type.partition(";")[0].strip()
    supported = "application/json or application/cloudevents+json"
    assert response.json() == {"detail": f"The Content-Type {named!r} is not supported. Send {supported}."}
    assert log_path.read_bytes() == b""


@pytest.mark.parametrize("media_type", [*OTHER_TYPES, *CLOUD_EVENT_TYPES])
@each_form
def test_a_batch_of_another_type_gets_415(client: TestClient, log_path: Path, form: Form, media_type: str) -> None:
    response = client.post(form.path, content=form.write(registered()), headers=media_type_header(media_type))
    assert response.status_code == 415
    named = media_type.partition(";")[0]
    detail = f"The Content-Type {named!r} is not supported. Send application/json or application/x-ndjson."
    assert response.json() == {"detail": detail}
    assert log_path.read_bytes() == b""


@each_body
def test_a_byte_order_mark_before_the_body_is_ignored(client: TestClient, log_path: Path, form: Form) -> None:
    event = json.dumps(registered("Fach 1é"), ensure_ascii=False).encode()
    assert first_status(post_body(client, form, BYTE_ORDER_MARK + form.write(event))) == 202
    assert first_status(post_body(client, form, form.write(event))) == 200
    assert len(audited(log_path)) == 1


@each_body
def test_a_byte_order_mark_in_a_compressed_body_is_ignored(client: TestClient, form: Form) -> None:
    body = gzip.compress(BYTE_ORDER_MARK + form.write(json.dumps(registered()).encode()))
    assert first_status(post_body(client, form, body, content_encoding="gzip")) == 202


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 4])
@each_body
def test_a_byte_order_mark_that_arrives_in_chunks_is_ignored(form: Form, chunk_bytes: int) -> None:
    body = BYTE_ORDER_MARK + form.write(json.dumps(registered()).encode())
    assert first_status(post_in_chunks(form, body, chunk_bytes)) == 202


@pytest.mark.parametrize("chunk_bytes", [1, 2, 100])
@each_body
def test_a_byte_order_mark_in_a_compressed_body_that_arrives_in_chunks_is_ignored(form: Form, chunk_bytes: int) -> None:
    body = BYTE_ORDER_MARK + form.write(json.dumps(registered()).encode())
    members = b"".join(gzip.compress(bytes([byte])) for byte in body[:4]) + gzip.compress(body[4:])
    assert first_status(post_in_chunks(form, members, chunk_bytes, content_encoding="gzip")) == 202


def test_a_byte_order_mark_is_ignored_before_the_first_line_only(client: TestClient) -> None:
    event = json.dumps(registered()).encode()
    lines = [BYTE_ORDER_MARK + event, BYTE_ORDER_MARK + json.dumps(reserved()).encode(), event]
    assert statuses(post_batch(client, NDJSON, *lines)) == [202, 422, 200]


def test_a_byte_order_mark_after_a_blank_is_malformed(client: TestClient) -> None:
    event = json.dumps(registered()).encode()
    for blank in b" ", b"\n", b"\r\n":
        body = blank + BYTE_ORDER_MARK + event
        assert client.post("/events", content=body).status_code == 422
        assert statuses(items_of(post_body(client, NDJSON, body))) == [422]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_byte_order_mark_alone_is_a_malformed_event_and_an_empty_batch_of_lines(
    client: TestClient, size: int
) -> None:
    part = BYTE_ORDER_MARK[:size]
    assert post_body(client, SINGLE, part).status_code == 422
    assert post_body(client, ARRAY, part).status_code == 422
    assert statuses(items_of(post_body(client, NDJSON, part))) == ([] if size == 3 else [422])


def test_a_byte_order_mark_does_not_make_a_line_larger(limited_client: TestClient) -> None:
    lines = BYTE_ORDER_MARK + NDJSON.write(event_of_size(LIMIT), event_of_size(LIMIT))
    assert statuses(items_of(post_body(limited_client, NDJSON, lines))) == [202, 409]
    too_large = BYTE_ORDER_MARK + NDJSON.write(event_of_size(LIMIT + 1))
    [item] = items_of(post_body(limited_client, NDJSON, too_large))
    assert item["detail"][0]["type"] == "event_too_large"
