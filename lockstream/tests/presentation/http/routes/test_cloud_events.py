"""CloudEvents: reported to POST /events, and read from the feed, by way of their own library."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fastapi.testclient import TestClient

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.infrastructure.file_log.reader import read_log
from lockstream.tests.presentation.http.routes.network import DAYS, post
from lockstream.tests.support.builders import (
    COMPARTMENT,
    LOCKER,
    RESERVATION,
    Body,
    deposited,
    fault_cleared,
    fault_reported,
    nested_event,
    registered,
    reserved,
)
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.log_audit import audited

EVENTS = [body for bodies in DAYS.values() for body in bodies]
CLOUD_EVENT, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
HEADERS = {"Content-Type": CLOUD_EVENT}


@pytest.fixture
def client(client: TestClient) -> Iterator[TestClient]:
    with contract_client(client.app) as checked:
        yield checked


def cloud_event(event: Body, **more: object) -> dict[str, Any]:
    """Return the CloudEvent that reports an event, with the members `more` added."""
    return {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": f"/lockers/{event['locker_id']}",
        "type": f"io.lockstream.{event['type']}.v1",
        "time": event["occurred_at"],
        "data": event["payload"],
        **more,
    }


def read_by_library(text: bytes) -> Any:
    return JSONFormat().read(None, text)


def batch(client: TestClient, query: str) -> Any:
    response = client.get(f"/events?{query}", headers={"Accept": BATCH})
    assert (response.status_code, response.headers["content-type"]) == (200, BATCH)
    return response.json()


# Reported.


def test_a_cloud_event_is_accepted_as_the_event_that_it_reports(client: TestClient) -> None:
    event = registered(locker="Bahnhof Zürich", note="unchanged")
    body = cloud_event(event, source="/lockers/Bahnhof%20Z%C3%BCrich")
    response = client.post("/events", json=body, headers=HEADERS)
    assert (response.status_code, response.json()["position"]) == (202, 1)
    # then the same event in its own form is a duplicate, and the other way round
    again = client.post("/events", json=event)
    assert (again.status_code, again.json()) == (200, {**response.json(), "outcome": "duplicate"})
    assert client.post("/events", json=body, headers=HEADERS).json() == again.json()
    found = client.get(f"/events/{event['event_id']}").json()
    assert {name: found[name] for name in event} == event


def test_a_cloud_event_written_by_its_library_is_accepted(client: TestClient) -> None:
    attributes = {"id": str(uuid4()), "source": f"/lockers/{LOCKER}", "type": "io.lockstream.CompartmentRegistered.v1"}
    attributes |= {"datacontenttype": "application/json", "sequence": "1", "traceparent": "00-0af7651916cd43dd-01"}
    event = CloudEvent({**attributes, "specversion": "1.0"}, {"compartment_id": COMPARTMENT})
    message = to_structured(event, JSONFormat())
    assert isinstance(message, HTTPMessage)
    response = client.post("/events", content=message.body, headers=dict(message.headers))
    assert (response.status_code, response.json()["event_id"]) == (202, event.get_id())


def test_the_payload_of_a_cloud_event_is_recorded_as_it_was_sent(client: TestClient, log_path: Any) -> None:
    text = json.dumps(cloud_event(registered())).replace('"compartment_id":', '"weight": 1.50e0, "compartment_id":')
    assert client.post("/events", content=text, headers=HEADERS).status_code == 202
    [entry] = log_path.read_bytes().splitlines()
    assert b'"payload":{"weight":1.50e0,"compartment_id":' in entry
    assert len(audited(log_path)) == 1


def test_the_rules_hold_for_cloud_events(client: TestClient) -> None:
    refused = client.post("/events", json=cloud_event(reserved()), headers=HEADERS)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_compartment")
    for status in (202, 409):
        assert client.post("/events", json=cloud_event(registered()), headers=HEADERS).status_code == status


NESTED = json.loads(nested_event(150))["payload"]


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"specversion": "0.3"}, ["specversion"]),
        ({"id": "7"}, ["id"]),
        ({"id": 7}, ["id"]),
        ({"source": f"https://example.com/lockers/{LOCKER}"}, ["source"]),
        ({"source": "/lockers/"}, ["source"]),
        *(
            ({"source": f"/lockers/{wrong}"}, ["source"])
            for wrong in (
                "a%FF",
                "a%",
                "%zz",
                "a b",
                "ü",
                "a%00",
                "a%C2%85",
                "%ED%A0%80",
                "%C0%80",
                "a?b",
                "a#b",
                "a\n",
            )
        ),
        ({"source": "/lockers/a%2Fb"}, ["source"]),
        ({"source": f"/lockers/{'x' * 129}"}, ["source"]),
        ({"type": "CompartmentRegistered"}, ["type"]),
        ({"type": "io.lockstream.CompartmentRegistered.v2"}, ["type"]),
        ({"time": "yesterday"}, ["time"]),
        ({"time": None}, ["time"]),
        ({"data": {}}, ["data", "compartment_id"]),
        ({"data": []}, ["data"]),
        ({"data": "eyJ9"}, ["data"]),
        ({"data": NESTED}, []),
        ({"data_base64": "e30="}, ["data_base64"]),
        ({"datacontenttype": "text/xml"}, ["datacontenttype"]),
    ],
)
def test_what_is_wrong_with_a_cloud_event_is_named_by_its_own_members(
    client: TestClient, log_path: Any, change: dict[str, Any], location: list[str]
) -> None:
    response = client.post("/events", json=cloud_event(registered()) | change, headers=HEADERS)
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["detail"]] == [["body", *location]]
    assert log_path.read_bytes() == b""


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"data":' * 1000,
        json.dumps(cloud_event(registered()))[:-1].encode() + b',"id":"another"}',
        json.dumps(cloud_event(registered())).replace('"data": {', '"data": {"a":1,"a":2,').encode(),
        json.dumps(cloud_event(registered())).replace('"data": {', '"data": {"a":NaN,').encode(),
        json.dumps(cloud_event(registered(locker="\ud800"))).encode(),
    ],
)
def test_what_is_not_json_of_a_cloud_event_gets_422_and_nothing_is_recorded(
    client: TestClient, log_path: Any, text: bytes
) -> None:
    response = client.post("/events", content=text, headers=HEADERS)
    assert (response.status_code, len(response.json()["detail"])) == (422, 1)
    assert log_path.read_bytes() == b""


def test_attributes_that_are_null_count_as_absent(client: TestClient) -> None:
    body = cloud_event(registered(), datacontenttype=None, data_base64=None, subject=None, dataschema=None)
    assert client.post("/events", json=body, headers=HEADERS).status_code == 202


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/vnd.lockers+json"])
def test_the_payload_may_have_any_json_type(client: TestClient, media_type: str) -> None:
    body = cloud_event(registered(), datacontenttype=media_type)
    assert client.post("/events", json=body, headers=HEADERS).status_code == 202


@pytest.mark.parametrize(
    "locker", ["station-7", "100%", "50%41", "Bahnhof Zürich", "駅", "🚀", "a+b c", "\u00a0", "\ud7ff\ue000", "x" * 128]
)
def test_each_locker_can_be_named_by_its_percent_encoded_id(client: TestClient, locker: str) -> None:
    event = registered(locker=locker)
    body = cloud_event(event, source=f"/lockers/{quote(locker)}")
    assert client.post("/events", json=body, headers=HEADERS).status_code == 202
    assert client.get(f"/events/{event['event_id']}").json()["locker_id"] == locker
    assert batch(client, "after=0")[0]["source"] == f"/lockers/{quote(locker)}"


def test_a_payload_may_have_numbers_that_only_its_reader_understands(client: TestClient, log_path: Any) -> None:
    number = "1" * 5_000
    text = json.dumps(cloud_event(registered())).replace('"data": {', f'"data": {{"n":{number},')
    assert client.post("/events", content=text, headers=HEADERS).status_code == 202
    assert number in log_path.read_text()


# Read.


def test_a_page_of_the_feed_is_a_batch_of_cloud_events(client: TestClient, log_path: Any) -> None:
    post(client, EVENTS)
    found = batch(client, "after=0&limit=1000")
    records = list(read_log(log_path))
    assert {type(record.event) for record in records} == set(EVENT_TYPES.values())
    for read, record in zip(found, records, strict=True):
        event = record.event
        subject = event.payload.compartment_id
        kind = "compartments"
        if reservation_id := getattr(event.payload, "reservation_id", None):
            kind, subject = "reservations", reservation_id
        assert read == {
            "specversion": "1.0",
            "id": event.event_id,
            "source": f"/lockers/{event.locker_id}",
            "type": f"io.lockstream.{type(event).__name__}.v1",
            "subject": f"{kind}/{subject}",
            "time": event.occurred_at,
            "recordedtime": record.recorded_at,
            "partitionkey": event.locker_id,
            "sequence": f"{record.end.position:020}",
            "datacontenttype": "application/json",
            "data": json.loads(event.payload_text),
        }
        by_library = read_by_library(json.dumps(read).encode())
        assert (by_library.get_id(), by_library.get_extension("sequence")) == (read["id"], read["sequence"])
        assert by_library.get_data() == read["data"]
        # and it can be reported again as it is
        again = client.post("/events", json=read, headers=HEADERS)
        assert (again.status_code, again.json()["position"]) == (200, record.end.position)


def test_a_batch_has_the_cursor_in_its_headers_and_may_be_empty(client: TestClient) -> None:
    post(client, [registered(), reserved(), deposited()])
    response = client.get("/events?after=0&type=ReservationCreated", headers={"Accept": BATCH})
    assert [event["subject"] for event in response.json()] == [f"reservations/{RESERVATION}"]
    assert (response.headers["lockstream-through"], response.headers["lockstream-position"]) == ("3", "3")
    assert response.headers["vary"] == "Accept"
    assert batch(client, "after=3") == []


def test_payloads_with_further_members_of_the_same_names_are_no_subject(client: TestClient) -> None:
    fault = fault_reported(reservation_id=7)
    post(client, [registered(), fault, fault_cleared(fault, reservation_id=["a"])])
    assert [event["subject"] for event in batch(client, "after=0")] == [f"compartments/{COMPARTMENT}"] * 3


def test_a_time_that_is_written_with_a_blank_is_a_time_of_cloud_events(client: TestClient) -> None:
    post(client, [registered() | {"occurred_at": "2026-11-23 09:15:00.5z"}])
    [found] = batch(client, "after=0")
    assert found["time"] == "2026-11-23T09:15:00.5Z"
    assert read_by_library(json.dumps(found).encode()).get_time().isoformat() == "2026-11-23T09:15:00.500000+00:00"
