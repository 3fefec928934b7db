"""POST /events/batch: what is a batch at all, and where one ends and the next event begins."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.batches import (
    LINES,
    LIST,
    Form,
    each_form,
    locs,
    logged,
    post_parts,
    post_text,
    posted,
    statuses,
    told,
)
from lockstream.tests.support.builders import Body, as_array, as_lines, deposited, registered, reserved
from lockstream.tests.support.histories import history

EVENT = json.dumps(registered()).encode()

NO_LIST = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "null": b"null",
    "true": b"true",
    "a number": b"12",
    "a string": b'"[]"',
    "an event": EVENT,
    "an object that holds a list": b'{"events": %b}' % as_array(EVENT),
}

DEEP = b"[" * 5_000 + b"]" * 5_000
"""Deeper than a decoder goes."""

NO_JSON = {
    "a list without its end": as_array(EVENT)[:-1],
    "a list that ends in an event": as_array(EVENT)[:-20],
    "a list that ends after a comma": as_array(EVENT)[:-1] + b",",
    "a list that ends in a string": as_array(EVENT, b'"abc')[:-1],
    "a beginning of a list": b"[",
    "10,000 beginnings": b"[" * 10_000,
    "an end too many": as_array(EVENT) + b"]",
    "two lists": as_array(EVENT) + as_array(EVENT),
    "a list and more": as_array(EVENT) + b"x",
    "a comma behind the last": as_array(EVENT)[:-1] + b",]",
    "a comma before the first": b"[," + EVENT + b"]",
    "two commas": as_array(EVENT, b"", EVENT),
    "no comma": b"[" + EVENT + EVENT + b"]",
    "a bracket of the other kind": b"[" + EVENT + b"}",
    "single quotes": b"['a']",
    "a byte order mark": b"\xef\xbb\xbf" + as_array(EVENT),
    "UTF-16": as_array(EVENT).decode().encode("utf-16"),
    "bytes that are not UTF-8": as_array(EVENT, EVENT.replace(b"compartment-1", b"\xe9")),
    "half a character": as_array(EVENT, b'"\xc3"'),
    "an overlong character": as_array(EVENT, b'"\xc0\xaf"'),
    "a surrogate in bytes": as_array(EVENT, b'"\xed\xa0\x80"'),
    "a thousand events without an end": as_array(*(registered(str(number)) for number in range(1_000)))[:-1],
    "events on lines": as_lines(EVENT, EVENT),
    "a deep list and no end": as_array(EVENT, DEEP)[:-1],
    "a deep list and an end too many": as_array(EVENT, DEEP) + b"]",
    "a deep list and a bracket of the other kind": as_array(EVENT, DEEP)[:-1] + b"}",
    "a deep list and a comma behind the last": as_array(EVENT, DEEP, b""),
    "a deep list and two commas": as_array(EVENT, b"", DEEP),
    "a deep list that stands before a list": DEEP + as_array(EVENT),
    "a deep list in an object": b'{"events": %b}' % as_array(EVENT, DEEP),
    "a deep list and no UTF-8": as_array(EVENT, DEEP, b'"\xc3"'),
    "NaN and no end": as_array(EVENT, b"NaN")[:-1],
    "NaN and more": as_array(EVENT, b"NaN") + b"x",
    "NaN and a comma behind the last": as_array(EVENT, b"NaN", b""),
}


@pytest.mark.parametrize("text", (NO_LIST | NO_JSON).values(), ids=NO_LIST | NO_JSON)
def test_what_is_no_list_is_malformed_as_a_whole(client: TestClient, log_path: Path, text: bytes) -> None:
    answer = post_text(client, LIST, text)
    assert answer.status_code == 422
    assert [error["loc"][0] for error in answer.json()["detail"]] == ["body"]
    assert log_path.read_bytes() == b""
    assert statuses(posted(client, LIST, EVENT)) == [202]


@pytest.mark.parametrize(
    ("media_type", "form"),
    [
        *((LIST.media_type, LIST), ("application/json; charset=utf-8", LIST), ("Application/JSON ;q=1", LIST)),
        *(("application/vnd.lockers+json", LIST), (None, LIST)),
        *((LINES.media_type, LINES), ("Application/X-NDJSON ; charset=UTF-8", LINES)),
    ],
)
def test_the_media_type_says_which_form_it_is(client: TestClient, media_type: str | None, form: Form) -> None:
    headers = {"content-type": media_type} if media_type else {}
    answer = client.post(form.path, content=form.write(registered(), reserved()), headers=headers)
    assert statuses(told(answer)) == [202, 202]


@pytest.mark.parametrize(
    "media_type",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"),
        *("application/jsonl", "application/ndjson", "application/xml"),
    ],
)
@each_form
def test_other_media_types_are_not_supported(client: TestClient, log_path: Path, form: Form, media_type: str) -> None:
    answer = client.post(form.path, content=form.write(registered()), headers={"content-type": media_type})
    assert answer.status_code == 415
    assert repr(media_type.partition(";")[0]) in answer.json()["detail"]
    assert log_path.read_bytes() == b""


def test_an_event_alone_is_not_sent_as_lines(client: TestClient) -> None:
    assert client.post("/events", content=EVENT, headers={"content-type": LINES.media_type}).status_code == 415


ENDS = {
    "LF": b"\n",
    "CRLF": b"\r\n",
    "blank lines": b"\n\n\n",
    "blank lines with CRLF": b"\r\n\r\n",
    "blank lines of both kinds": b"\n\r\n\n",
    "lines of blanks": b" \n\t\r\n",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_line_ends_in_lf_or_crlf_and_blank_ones_do_not_count(client: TestClient, end: bytes) -> None:
    text = end + as_lines(registered(), b"7", reserved(), end=end)
    for body, expected in (text, [202, 422, 202]), (text.strip(), [200, 422, 200]):
        outcomes = told(post_text(client, LINES, body))
        assert statuses(outcomes) == expected
        assert {tuple(loc[:2]) for loc in locs(outcomes[1])} == {("body", 1)}


def test_nothing_else_ends_a_line(client: TestClient, log_path: Path) -> None:
    written = json.dumps(registered(note="\u2028\u2029\x85"), ensure_ascii=False).replace(", ", ",\r", 1).encode()
    assert written.count(b"\r") == 1
    assert statuses(told(post_text(client, LINES, written + b"\n" + EVENT))) == [202, 409]
    assert len(logged(log_path)) == 1


def test_two_events_on_a_line_are_none(client: TestClient, log_path: Path) -> None:
    for between in b"", b" ", b",", b"\r", b"\x0b", b"\x1e":
        assert statuses(posted(client, LINES, EVENT + between + EVENT)) == [422]
    assert log_path.read_bytes() == b""


def test_a_list_is_one_line_and_no_event(client: TestClient) -> None:
    outcomes = told(post_text(client, LINES, as_array(EVENT)))
    assert statuses(outcomes) == [422]
    assert outcomes[0]["event_id"] is None


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1_000])
@each_form
def test_it_does_not_matter_in_which_parts_a_batch_comes(form: Form, size: int) -> None:
    batch: list[Body] = [*history("Schließfach \U0001f512"), deposited("none")]
    text = form.write(*(json.dumps(event, ensure_ascii=False).encode() for event in batch), b'"\xc3\xa9]}\\\\"')
    text = text.replace(b"\n", b"\r\n")

    outcomes = told(post_parts(form, text, size))
    assert statuses(outcomes) == [202] * 10 + [422, 422]
    assert outcomes[-1]["event_id"] is None
