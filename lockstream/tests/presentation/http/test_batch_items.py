"""POST /events/batch: a malformed event fails alone, wherever it is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.infrastructure.file_log.reader import read_log
from lockstream.tests.presentation.http.batches import LINES, Form, each_form, locs, post_text, posted, statuses, told
from lockstream.tests.presentation.http.test_events import JSON, MALFORMED, below_calls, nested
from lockstream.tests.support.builders import Body, as_lines, fault_reported, registered

DEPTH = 10_000


def with_further(value: str) -> bytes:
    """A fault whose payload has one more field."""
    return json.dumps(fault_reported()).replace('"severity": 3', f'"severity": 3, "further": {value}').encode()


BROKEN = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "NaN in an event": with_further("NaN"),
    "Infinity in an event": with_further("[Infinity]"),
    "-Infinity in an event": with_further('{"a": -Infinity}'),
    "a surrogate that stands alone": with_further(r'"\ud800"'),
    "a surrogate that stands alone, in a name": with_further(r'{"\udc00": 1}'),
    "two surrogates in the wrong order": with_further(r'"\udc00\ud800"'),
    "a surrogate that stands alone, for an id": rb'{"event_id": "\ud800"}',
    "nested lists": b"[" * DEPTH + b"]" * DEPTH,
    "nested objects": b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
    "nested lists in an event": nested(DEPTH).encode(),
    "nested lists for an event's payload": b'{"payload": %b%b}' % (b"[" * DEPTH, b"]" * DEPTH),
    "nested lists for an event's id": b'{"event_id": %b%b}' % (b"[" * DEPTH, b"]" * DEPTH),
    "a repeated member": json.dumps(registered()).replace('"type"', '"type": 1, "type"').encode(),
}
"""What a batch of either form may hold."""

BROKEN_LINES = {
    "bytes that are not UTF-8": json.dumps(registered("é"), ensure_ascii=False).encode("latin-1"),
    "one byte that is not UTF-8": b"\xff",
    "UTF-16": json.dumps(registered()).encode("utf-16-be"),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(registered()).encode(),
    "half an object": b"{",
    "half a string": b'{"event_id": "0b54a3e8-9c5f-4d3a-8f21-b6d0c7e9aaff',
    "half a word": b"nul",
    "two objects": b"{} {}",
    "an end too many": json.dumps(registered()).encode() + b"}",
    "a comma behind it": json.dumps(registered()).encode() + b",",
    "NUL": b"\x00",
    "a form feed behind it": json.dumps(registered()).encode() + b"\x0c",
    "a vertical tab": b"\x0b",
    "a control character in a string": json.dumps(registered("a")).replace('"a"', '"\x01"').encode(),
    "beginnings of lists": b"[" * DEPTH,
    "beginnings of objects": b'{"a":' * DEPTH,
    "ends of lists": b"]" * DEPTH,
    "quotation marks": b'"' * (DEPTH + 1),
    "backslashes": b"\\" * DEPTH,
}


@each_form
def test_each_is_told_what_it_is_told_alone(client: TestClient, form: Form) -> None:
    bodies = [json.dumps(body).encode() for body, _ in MALFORMED.values()]
    alone = [client.post("/events", content=body, headers=JSON).json()["detail"] for body in bodies]
    good = [registered(str(number)) for number in range(len(bodies) + 1)]
    items = [item for pair in zip(good, bodies, strict=False) for item in pair]
    outcomes = posted(client, form, *items, good[-1])
    assert statuses(outcomes) == [202, 422] * len(bodies) + [202]
    for number, name in enumerate(MALFORMED):
        body, loc = MALFORMED[name]
        index = 2 * number + 1
        outcome = outcomes[index]
        assert ["body", index, *loc[1:]] in locs(outcome), name
        assert outcome["event_id"] == readable_id(body), name
        assert outcome["detail"] == [error | {"loc": ["body", index, *error["loc"][1:]]} for error in alone[number]], (
            name
        )


def readable_id(body: Any) -> str | None:
    event_id = body.get("event_id") if isinstance(body, dict) else None
    return event_id if isinstance(event_id, str) else None


@pytest.mark.parametrize("item", BROKEN.values(), ids=BROKEN)
@each_form
def test_what_cannot_be_read_fails_alone(client: TestClient, form: Form, item: bytes) -> None:
    assert_fails_alone(client, form, item)


@pytest.mark.parametrize("item", BROKEN_LINES.values(), ids=BROKEN_LINES)
def test_what_cannot_be_read_fails_alone_on_its_line(client: TestClient, item: bytes) -> None:
    assert_fails_alone(client, LINES, item)


def assert_fails_alone(client: TestClient, form: Form, item: bytes) -> None:
    alone = client.post("/events", content=item, headers=JSON)
    assert alone.status_code == 422, "it would be malformed alone, too"
    before, behind = registered("before"), registered("behind")
    outcomes = posted(client, form, item, before, item, item, behind, item)
    assert statuses(outcomes) == [422, 202, 422, 422, 202, 422]
    for index in 0, 2, 3, 5:
        assert {tuple(loc[:2]) for loc in locs(outcomes[index])} == {("body", index)}
    assert client.get("/lockers/locker-1").json()["compartments"] == 2


def test_a_line_that_is_cut_off_fails_alone(client: TestClient) -> None:
    whole, text = as_lines(registered("a"), registered("b")), json.dumps(registered("cut")).encode()
    for size in (1, 2, 20, 100, len(text) - 2, len(text) - 1):
        outcomes = told(post_text(client, LINES, whole + text[:size]))
        assert statuses(outcomes) in ([202, 202, 422], [200, 200, 422])
        assert {tuple(loc[:2]) for loc in locs(outcomes[2])} == {("body", 2)}
    assert statuses(told(post_text(client, LINES, whole + text))) == [200, 200, 202], "a last line needs no end"


@each_form
def test_a_number_of_thousands_of_digits_is_kept(client: TestClient, log_path: Path, form: Form) -> None:
    number = b"9" * 5_000
    fault = with_further(number.decode())
    assert statuses(posted(client, form, registered(), fault)) == [202, 202]
    assert number in log_path.read_bytes()


@pytest.mark.parametrize("beside", ["NaN", "a surrogate that stands alone", "nested lists"])
@each_form
def test_what_can_be_read_is_kept_beside_what_cannot(client: TestClient, form: Form, beside: str) -> None:
    unusual = [with_further("9" * 5_000), with_further('"]}[{,"'), with_further(r'"\\\""'), with_further("1e400")]
    alone = [client.post("/events", content=text, headers=JSON).json()["code"] for text in unusual]
    assert alone == ["unknown_compartment"] * 4, "they are well-formed"
    outcomes = posted(client, form, BROKEN[beside], registered(), *unusual, BROKEN[beside])
    assert statuses(outcomes) == [422, 202, 202, 202, 202, 202, 422]


@each_form
def test_what_was_accepted_can_be_read_again_by_whatever_calls_for_it(
    client: TestClient, log_path: Path, form: Form
) -> None:
    """A recursive reader gives up at a depth that depends on its caller; the log must not hold what one cannot read."""
    depths = [*range(1, 300, 7), *range(300, 5_000, 100)]
    deep = [nested(depth).encode() for depth in depths]
    outcomes = posted(client, form, *deep)
    assert 10 < statuses(outcomes).count(202) < len(depths)
    assert below_calls(30, lambda: sum(1 for _ in read_log(log_path))) == statuses(outcomes).count(202)
    alone = [client.post("/events", content=text, headers=JSON) for text in deep]
    assert [200 if outcome["status"] == 202 else 422 for outcome in outcomes] == [a.status_code for a in alone]


@each_form
def test_a_batch_of_nothing_but_malformed_events_is_answered(client: TestClient, form: Form) -> None:
    items: list[Body | bytes] = [b"0", b"{}", b'""', b"[]", b"null", b"true", {"event_id": "x"}, {"event_id": 1}]
    outcomes = posted(client, form, *items)
    assert [outcome["event_id"] for outcome in outcomes] == [None] * 6 + ["x", None]
    assert [locs(outcome)[0][:2] for outcome in outcomes] == [["body", index] for index in range(8)]
