"""POST /events/batch: a malformed event harms no other event of its batch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.infrastructure.file_log.reader import read_log
from lockstream.tests.presentation.http.batch_requests import (
    NDJSON,
    Form,
    each_form,
    error_locations,
    items_of,
    post_batch,
    post_body,
    statuses,
)
from lockstream.tests.presentation.http.routes.malformed_bodies import MALFORMED
from lockstream.tests.presentation.http.routes.test_events import DUPLICATE_MEMBERS, JSON, below_calls
from lockstream.tests.support.builders import (
    Body,
    as_lines,
    fault_reported,
    fault_with_member,
    nested_event,
    registered,
)

DEPTH = 10_000

INVALID_ITEMS = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "NaN in an event": fault_with_member("NaN"),
    "Infinity in an event": fault_with_member("[Infinity]"),
    "-Infinity in an event": fault_with_member('{"a": -Infinity}'),
    "a lone surrogate": fault_with_member(r'"\ud800"'),
    "a lone surrogate in a name": fault_with_member(r'{"\udc00": 1}'),
    "two surrogates in the wrong order": fault_with_member(r'"\udc00\ud800"'),
    "a lone surrogate in an id": rb'{"event_id": "\ud800"}',
    "nested arrays": b"[" * 500 + b"]" * 500,
    "nested objects": b'{"a":' * 500 + b"1" + b"}" * 500,
    "nested arrays in an event": nested_event(500),
    "nested arrays for a payload": b'{"payload": %b%b}' % (b"[" * 500, b"]" * 500),
    "nested arrays for an id": b'{"event_id": %b%b}' % (b"[" * 500, b"]" * 500),
    "a duplicate member": json.dumps(registered()).replace('"type"', '"type": 1, "type"').encode(),
}
"""Items of an array or lines of NDJSON. Their nesting exceeds the limit of an event, but not that of the decoder."""

INVALID_LINES = {
    "bytes that are not UTF-8": json.dumps(registered("é"), ensure_ascii=False).encode("latin-1"),
    "one byte that is not UTF-8": b"\xff",
    "UTF-16": json.dumps(registered()).encode("utf-16-be"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + json.dumps(registered()).encode(),
    "half an object": b"{",
    "half a string": b'{"event_id": "0b54a3e8-9c5f-4d3a-8f21-b6d0c7e9aaff',
    "half a word": b"nul",
    "two objects": b"{} {}",
    "a closing bracket too many": json.dumps(registered()).encode() + b"}",
    "a comma after the event": json.dumps(registered()).encode() + b",",
    "NUL": b"\x00",
    "a form feed after the event": json.dumps(registered()).encode() + b"\x0c",
    "a vertical tab": b"\x0b",
    "a control character in a string": json.dumps(registered("a")).replace('"a"', '"\x01"').encode(),
    "opening brackets": b"[" * DEPTH,
    "opening brackets of objects": b'{"a":' * DEPTH,
    "closing brackets": b"]" * DEPTH,
    "quotation marks": b'"' * (DEPTH + 1),
    "backslashes": b"\\" * DEPTH,
    "arrays nested beyond the decoder": b"[" * DEPTH + b"]" * DEPTH,
    "objects nested beyond the decoder": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "arrays nested beyond the decoder in an event": nested_event(DEPTH),
    "arrays nested beyond the decoder for a payload": b'{"payload": %b%b}' % (b"[" * DEPTH, b"]" * DEPTH),
    "arrays nested beyond the decoder for an id": b'{"event_id": %b%b}' % (b"[" * DEPTH, b"]" * DEPTH),
}
"""Lines of NDJSON that would make an array malformed as a whole."""


@each_form
def test_a_malformed_item_has_the_same_errors_as_the_event_alone(client: TestClient, form: Form) -> None:
    # given malformed events, with an acceptable event before and after each
    bodies = [json.dumps(body).encode() for body, _ in MALFORMED.values()]
    alone = [client.post("/events", content=body, headers=JSON).json()["detail"] for body in bodies]
    good = [registered(str(number)) for number in range(len(bodies) + 1)]
    batch = [item for pair in zip(good, bodies, strict=False) for item in pair]
    # when they are posted as one batch
    items = post_batch(client, form, *batch, good[-1])
    # then only the malformed ones fail, with their own errors
    assert statuses(items) == [202, 422] * len(bodies) + [202]
    for number, (name, (body, location)) in enumerate(MALFORMED.items()):
        index = 2 * number + 1
        item = items[index]
        assert ["body", index, *location[1:]] in error_locations(item), name
        assert item["event_id"] == readable_id(body), name
        expected = [error | {"loc": ["body", index, *error["loc"][1:]]} for error in alone[number]]
        assert item["detail"] == expected, name


def readable_id(body: Any) -> str | None:
    event_id = body.get("event_id") if isinstance(body, dict) else None
    return event_id if isinstance(event_id, str) else None


@pytest.mark.parametrize("item", INVALID_ITEMS.values(), ids=INVALID_ITEMS)
@each_form
def test_an_item_that_cannot_be_decoded_harms_no_other(client: TestClient, form: Form, item: bytes) -> None:
    assert_harms_no_other(client, form, item)


@pytest.mark.parametrize("line", INVALID_LINES.values(), ids=INVALID_LINES)
def test_a_line_that_cannot_be_decoded_harms_no_other(client: TestClient, line: bytes) -> None:
    assert_harms_no_other(client, NDJSON, line)


def assert_harms_no_other(client: TestClient, form: Form, item: bytes) -> None:
    alone = client.post("/events", content=item, headers=JSON)
    assert alone.status_code == 422, "it is malformed alone, too"
    items = post_batch(client, form, item, registered("before"), item, item, registered("after"), item)
    assert statuses(items) == [422, 202, 422, 422, 202, 422]
    for index in 0, 2, 3, 5:
        assert {tuple(location[:2]) for location in error_locations(items[index])} == {("body", index)}
    assert client.get("/lockers/locker-1").json()["compartments"] == 2


@pytest.mark.parametrize("repeat", DUPLICATE_MEMBERS.values(), ids=DUPLICATE_MEMBERS)
@each_form
def test_a_member_name_twice_harms_no_other_item(client: TestClient, form: Form, repeat: Callable[[str], str]) -> None:
    fault = fault_reported()
    items = post_batch(client, form, registered(), repeat(json.dumps(fault)).encode(), fault)
    assert statuses(items) == [202, 422, 202]
    assert error_locations(items[1]) == [["body", 1]]
    assert [error["type"] for error in items[1]["detail"]] == ["duplicate_member"]


def test_a_line_that_is_cut_short_harms_no_other(client: TestClient) -> None:
    whole, text = as_lines(registered("a"), registered("b")), json.dumps(registered("cut")).encode()
    for size in (1, 2, 20, 100, len(text) - 2, len(text) - 1):
        items = items_of(post_body(client, NDJSON, whole + text[:size]))
        assert statuses(items) in ([202, 202, 422], [200, 200, 422])
        assert {tuple(location[:2]) for location in error_locations(items[2])} == {("body", 2)}
    assert statuses(items_of(post_body(client, NDJSON, whole + text))) == [200, 200, 202], "a last line needs no end"


@each_form
def test_a_number_of_thousands_of_digits_is_kept(client: TestClient, log_path: Path, form: Form) -> None:
    number = b"9" * 5_000
    fault = fault_with_member(number.decode())
    assert statuses(post_batch(client, form, registered(), fault)) == [202, 202]
    assert number in log_path.read_bytes()


@pytest.mark.parametrize("invalid", ["NaN", "a lone surrogate", "nested arrays"])
@each_form
def test_an_unusual_event_is_accepted_beside_an_invalid_item(client: TestClient, form: Form, invalid: str) -> None:
    members = ["9" * 5_000, '"]}[{,"', r'"\\\""', "1e400"]
    unusual = [fault_with_member(member) for member in members]
    alone = [client.post("/events", content=text, headers=JSON).json()["code"] for text in unusual]
    assert alone == ["unknown_compartment"] * 4, "they are well-formed"
    items = post_batch(client, form, INVALID_ITEMS[invalid], registered(), *unusual, INVALID_ITEMS[invalid])
    assert statuses(items) == [422, 202, 202, 202, 202, 202, 422]


@each_form
def test_an_accepted_nested_event_can_be_read_again_from_any_call_depth(
    client: TestClient, log_path: Path, form: Form
) -> None:
    """The nesting limit is far below the depth at which a recursive decoder fails: any accepted event can be read."""
    # given events of many depths; in an array, none beyond the decoder
    deepest = 5_000 if form == NDJSON else 900
    depths = [*range(1, 300, 7), *range(300, deepest, 100)]
    nested = [nested_event(depth) for depth in depths]
    # when they are posted
    items = post_batch(client, form, *nested)
    # then some are accepted, the same as alone, and all of these can be read again
    accepted = statuses(items).count(202)
    assert 10 < accepted < len(depths)
    assert below_calls(30, lambda: sum(1 for _ in read_log(log_path))) == accepted
    alone = [client.post("/events", content=text, headers=JSON) for text in nested]
    assert [200 if item["status"] == 202 else 422 for item in items] == [response.status_code for response in alone]


@each_form
def test_a_batch_of_malformed_events_only_gets_200(client: TestClient, form: Form) -> None:
    batch: list[Body | bytes] = [b"0", b"{}", b'""', b"[]", b"null", b"true", {"event_id": "x"}, {"event_id": 1}]
    items = post_batch(client, form, *batch)
    assert [item["event_id"] for item in items] == [None] * 6 + ["x", None]
    assert [error_locations(item)[0][:2] for item in items] == [["body", index] for index in range(8)]
