"""POST /events/batch: how much one may hold."""

import json
import re
from collections.abc import Iterator
from itertools import batched
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.routes.batches import MAX_BATCH_EVENTS
from lockstream.settings import Settings
from lockstream.tests.presentation.http.batches import (
    LINES,
    LIST,
    Form,
    each_form,
    locs,
    logged,
    positions,
    post,
    post_parts,
    post_text,
    posted,
    statuses,
    told,
)
from lockstream.tests.presentation.http.conftest import Clients
from lockstream.tests.presentation.http.test_limits import of_size
from lockstream.tests.support.builders import as_array, as_lines, registered

EVENT_LIMIT, BATCH_LIMIT = 1024, 64 * 1024
FOREIGN = b"0"
"""A malformed event, and a small one."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the limits be small."""
    monkeypatch.setenv("LOCKSTREAM_MAX_EVENT_BYTES", str(EVENT_LIMIT))
    monkeypatch.setenv("LOCKSTREAM_MAX_BATCH_BYTES", str(BATCH_LIMIT))


@pytest.fixture
def limited(small: None, clients: Clients) -> Iterator[TestClient]:
    with clients() as client:
        yield client


def numbers(answer: httpx.Response, status: int) -> set[int]:
    """The numbers that a problem names in its sentence."""
    assert answer.status_code == status
    return {int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", answer.json()["detail"])}


def test_the_limits_are_these() -> None:
    assert (MAX_BATCH_EVENTS, Settings().max_batch_bytes) == (10_000, 16 * 1024 * 1024)


@each_form
def test_a_batch_of_the_most_events_is_answered(client: TestClient, log_path: Path, form: Form) -> None:
    client.event_hooks = {}  # to hold ten thousand to the contract takes minutes
    few = {0: registered("first"), 5_000: registered("middle"), MAX_BATCH_EVENTS - 1: registered("last")}
    outcomes = posted(client, form, *(few.get(number, FOREIGN) for number in range(MAX_BATCH_EVENTS)))
    assert len(outcomes) == MAX_BATCH_EVENTS
    assert [outcomes[number] for number in few] == [
        {"event_id": event["event_id"], "status": 202, "position": position}
        for position, event in enumerate(few.values(), 1)
    ]
    assert len(logged(log_path)) == 3


def test_blank_lines_are_no_events(client: TestClient) -> None:
    client.event_hooks = {}
    text = b"\r\n" * MAX_BATCH_EVENTS + as_lines(registered(), *[FOREIGN] * (MAX_BATCH_EVENTS - 1), end=b"\n\n")
    assert len(told(post_text(client, LINES, text))) == MAX_BATCH_EVENTS


@pytest.mark.parametrize("surplus", [1, 5_000])
def test_a_longer_list_is_too_large_and_nothing_of_it_is_decided(
    client: TestClient, log_path: Path, surplus: int
) -> None:
    answer = post(client, LIST, registered(), *[FOREIGN] * (MAX_BATCH_EVENTS - 1 + surplus))
    assert MAX_BATCH_EVENTS in numbers(answer, 413)
    assert log_path.read_bytes() == b""


def test_more_lines_are_too_large_and_it_is_said_how_many_were_decided(client: TestClient, log_path: Path) -> None:
    events = [registered(str(number)) for number in range(MAX_BATCH_EVENTS + 1)]
    said = numbers(post(client, LINES, *events), 413)
    decided = logged(log_path)
    assert len(decided) in said
    assert said <= {len(decided), MAX_BATCH_EVENTS}
    assert list(decided) == [event["event_id"] for event in events[: len(decided)]]
    # when it is sent again, in parts that are not too large
    client.event_hooks = {}
    outcomes = [outcome for part in batched(events, 6_000) for outcome in posted(client, LINES, *part)]
    # then each event counts once
    assert statuses(outcomes) == [200] * len(decided) + [202] * (len(events) - len(decided))
    assert positions(outcomes) == logged(log_path)


@pytest.mark.parametrize("surplus", [0, 1])
@each_form
def test_a_batch_may_have_so_many_bytes(limited: TestClient, log_path: Path, form: Form, surplus: int) -> None:
    text = form.write(registered())
    text += b"\n" * (BATCH_LIMIT + surplus - len(text))
    answer = post_text(limited, form, text)
    if not surplus:
        assert statuses(told(answer)) == [202]
        return
    assert BATCH_LIMIT in numbers(answer, 413)
    assert "LOCKSTREAM_MAX_BATCH_BYTES" in answer.json()["detail"]
    assert form == LINES or log_path.read_bytes() == b""


@each_form
def test_a_batch_of_unknown_length_is_too_large_once_it_is(
    small: None, clients: Clients, log_path: Path, form: Form
) -> None:
    events = [registered(str(number)) for number in range(400)]
    text = form.write(*events)
    assert len(text) > BATCH_LIMIT
    assert BATCH_LIMIT in numbers(post_parts(form, text, 999), 413)
    decided = logged(log_path)
    assert form == LINES or not decided
    assert list(decided) == [event["event_id"] for event in events[: len(decided)]]
    with clients() as client:
        outcomes = [outcome for part in batched(events, 200) for outcome in posted(client, form, *part)]
    assert statuses(outcomes) == [200] * len(decided) + [202] * (len(events) - len(decided))


@each_form
def test_an_event_that_is_too_large_fails_alone(limited: TestClient, form: Form) -> None:
    largest, larger = of_size(EVENT_LIMIT), of_size(EVENT_LIMIT + 1)
    outcomes = posted(limited, form, larger, registered("before"), larger, registered("behind"), largest)
    assert statuses(outcomes) == [422, 202, 422, 202, 202]
    for index in 0, 2:
        assert locs(outcomes[index]) == [["body", index]]
        (error,) = outcomes[index]["detail"]
        assert error["type"] == "event_too_large"
        assert str(EVENT_LIMIT) in error["msg"]
        assert outcomes[index]["event_id"] in (None, json.loads(larger)["event_id"])


@each_form
def test_neither_line_ends_nor_blanks_around_it_make_an_event_larger(limited: TestClient, form: Form) -> None:
    text = of_size(EVENT_LIMIT)
    around = b"\r\n\r\n " * EVENT_LIMIT if form == LIST else b"\r\n" * EVENT_LIMIT
    body = as_array(around + text + around) if form == LIST else around + text + around
    assert statuses(told(post_text(limited, form, body))) == [202]


@each_form
def test_what_is_no_event_may_be_too_large_as_well(limited: TestClient, form: Form) -> None:
    deep = b"[" * EVENT_LIMIT + b"]" * EVENT_LIMIT
    string = b'"%b"' % (b"x" * 40_000)
    outcomes = posted(limited, form, deep, string, registered())
    assert statuses(outcomes) == [422, 422, 202]
    assert [outcome["detail"][0]["type"] for outcome in outcomes[:2]] == ["event_too_large"] * 2


def test_a_last_line_without_its_end_may_be_too_large(small: None) -> None:
    outcomes = told(post_parts(LINES, as_lines(registered()) + of_size(EVENT_LIMIT + 1), 100))
    assert statuses(outcomes) == [202, 422]
    assert outcomes[1]["detail"][0]["type"] == "event_too_large"


@pytest.mark.parametrize("size", [100, BATCH_LIMIT])
def test_what_stands_far_behind_an_event_on_its_line_is_not_overlooked(small: None, size: int) -> None:
    text = as_lines(json.dumps(registered()).encode() + b" " * 2 * EVENT_LIMIT + b"x", registered("next"))
    assert statuses(told(post_parts(LINES, text, size))) == [422, 202]
