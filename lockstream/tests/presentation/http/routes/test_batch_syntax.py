"""POST /events/batch: which bodies are a batch, and at which byte one event ends and the next begins."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.batch_requests import (
    ARRAY,
    NDJSON,
    Form,
    each_form,
    error_locations,
    items_of,
    positions_in_log,
    post_batch,
    post_body,
    post_in_chunks,
    statuses,
)
from lockstream.tests.support.builders import Body, as_array, as_lines, deposited, registered, reserved
from lockstream.tests.support.histories import history

EVENT = json.dumps(registered()).encode()

NOT_AN_ARRAY = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "null": b"null",
    "true": b"true",
    "a number": b"12",
    "a string": b'"[]"',
    "an event": EVENT,
    "an object that holds an array": b'{"events": %b}' % as_array(EVENT),
    "a byte order mark alone": b"\xef\xbb\xbf",
    "NaN": b"NaN",
}

NESTED = b"[" * 5_000 + b"]" * 5_000
"""Nested deeper than any decoder reads."""

NOT_JSON = {
    "an array without its end": as_array(EVENT)[:-1],
    "an array that ends inside an event": as_array(EVENT)[:-20],
    "an array that ends after a comma": as_array(EVENT)[:-1] + b",",
    "an array that ends inside a string": as_array(EVENT, b'"abc')[:-1],
    "the beginning of an array": b"[",
    "10,000 opening brackets": b"[" * 10_000,
    "a closing bracket too many": as_array(EVENT) + b"]",
    "two arrays": as_array(EVENT) + as_array(EVENT),
    "an array followed by a letter": as_array(EVENT) + b"x",
    "a comma after the last event": as_array(EVENT)[:-1] + b",]",
    "a comma before the first event": b"[," + EVENT + b"]",
    "two commas": as_array(EVENT, b"", EVENT),
    "no comma": b"[" + EVENT + EVENT + b"]",
    "a closing bracket of the other kind": b"[" + EVENT + b"}",
    "single quotes": b"['a']",
    "a control character in a string": as_array(EVENT, b'"\x01"'),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + as_array(EVENT),
    "a byte order mark after a blank": b" \xef\xbb\xbf" + as_array(EVENT),
    "a byte order mark inside the array": b"[\xef\xbb\xbf" + EVENT + b"]",
    "a byte order mark of UTF-16": b"\xff\xfe" + as_array(EVENT),
    "UTF-16": as_array(EVENT).decode().encode("utf-16"),
    "bytes that are not UTF-8": as_array(EVENT, EVENT.replace(b"compartment-1", b"\xe9")),
    "half a character": as_array(EVENT, b'"\xc3"'),
    "an overlong character": as_array(EVENT, b'"\xc0\xaf"'),
    "a surrogate in bytes": as_array(EVENT, b'"\xed\xa0\x80"'),
    "a thousand events without an end": as_array(*(registered(str(number)) for number in range(1_000)))[:-1],
    "events on lines": as_lines(EVENT, EVENT),
    "a nested array and no end": as_array(EVENT, NESTED)[:-1],
    "a nested array and a bracket too many": as_array(EVENT, NESTED) + b"]",
    "a nested array and a bracket of the other kind": as_array(EVENT, NESTED)[:-1] + b"}",
    "a nested array and a comma after it": as_array(EVENT, NESTED, b""),
    "a nested array and two commas": as_array(EVENT, b"", NESTED),
    "a nested array before the array": NESTED + as_array(EVENT),
    "a nested array in an object": b'{"events": %b}' % as_array(EVENT, NESTED),
    "a nested array and bytes that are not UTF-8": as_array(EVENT, NESTED, b'"\xc3"'),
    "NaN and no end": as_array(EVENT, b"NaN")[:-1],
    "NaN and more": as_array(EVENT, b"NaN") + b"x",
    "NaN and a comma after it": as_array(EVENT, b"NaN", b""),
}

TOO_DEEP = {
    "nested arrays": as_array(EVENT, NESTED),
    "nested objects": as_array(EVENT, b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
    "nested arrays in an event": as_array(EVENT, EVENT.replace(b'"payload": {', b'"payload": {"x": %b, ' % NESTED)),
}
"""Arrays with an item that is nested beyond the decoder."""


@pytest.mark.parametrize("body", (NOT_AN_ARRAY | NOT_JSON | TOO_DEEP).values(), ids=NOT_AN_ARRAY | NOT_JSON | TOO_DEEP)
def test_a_body_that_is_not_an_array_is_malformed_as_a_whole(client: TestClient, log_path: Path, body: bytes) -> None:
    response = post_body(client, ARRAY, body)
    assert response.status_code == 422
    [error] = response.json()["detail"]
    assert error["loc"] == ["body"]
    assert error["type"] in ("json_invalid", "list_type")
    assert log_path.read_bytes() == b""
    assert statuses(post_batch(client, ARRAY, EVENT)) == [202]


LINE_ENDS = {
    "LF": b"\n",
    "CRLF": b"\r\n",
    "blank lines": b"\n\n\n",
    "blank lines with CRLF": b"\r\n\r\n",
    "blank lines of both kinds": b"\n\r\n\n",
    "lines of blanks": b" \n\t\r\n",
}


@pytest.mark.parametrize("end", LINE_ENDS.values(), ids=LINE_ENDS)
def test_a_line_ends_in_lf_or_crlf_and_blank_lines_do_not_count(client: TestClient, end: bytes) -> None:
    text = end + as_lines(registered(), b"7", reserved(), end=end)
    for body, expected in (text, [202, 422, 202]), (text.strip(), [200, 422, 200]):
        items = items_of(post_body(client, NDJSON, body))
        assert statuses(items) == expected
        assert {tuple(location[:2]) for location in error_locations(items[1])} == {("body", 1)}


def test_no_other_character_ends_a_line(client: TestClient, log_path: Path) -> None:
    text = json.dumps(registered(note="\u2028\u2029\x85"), ensure_ascii=False).replace(", ", ",\r", 1).encode()
    assert text.count(b"\r") == 1
    assert statuses(items_of(post_body(client, NDJSON, text + b"\n" + EVENT))) == [202, 409]
    assert len(positions_in_log(log_path)) == 1


@pytest.mark.parametrize("separator", [b"", b" ", b",", b"\r", b"\x0b", b"\x1e"])
def test_two_events_on_one_line_are_malformed(client: TestClient, log_path: Path, separator: bytes) -> None:
    assert statuses(post_batch(client, NDJSON, EVENT + separator + EVENT)) == [422]
    assert log_path.read_bytes() == b""


def test_an_array_on_a_line_is_one_malformed_event(client: TestClient) -> None:
    items = items_of(post_body(client, NDJSON, as_array(EVENT)))
    assert statuses(items) == [422]
    assert items[0]["event_id"] is None


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 64, 1_000])
@each_form
def test_a_batch_may_arrive_in_chunks_of_any_size(form: Form, chunk_bytes: int) -> None:
    batch: list[Body] = [*history("Schließfach \U0001f512"), deposited("unknown")]
    text = form.write(*(json.dumps(event, ensure_ascii=False).encode() for event in batch), b'"\xc3\xa9]}\\\\"')
    text = text.replace(b"\n", b"\r\n")

    items = items_of(post_in_chunks(form, text, chunk_bytes))
    assert statuses(items) == [202] * 10 + [422, 422]
    assert items[-1]["event_id"] is None
