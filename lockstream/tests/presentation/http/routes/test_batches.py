"""POST /events/batch: each event gets its own outcome, the same as if it had been posted alone."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from lockstream.core.rules import REFUSALS
from lockstream.tests.presentation.http.batch_requests import (
    ARRAY,
    NDJSON,
    Form,
    each_form,
    error_locations,
    positions_in_log,
    post_batch,
    statuses,
)
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.presentation.http.routes.test_events import LEAP_SECONDS
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
from lockstream.tests.support.log_audit import audited

ID = "0b54a3e8-9c5f-4d3a-8f21-b6d0c7e9aaff"

MALFORMED = {"locker_id": 7}


@each_form
def test_each_event_gets_its_outcome_in_order(client: TestClient, form: Form) -> None:
    # given one event for each kind of outcome
    first, conflicting, unresolved, last = registered(), registered(), deposited(), reserved()
    malformed = registered() | MALFORMED
    # when they are posted as one batch
    items = post_batch(client, form, first, first, conflicting, unresolved, malformed, last)
    # then each item says what its event alone would get
    assert items[:4] == [
        {"event_id": first["event_id"], "status": 202, "position": 1},
        {"event_id": first["event_id"], "status": 200, "position": 1},
        {
            "event_id": conflicting["event_id"],
            "status": 409,
            "code": "compartment_already_registered",
            "detail": f"Compartment '{COMPARTMENT}' of locker '{LOCKER}' is already registered. Do not send the event "
            "again.",
        },
        {
            "event_id": unresolved["event_id"],
            "status": 422,
            "code": "unknown_reservation",
            "detail": "There is no reservation 'reservation-1'. Send its ReservationCreated first.",
        },
    ]
    assert items[4]["event_id"] == malformed["event_id"]
    assert error_locations(items[4]) == [["body", 4, "locker_id"]]
    assert items[5:] == [{"event_id": last["event_id"], "status": 202, "position": 2}]


@each_form
def test_an_event_builds_on_earlier_events_of_its_batch(client: TestClient, log_path: Path, form: Form) -> None:
    events = history()
    assert post_batch(client, form, *events) == [
        {"event_id": event["event_id"], "status": 202, "position": position} for position, event in enumerate(events, 1)
    ]
    assert list(positions_in_log(log_path)) == [event["event_id"] for event in events]
    locker = client.get(f"/lockers/{LOCKER}").json()
    assert (locker["compartments"], locker["active_reservations"], locker["degraded_compartments"]) == (2, 1, 1)


@each_form
def test_an_event_does_not_build_on_later_events_of_its_batch(client: TestClient, form: Form) -> None:
    batch = [picked_up(), deposited(), reserved(), registered()]
    assert statuses(post_batch(client, form, *batch)) == [422, 422, 422, 202]
    assert statuses(post_batch(client, form, *batch)) == [422, 422, 202, 200], "refused events are decided again"


@each_form
def test_events_of_a_batch_that_is_sent_again_are_duplicates(new_client: NewClient, form: Form) -> None:
    # given a batch of accepted and refused events
    batch = [*history(), registered("c1"), deposited("unknown"), *history("locker-2")]
    # when it is posted twice, and once more after a restart in the other form
    with new_client() as client:
        first = post_batch(client, form, *batch)
        again = post_batch(client, form, *batch)
    with new_client() as client:
        after_restart = post_batch(client, NDJSON if form == ARRAY else ARRAY, *batch)
    # then accepted events are duplicates, and refused events are refused again
    assert statuses(first) == [202] * 10 + [409, 422] + [202] * 10
    assert again == [item | {"status": 200} if "position" in item else item for item in first]
    assert after_restart == again


@each_form
def test_an_id_is_the_same_in_any_case_and_returned_in_lower_case(client: TestClient, form: Form) -> None:
    refused = registered(event_id=str(uuid4()).upper())
    items = post_batch(client, form, *(registered(event_id=case(ID)) for case in (str.upper, str.title, str)), refused)
    assert [(item["event_id"], item["status"]) for item in items] == [
        *((ID, 202), (ID, 200), (ID, 200)),
        (refused["event_id"].lower(), 409),
    ]


@each_form
def test_a_known_id_is_a_duplicate_whatever_else_the_event_says(client: TestClient, form: Form) -> None:
    batch = [
        registered(),
        registered("other", event_id=ID),
        reserved(event_id=ID),
        deposited("unknown", event_id=ID),
    ]
    assert statuses(post_batch(client, form, *batch)) == [202, 202, 200, 200]
    assert client.get("/reservations/reservation-1").status_code == 404


@each_form
def test_an_event_posted_alone_is_a_duplicate_in_a_batch_and_vice_versa(client: TestClient, form: Form) -> None:
    events = history()
    for event in events[::2]:
        client.post("/events", json=event)
    first = post_batch(client, form, *events)
    assert [item["position"] for item in post_batch(client, form, *events)] == [
        client.post("/events", json=event).json()["position"] for event in events
    ]
    assert statuses(first)[:4] == [200, 202, 200, 202]


@each_form
def test_a_refusal_has_the_same_words_as_for_the_event_alone(client: TestClient, form: Form) -> None:
    events, refused = every_refusal()
    assert set(statuses(post_batch(client, form, *events))) == {202}
    alone = [client.post("/events", json=event) for event in refused]
    assert [response.json()["code"] for response in alone] == [refusal.code for refusal in REFUSALS]
    assert post_batch(client, form, *refused) == [
        {"event_id": event["event_id"], "status": response.status_code} | response.json()
        for event, response in zip(refused, alone, strict=True)
    ]


def every_refusal() -> tuple[list[Body], list[Body]]:
    """Return a history, and events that it refuses, one for each refusal of the rules and in their order."""
    severe, cleared = fault_reported(3, "c2"), fault_reported(0, "c4")
    events = [
        *(registered("c1"), reserved("r1", "c1")),
        *(registered("c2"), severe),
        *(registered("c3"), reserved("r3", "c3"), expired("r3")),
        *(registered("c4"), reserved("r4", "c4"), deposited("r4"), picked_up("r4")),
        *(cleared, fault_cleared(cleared, "c4")),
        registered("c1", locker="another"),
    ]
    return events, [
        reserved("r5", "c5"),
        deposited("r5"),
        deposited("r1", locker="another"),
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
        fault_cleared(severe, "c1", locker="another"),
        fault_cleared(severe, "c1"),
        fault_cleared(cleared, "c4"),
    ]


@each_form
def test_a_batch_without_an_accepted_event_changes_nothing(client: TestClient, log_path: Path, form: Form) -> None:
    assert statuses(post_batch(client, form, reserved(), b"{}", deposited(), fault_reported())) == [422] * 4
    assert log_path.read_bytes() == b""
    assert client.get(f"/lockers/{LOCKER}").status_code == 404


@each_form
def test_a_batch_may_be_empty(client: TestClient, form: Form) -> None:
    assert post_batch(client, form) == []


@each_form
def test_further_payload_members_are_kept_exactly_as_sent(client: TestClient, log_path: Path, form: Form) -> None:
    kept = b'{"compartment_id":"c","n":1.50,"big":123456789012345678901234567890,"s":"\\u00e9\\/[],","x":[null,{}]}'
    text = json.dumps(registered() | {"payload": 0}).encode().replace(b'"payload": 0', b'"payload": %b' % kept)
    assert statuses(post_batch(client, form, registered(), text, registered())) == [202, 202, 409]
    assert kept in log_path.read_bytes()


@each_form
def test_a_leap_second_is_accepted_and_kept_as_sent(client: TestClient, log_path: Path, form: Form) -> None:
    # given a batch with every leap second, and one event with second 60 in another minute
    times = ["2016-12-31T12:00:60Z", *LEAP_SECONDS, "2026-11-23T09:15:00Z"]
    events = [registered(f"c{number}") | {"occurred_at": time} for number, time in enumerate(times)]
    # when it is posted
    items = post_batch(client, form, *events)
    # then only that event is malformed
    assert statuses(items) == [422] + [202] * (len(times) - 1)
    assert error_locations(items[0]) == [["body", 0, "occurred_at"]]
    assert [record["occurred_at"] for record in audited(log_path)] == times[1:]


def test_an_array_may_span_any_number_of_lines(client: TestClient, log_path: Path) -> None:
    batch = history()
    text = json.dumps(batch, indent=2).replace("\n", "\r\n\t")
    response = client.post("/events/batch", content=f"\r\n {text}\r\n ", headers={"content-type": "application/json"})
    assert statuses(response.json()) == [202] * 10
    assert list(positions_in_log(log_path)) == [event["event_id"] for event in batch]


@pytest.mark.parametrize("size", [99, 100, 101, 256, 1_001])
@each_form
def test_no_event_is_lost_or_moved_at_the_borders_of_chunks(
    unchecked_client: TestClient, log_path: Path, form: Form, size: int
) -> None:
    # given accepted, refused and malformed events in turn
    kinds: list[Callable[[str], Body]] = [
        registered,
        lambda reservation: reserved(reservation, "unknown"),
        lambda compartment: registered(compartment) | MALFORMED,
    ]
    batch = [kinds[number % 3](str(number)) for number in range(size)]
    # when they are posted as one batch
    items = post_batch(unchecked_client, form, *batch)
    # then every item belongs to the event at its place
    assert [item["event_id"] for item in items] == [event["event_id"] for event in batch]
    assert statuses(items) == [(202, 422, 422)[number % 3] for number in range(size)]
    assert [error_locations(item) for item in items[2::3]] == [
        [["body", index, "locker_id"]] for index in range(2, size, 3)
    ]
    assert list(positions_in_log(log_path)) == [event["event_id"] for event in batch[::3]]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post_is_allowed_for_batches(client: TestClient, method: str) -> None:
    response = client.request(method, "/events/batch", content=as_array(registered()))
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
