"""Bodies that are sent compressed."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.batches import (
    LINES,
    LIST,
    Form,
    each_form,
    post_parts,
    post_text,
    posted,
    statuses,
    told,
)
from lockstream.tests.presentation.http.conftest import Clients
from lockstream.tests.presentation.http.test_limits import of_size
from lockstream.tests.support.builders import registered
from lockstream.tests.support.log_audit import audited

EVENT_LIMIT, BATCH_LIMIT = 1024, 64 * 1024
EVENT = json.dumps(registered()).encode()
GZIPPED = gzip.compress(EVENT)

ALONE = Form("alone", "application/json", lambda event: event, "/events")

each_body = pytest.mark.parametrize("form", [ALONE, LIST, LINES], ids=["alone", "list", "lines"])


def post_gzipped(client: TestClient, form: Form, text: bytes, encoding: str = "gzip") -> Any:
    return post_text(client, form, text, content_encoding=encoding)


def status_of_first(answer: Any) -> int:
    """What became of the first event, or of them all."""
    status: int = told(answer)[0]["status"] if answer.request.url.path != "/events" else answer.status_code
    return status


@pytest.fixture
def limited(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("LOCKSTREAM_MAX_EVENT_BYTES", str(EVENT_LIMIT))
    monkeypatch.setenv("LOCKSTREAM_MAX_BATCH_BYTES", str(BATCH_LIMIT))
    with clients() as client:
        yield client


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip"])
@each_body
def test_a_gzipped_body_is_read(client: TestClient, log_path: Path, form: Form, encoding: str) -> None:
    assert status_of_first(post_gzipped(client, form, gzip.compress(form.write(EVENT)), encoding)) == 202
    assert [record["event_id"] for record in audited(log_path)] == [json.loads(EVENT)["event_id"]]


@each_body
def test_a_body_may_be_said_to_be_as_it_is(client: TestClient, form: Form) -> None:
    assert status_of_first(post_gzipped(client, form, form.write(EVENT), "identity")) == 202


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, br", "gzipped"])
@each_body
def test_another_encoding_is_not_supported_and_it_is_said_which_one_is(
    client: TestClient, log_path: Path, form: Form, encoding: str
) -> None:
    answer = post_gzipped(client, form, gzip.compress(form.write(EVENT)), encoding)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip")
    assert isinstance(answer.json()["detail"], str)
    assert log_path.read_bytes() == b""


def flipped(text: bytes, at: int) -> bytes:
    at %= len(text)
    return text[:at] + bytes([text[at] ^ 0x55]) + text[at + 1 :]


CORRUPT: dict[str, Callable[[bytes], bytes]] = {
    "not compressed at all": gzip.decompress,
    "one byte": lambda text: text[:1],
    "half a header": lambda text: text[:5],
    "only the header": lambda text: text[:10],
    "half of it": lambda text: text[: len(text) // 2],
    "all but the trailer": lambda text: text[:-8],
    "all but a byte": lambda text: text[:-1],
    "another magic number": lambda text: flipped(text, 0),
    "another method": lambda text: flipped(text, 2),
    "damaged data": lambda text: flipped(text, len(text) // 2),
    "another checksum": lambda text: flipped(text, -8),
    "another size": lambda text: flipped(text, -4),
    "more behind it": lambda text: text + b"more",
    "half a member behind it": lambda text: text + GZIPPED[:-3],
    "a header behind it": lambda text: text + GZIPPED[:4],
    "the format of zlib": lambda text: zlib.compress(gzip.decompress(text)),
}


@pytest.mark.parametrize("corrupt", CORRUPT.values(), ids=CORRUPT)
@each_body
def test_a_corrupt_body_is_malformed(
    clients: Clients, log_path: Path, form: Form, corrupt: Callable[[bytes], bytes]
) -> None:
    right = gzip.compress(form.write(EVENT))
    wrong = corrupt(right)
    with clients() as client:
        assert_corrupt(post_gzipped(client, form, wrong))
    assert_corrupt(post_parts(form, wrong, 1, content_encoding="gzip"))
    assert form == LINES or log_path.read_bytes() == b""
    with clients() as client:
        assert status_of_first(post_gzipped(client, form, right)) in (200, 202)
    assert len(audited(log_path)) == 1


def assert_corrupt(answer: Any) -> None:
    assert answer.status_code == 422
    assert [(error["loc"], error["type"]) for error in answer.json()["detail"]] == [(["body"], "gzip_invalid")]


@each_body
def test_nothing_at_all_is_no_gzip(client: TestClient, form: Form) -> None:
    assert post_gzipped(client, form, b"").status_code == 422


@pytest.mark.parametrize("size", [1, 7, 100])
@each_body
def test_members_one_after_the_other_are_one_body(clients: Clients, form: Form, size: int) -> None:
    members, empty = in_members(form.write(EVENT), size), gzip.compress(b"")
    with clients() as client:
        assert status_of_first(post_gzipped(client, form, empty + members + empty)) == 202
    assert status_of_first(post_parts(form, members, 13, content_encoding="gzip")) == 200


def in_members(text: bytes, size: int) -> bytes:
    """`text` compressed in parts of so many bytes."""
    return b"".join(gzip.compress(text[start : start + size]) for start in range(0, len(text), size))


@each_form
def test_an_event_does_not_end_where_a_member_does(client: TestClient, form: Form) -> None:
    events = [registered(f"é{number}") for number in range(300)]
    text = form.write(*(json.dumps(event, ensure_ascii=False).encode() for event in events))
    assert statuses(told(post_gzipped(client, form, in_members(text, 501)))) == [202] * 300
    assert statuses(posted(client, form, *events)) == [200] * 300


@pytest.mark.parametrize("surplus", [-1, 0, 1])
@pytest.mark.parametrize("power", [14, 16, 17])
@each_form
def test_a_body_of_any_length_is_read_to_its_end(client: TestClient, form: Form, power: int, surplus: int) -> None:
    """Wherever it ends in what is inflated in one go."""
    text = form.write(EVENT)
    text += b"\n" * (2**power + surplus - len(text))
    assert status_of_first(post_gzipped(client, form, gzip.compress(text))) == 202


@pytest.mark.parametrize("level", [0, 9])
def test_an_event_is_measured_as_it_was_before_it_was_compressed(limited: TestClient, level: int) -> None:
    """Stored at level 0, it takes more bytes than the limit has."""
    assert post_gzipped(limited, ALONE, gzip.compress(of_size(EVENT_LIMIT), level)).status_code == 202
    assert post_gzipped(limited, ALONE, gzip.compress(of_size(EVENT_LIMIT + 1), level)).status_code == 413


@pytest.mark.parametrize("level", [0, 9])
@each_form
def test_a_batch_is_measured_as_it_was_before_it_was_compressed(limited: TestClient, form: Form, level: int) -> None:
    text = form.write(EVENT, of_size(EVENT_LIMIT), of_size(EVENT_LIMIT + 1))
    text += b"\n" * (BATCH_LIMIT - len(text))
    assert statuses(told(post_gzipped(limited, form, gzip.compress(text, level)))) == [202, 409, 422]
    assert post_gzipped(limited, form, gzip.compress(text + b"\n", level)).status_code == 413
