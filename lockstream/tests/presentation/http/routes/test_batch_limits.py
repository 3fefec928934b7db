"""POST /events/batch: how many events and bytes a batch may have."""

import json
import re
from collections.abc import Iterator
from itertools import batched
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.routes.batches import MAX_BATCH_EVENTS
from lockstream.schemas.batches import MANY_COMMAS
from lockstream.settings import Settings
from lockstream.tests.presentation.http.batch_requests import (
    ARRAY,
    NDJSON,
    Form,
    each_form,
    error_locations,
    items_of,
    positions,
    positions_in_log,
    post,
    post_batch,
    post_body,
    post_in_chunks,
    statuses,
)
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.support.builders import as_array, as_lines, event_of_size, registered

EVENT_LIMIT, BATCH_LIMIT = 1024, 64 * 1024

MALFORMED = b"0"
"""A malformed event of one byte."""


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_MAX_EVENT_BYTES", str(EVENT_LIMIT))
    monkeypatch.setenv("LOCKSTREAM_MAX_BATCH_BYTES", str(BATCH_LIMIT))


@pytest.fixture
def limited_client(small_limits: None, new_client: NewClient) -> Iterator[TestClient]:
    with new_client() as client:
        yield client


def numbers_in_detail(response: httpx.Response, status: int) -> set[int]:
    """Return the numbers in the sentence of an error response."""
    assert response.status_code == status
    return {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", response.json()["detail"])}


def test_the_default_limits_are_10_000_events_and_16_mib() -> None:
    assert (MAX_BATCH_EVENTS, Settings().max_batch_bytes) == (10_000, 16 * 1024 * 1024)


@each_form
def test_a_batch_of_10_000_events_is_decided(unchecked_client: TestClient, log_path: Path, form: Form) -> None:
    # given a batch of malformed events, with a good one at the beginning, in the middle and at the end
    good = {0: registered("first"), 5_000: registered("middle"), MAX_BATCH_EVENTS - 1: registered("last")}
    # when it is posted
    items = post_batch(unchecked_client, form, *(good.get(number, MALFORMED) for number in range(MAX_BATCH_EVENTS)))
    # then each has its item, at its place
    assert len(items) == MAX_BATCH_EVENTS
    assert [items[number] for number in good] == [
        {"event_id": event["event_id"], "status": 202, "position": position}
        for position, event in enumerate(good.values(), 1)
    ]
    assert len(positions_in_log(log_path)) == 3


@each_form
def test_a_batch_of_10_000_events_with_30_payload_members_is_accepted(unchecked_client: TestClient, form: Form) -> None:
    more = {f"member_{number}": number for number in range(29)}
    batch = form.write(*(registered(str(number), **more) for number in range(MAX_BATCH_EVENTS)))
    assert batch.count(b",") > MANY_COMMAS, "an array is scanned item by item"
    assert statuses(items_of(post_body(unchecked_client, form, batch))) == [202] * MAX_BATCH_EVENTS


def test_blank_lines_are_not_counted_as_events(unchecked_client: TestClient) -> None:
    lines = as_lines(registered(), *[MALFORMED] * (MAX_BATCH_EVENTS - 1), end=b"\n\n")
    items = items_of(post_body(unchecked_client, NDJSON, b"\r\n" * MAX_BATCH_EVENTS + lines))
    assert len(items) == MAX_BATCH_EVENTS


@pytest.mark.parametrize("surplus", [1, 5_000, MANY_COMMAS])
def test_a_longer_array_gets_413_and_none_of_it_is_decided(client: TestClient, log_path: Path, surplus: int) -> None:
    response = post(client, ARRAY, registered(), *[MALFORMED] * (MAX_BATCH_EVENTS - 1 + surplus))
    assert MAX_BATCH_EVENTS in numbers_in_detail(response, 413)
    assert log_path.read_bytes() == b""


def test_more_lines_get_413_with_the_number_of_decided_events(client: TestClient, log_path: Path) -> None:
    # given an NDJSON batch of one event too many
    events = [registered(str(number)) for number in range(MAX_BATCH_EVENTS + 1)]
    # when it is posted
    numbers = numbers_in_detail(post(client, NDJSON, *events), 413)
    # then the response says how many events at its beginning were decided
    decided = positions_in_log(log_path)
    assert len(decided) in numbers
    assert numbers <= {len(decided), MAX_BATCH_EVENTS}
    assert list(decided) == [event["event_id"] for event in events[: len(decided)]]


def test_a_batch_of_too_many_lines_may_be_sent_again_in_parts(unchecked_client: TestClient, log_path: Path) -> None:
    # given an NDJSON batch that was refused after its beginning was decided
    events = [registered(str(number)) for number in range(MAX_BATCH_EVENTS + 1)]
    assert post(unchecked_client, NDJSON, *events).status_code == 413
    decided = len(positions_in_log(log_path))
    # when it is posted in two parts
    items = [item for part in batched(events, 6_000) for item in post_batch(unchecked_client, NDJSON, *part)]
    # then each event counts once
    assert statuses(items) == [200] * decided + [202] * (len(events) - decided)
    assert positions(items) == positions_in_log(log_path)


@each_form
def test_a_batch_of_the_largest_size_is_decided(limited_client: TestClient, form: Form) -> None:
    body = form.write(registered()).ljust(BATCH_LIMIT, b"\n")
    assert statuses(items_of(post_body(limited_client, form, body))) == [202]


@each_form
def test_a_batch_of_one_byte_more_gets_413(limited_client: TestClient, log_path: Path, form: Form) -> None:
    response = post_body(limited_client, form, form.write(registered()).ljust(BATCH_LIMIT + 1, b"\n"))
    assert BATCH_LIMIT in numbers_in_detail(response, 413)
    assert "LOCKSTREAM_MAX_BATCH_BYTES" in response.json()["detail"]
    assert form == NDJSON or log_path.read_bytes() == b""


@each_form
def test_a_batch_of_unknown_length_gets_413_once_it_exceeds_the_limit(
    small_limits: None, new_client: NewClient, log_path: Path, form: Form
) -> None:
    # given a batch that is too large
    events = [registered(str(number)) for number in range(400)]
    body = form.write(*events)
    assert len(body) > BATCH_LIMIT
    # when it is posted without a Content-Length
    assert BATCH_LIMIT in numbers_in_detail(post_in_chunks(form, body, 999), 413)
    # then none of an array was decided, and of NDJSON only the beginning
    decided = positions_in_log(log_path)
    assert form == NDJSON or not decided
    assert list(decided) == [event["event_id"] for event in events[: len(decided)]]
    # and in parts it may be posted again
    with new_client() as client:
        items = [item for part in batched(events, 200) for item in post_batch(client, form, *part)]
    assert statuses(items) == [200] * len(decided) + [202] * (len(events) - len(decided))


@each_form
def test_an_event_that_is_too_large_harms_no_other(limited_client: TestClient, form: Form) -> None:
    largest, larger = event_of_size(EVENT_LIMIT), event_of_size(EVENT_LIMIT + 1)
    items = post_batch(limited_client, form, larger, registered("before"), larger, registered("after"), largest)
    assert statuses(items) == [422, 202, 422, 202, 202]
    for index in 0, 2:
        assert error_locations(items[index]) == [["body", index]]
        (error,) = items[index]["detail"]
        assert error["type"] == "event_too_large"
        assert str(EVENT_LIMIT) in error["msg"]
        assert items[index]["event_id"] in (None, json.loads(larger)["event_id"])


@each_form
def test_blanks_around_an_event_do_not_count_towards_its_size(limited_client: TestClient, form: Form) -> None:
    event = event_of_size(EVENT_LIMIT)
    if form == ARRAY:
        blanks = b"\r\n\r\n " * EVENT_LIMIT
        body = as_array(blanks + event + blanks)
    else:
        body = b"\r\n" * EVENT_LIMIT + event + b"\r\n" * EVENT_LIMIT
    assert statuses(items_of(post_body(limited_client, form, body))) == [202]


@each_form
def test_an_item_that_is_not_an_event_may_be_too_large_as_well(limited_client: TestClient, form: Form) -> None:
    nested = b"[" * (EVENT_LIMIT // 2) + b"]" * (EVENT_LIMIT // 2 + 1 if form == NDJSON else EVENT_LIMIT // 2) + b" "
    nested = b"[%b,1]" % nested if form == ARRAY else nested
    string = b'"%b"' % (b"x" * 40_000)
    items = post_batch(limited_client, form, nested, string, registered())
    assert statuses(items) == [422, 422, 202]
    assert [item["detail"][0]["type"] for item in items[:2]] == ["event_too_large"] * 2


def test_a_last_line_without_a_line_end_may_be_too_large(small_limits: None) -> None:
    items = items_of(post_in_chunks(NDJSON, as_lines(registered()) + event_of_size(EVENT_LIMIT + 1), 100))
    assert statuses(items) == [202, 422]
    assert items[1]["detail"][0]["type"] == "event_too_large"


@pytest.mark.parametrize("chunk_bytes", [100, BATCH_LIMIT])
def test_text_far_behind_an_event_on_its_line_makes_it_malformed(small_limits: None, chunk_bytes: int) -> None:
    text = as_lines(json.dumps(registered()).encode() + b" " * 2 * EVENT_LIMIT + b"x", registered("next"))
    assert statuses(items_of(post_in_chunks(NDJSON, text, chunk_bytes))) == [422, 202]
