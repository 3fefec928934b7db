"""POST /events/batch: what becomes of each event, which is what would become of it alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from lockstream.core.rules import REFUSALS
from lockstream.tests.presentation.http.batches import LINES, LIST, Form, each_form, locs, logged, posted, statuses
from lockstream.tests.presentation.http.conftest import Clients
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    Body,
    as_array,
    deposited,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.histories import history

ID = "0b54a3e8-9c5f-4d3a-8f21-b6d0c7e9aaff"


@each_form
def test_each_event_has_its_outcome_in_order(client: TestClient, form: Form) -> None:
    first, conflicting, unresolved, malformed, last = registered(), registered(), deposited(), body_of(7), reserved()
    outcomes = posted(client, form, first, first, conflicting, unresolved, malformed, last)
    assert outcomes[:4] == [
        {"event_id": first["event_id"], "status": 202, "position": 1},
        {"event_id": first["event_id"], "status": 200, "position": 1},
        {
            "event_id": conflicting["event_id"],
            "status": 409,
            "code": "compartment_already_registered",
            "detail": f"Compartment '{COMPARTMENT}' of locker '{LOCKER}' is registered already.",
        },
        {
            "event_id": unresolved["event_id"],
            "status": 422,
            "code": "unknown_reservation",
            "detail": "There is no reservation 'reservation-1'. Send its ReservationCreated first.",
        },
    ]
    assert outcomes[4]["event_id"] == malformed["event_id"]
    assert locs(outcomes[4]) == [["body", 4, "locker_id"]]
    assert outcomes[5:] == [{"event_id": last["event_id"], "status": 202, "position": 2}]


def body_of(locker: Any) -> Body:
    return registered() | {"locker_id": locker}


@each_form
def test_an_event_builds_on_those_before_it_in_its_batch(client: TestClient, log_path: Path, form: Form) -> None:
    events = history()
    assert posted(client, form, *events) == [
        {"event_id": event["event_id"], "status": 202, "position": position} for position, event in enumerate(events, 1)
    ]
    assert list(logged(log_path)) == [event["event_id"] for event in events]
    shown = client.get(f"/lockers/{LOCKER}").json()
    assert (shown["compartments"], shown["active_reservations"], shown["degraded_compartments"]) == (2, 1, 1)


@each_form
def test_an_event_does_not_build_on_those_behind_it(client: TestClient, form: Form) -> None:
    batch = [picked_up(), deposited(), reserved(), registered()]
    assert statuses(posted(client, form, *batch)) == [422, 422, 422, 202]
    assert statuses(posted(client, form, *batch)) == [422, 422, 202, 200], "what was refused is decided again"


@each_form
def test_a_batch_that_is_sent_again_is_known_where_it_was_accepted(clients: Clients, form: Form) -> None:
    batch = [*history(), registered("c1"), deposited("nothing"), *history("locker-2")]
    with clients() as client:
        first = posted(client, form, *batch)
        again = posted(client, form, *batch)
    assert statuses(first) == [202] * 10 + [409, 422] + [202] * 10
    assert again == [outcome | {"status": 200} if "position" in outcome else outcome for outcome in first]
    with clients() as client:
        assert posted(client, LINES if form == LIST else LIST, *batch) == again, "for ever, and in either form"


@each_form
def test_an_id_is_one_id_in_any_case_and_is_answered_in_lower_case(client: TestClient, form: Form) -> None:
    refused = registered(event_id=str(uuid4()).upper())
    outcomes = posted(client, form, *(registered(event_id=case(ID)) for case in (str.upper, str.title, str)), refused)
    assert [(outcome["event_id"], outcome["status"]) for outcome in outcomes] == [
        *((ID, 202), (ID, 200), (ID, 200)),
        (refused["event_id"].lower(), 409),
    ]


@each_form
def test_a_known_event_is_a_duplicate_whatever_else_it_says(client: TestClient, form: Form) -> None:
    known = reserved(event_id=ID)
    batch = [registered(), registered("other", event_id=ID), known, deposited("nothing", event_id=ID)]
    assert statuses(posted(client, form, *batch)) == [202, 202, 200, 200]
    assert client.get("/reservations/reservation-1").status_code == 404


@each_form
def test_alone_and_in_a_batch_an_event_is_the_same_event(client: TestClient, form: Form) -> None:
    events = history()
    for event in events[::2]:
        client.post("/events", json=event)
    first = posted(client, form, *events)
    assert [outcome["position"] for outcome in posted(client, form, *events)] == [
        client.post("/events", json=event).json()["position"] for event in events
    ]
    assert statuses(first)[:4] == [200, 202, 200, 202]


@each_form
def test_a_refusal_is_worded_as_that_of_the_event_alone(client: TestClient, form: Form) -> None:
    history, refused = every_refusal()
    assert set(statuses(posted(client, form, *history))) == {202}
    alone = [client.post("/events", json=event) for event in refused]
    assert [answer.json()["code"] for answer in alone] == [refusal.code for refusal in REFUSALS]
    assert posted(client, form, *refused) == [
        {"event_id": event["event_id"], "status": answer.status_code} | answer.json()
        for event, answer in zip(refused, alone, strict=True)
    ]


def every_refusal() -> tuple[list[Body], list[Body]]:
    """A history, and the events that it refuses, one for each way to be refused."""
    grave, mended = fault_reported(3, "c2"), fault_reported(0, "c4")
    history = [
        *(registered("c1"), reserved("r1", "c1")),
        *(registered("c2"), grave),
        *(registered("c3"), reserved("r3", "c3"), expired("r3")),
        *(
            registered("c4"),
            reserved("r4", "c4"),
            deposited("r4"),
            picked_up("r4"),
            mended,
            fault_cleared(mended, "c4"),
        ),
    ]
    return history, [
        reserved("r5", "c5"),
        deposited("r5"),
        deposited("r1", compartment_id="c2"),
        registered("c1"),
        reserved("r1", "c4"),
        reserved("r5", "c2"),
        reserved("r5", "c1"),
        deposited("r4"),
        picked_up("r3"),
        picked_up("r1"),
        expired("r4"),
        fault_cleared({"event_id": ID}, "c1"),
        fault_cleared(grave, "c1"),
        fault_cleared(mended, "c4"),
    ]


@each_form
def test_a_batch_of_which_nothing_is_accepted_leaves_no_trace(client: TestClient, log_path: Path, form: Form) -> None:
    assert statuses(posted(client, form, reserved(), b"{}", deposited(), fault_reported())) == [422] * 4
    assert log_path.read_bytes() == b""
    assert client.get(f"/lockers/{LOCKER}").status_code == 404


@each_form
def test_a_batch_may_be_empty(client: TestClient, form: Form) -> None:
    assert posted(client, form) == []


@each_form
def test_further_payload_fields_are_kept_as_they_came(client: TestClient, log_path: Path, form: Form) -> None:
    kept = b'{"compartment_id":"c","n":1.50,"big":123456789012345678901234567890,"s":"\\u00e9\\/[],","x":[null,{}]}'
    text = json.dumps(registered() | {"payload": 0}).encode().replace(b'"payload": 0', b'"payload": %b' % kept)
    assert statuses(posted(client, form, registered(), text, registered())) == [202, 202, 409]
    assert kept in log_path.read_bytes()


def test_a_list_may_be_written_on_as_many_lines_as_one_likes(client: TestClient, log_path: Path) -> None:
    batch = history()
    text = json.dumps(batch, indent=2).replace("\n", "\r\n\t")
    answer = client.post("/events/batch", content=f"\r\n {text}\r\n ", headers={"content-type": "application/json"})
    assert statuses(answer.json()) == [202] * 10
    assert list(logged(log_path)) == [event["event_id"] for event in batch]


@pytest.mark.parametrize("size", [99, 100, 101, 256, 1_001])
@each_form
def test_no_event_is_lost_or_moved_where_a_batch_is_cut_into_parts(
    client: TestClient, log_path: Path, form: Form, size: int
) -> None:
    client.event_hooks = {}  # to hold a thousand events to the contract takes its time; shorter batches are
    kinds: list[Callable[[str], Body]] = [
        registered,
        lambda of: reserved(of, "none"),
        lambda of: registered(of) | {"locker_id": 7},
    ]
    batch = [kinds[number % 3](str(number)) for number in range(size)]
    outcomes = posted(client, form, *batch)
    assert [outcome["event_id"] for outcome in outcomes] == [event["event_id"] for event in batch]
    assert statuses(outcomes) == [(202, 422, 422)[number % 3] for number in range(size)]
    assert [locs(outcome) for outcome in outcomes[2::3]] == [[["body", at, "locker_id"]] for at in range(2, size, 3)]
    assert list(logged(log_path)) == [event["event_id"] for event in batch[::3]]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_batches_are_only_posted(client: TestClient, method: str) -> None:
    answer = client.request(method, "/events/batch", content=as_array(registered()))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
