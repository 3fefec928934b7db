"""Histories: the events of a locker, a compartment or a reservation, page by page, each as its line of the log."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.events import EVENT_TYPES
from lockstream.core.entities.subjects import CompartmentSubject, LockerSubject, ReservationSubject, Subject
from lockstream.core.use_cases import history
from lockstream.services.running.lockstream import Lockstream
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.presentation.http.routes.network import DAYS, client_of_network, time_on
from lockstream.tests.support.builders import LOCKER, as_lines, deposited, picked_up, registered, reserved

HISTORIES = "/lockers/l1/events", "/lockers/l1/compartments/c1/events", "/reservations/r2/events"
CSV = {"Accept": "text/csv"}

PAYLOADS = [
    '{"compartment_id":"numbers","list":[1.50,1e2,1E+2,-0,-0.0,0.1e-7,123456789012345678901234567890,1e400]}',
    '{"compartment_id":"texts","escaped":"\\u00e9\\ud83d\\ude80\\/\\b\\f\\n\\t\\"\\\\","plain":"é🚀/  "}',
    '{"compartment_id":"nested","a":{"b":{"a":[{"b":[]},{}]},"c":null},"z":true,"a ":false,"":""}',
    '{"formula":"=1+1","compartment_id":"\\u003dcmd"}',
]
"""Texts of payloads with values that a decoder and an encoder could change."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with client_of_network(monkeypatch) as client:
        yield client


def positions(client: TestClient, url: str) -> list[int]:
    response = client.get(url)
    assert response.status_code == 200, response.text
    return [item["position"] for item in response.json()["items"]]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/lockers/l1/events", [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14]),
        ("/lockers/l2/events", [5, 13, 15, 16, 17]),
        ("/lockers/l1/compartments/c1/events", [4, 6, 14]),
        ("/lockers/l2/compartments/c1/events", [5, 13, 15, 16, 17]),
        ("/reservations/r2/events", [8, 11, 12]),
        ("/reservations/r0/events", [16, 17]),
    ],
)
def test_a_subject_has_a_history(client: TestClient, path: str, expected: list[int]) -> None:
    assert positions(client, path) == expected
    assert positions(client, f"{path}?order=asc") == expected
    assert positions(client, f"{path}?order=desc") == expected[::-1]


def test_an_event_is_shown_as_it_was_accepted(client: TestClient) -> None:
    sent = [event for events in DAYS.values() for event in events]
    shown = client.get("/lockers/l1/compartments/c1/events").json()["items"]
    for item, day in zip(shown, (20, 20, 22), strict=True):
        assert list(item) == [
            *("position", "recorded_at", "event_id", "occurred_at", "locker_id", "type", "payload", "chain")
        ]
        assert item["recorded_at"] == time_on(day)
        assert sent[item["position"] - 1].items() <= item.items()
        assert client.get(f"/events/{item['event_id']}").json() == item


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize("path", HISTORIES)
def test_a_history_is_filtered_by_type(client: TestClient, path: str, event_type: str) -> None:
    whole = client.get(path).json()["items"]
    found = client.get(f"{path}?type={event_type}").json()["items"]
    assert found == [item for item in whole if item["type"] == event_type]
    newest_first = client.get(f"{path}?type={event_type}&order=desc").json()["items"]
    assert newest_first == found[::-1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("since=8", [8, 9, 10, 11, 12, 14]),
        ("until=8", [1, 2, 3, 4, 6, 7, 8]),
        ("since=5&until=9", [6, 7, 8, 9]),
        ("since=5&until=9&order=desc", [9, 8, 7, 6]),
        ("since=8&until=8", [8]),
        ("since=9&until=8", []),
        ("since=0&until=0", []),
        ("since=15", []),
        ("until=999", [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 14]),
        ("since=2026-11-21T08:00:00Z", [9, 10, 11, 12, 14]),
        ("since=2026-11-21T09:00:00.000001%2B01:00", [12, 14]),
        ("since=2026-11-20T08:00:00.0000001Z&until=2026-11-21T08:00:00Z", [9, 10, 11]),
        ("until=2026-11-21T07:59:59.9999999Z&order=desc", [8, 7, 6, 4, 3, 2, 1]),
        ("since=10&until=2026-11-22T08:00:00Z&type=ParcelPickedUp", [12]),
        ("since=2999-01-01T00:00:00Z", []),
        ("until=1999-01-01T00:00:00Z", []),
    ],
)
def test_a_history_has_a_first_and_a_last_moment(client: TestClient, query: str, expected: list[int]) -> None:
    assert positions(client, f"/lockers/l1/events?{query}") == expected
    rows = csv.DictReader(StringIO(client.get(f"/lockers/l1/events?{query}", headers=CSV).text, newline=""))
    assert [int(row["position"]) for row in rows] == expected


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_pages_of_a_part_of_a_history_are_that_part(client: TestClient, order: str) -> None:
    url = f"/lockers/l1/events?since=3&until=2026-11-21T08:00:00Z&order={order}&limit=2"
    found, token = list[int](), ""
    while True:
        page = client.get(url + token).json()
        found += [item["position"] for item in page["items"]]
        if page["next"] is None:
            break
        token = f"&after={page['next']}"
    assert sorted(found, reverse=order == "desc") == found
    assert sorted(found) == [3, 4, 6, 7, 8, 9, 10, 11]
    # and a token is bound to the moments
    assert client.get(f"/lockers/l1/events?since=4&order={order}&limit=2{token}").status_code == 422


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["-1", "01", "yesterday", "2026-11-21", "2026-11-21T08:00:00"])
def test_a_moment_that_is_neither_a_position_nor_a_time_gets_422(client: TestClient, name: str, value: str) -> None:
    for path in HISTORIES:
        response = client.get(f"{path}?{name}={value}")
        assert response.status_code == 422
        assert response.json()["detail"].startswith(
            f"The query parameter {name} is '{value}'. Send a position, such as 81204, or a time with an offset"
        )


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/lockers/l9", "There is no locker 'l9'. Its first CompartmentRegistered event creates it."),
        (
            "/lockers/l1/compartments/c9",
            "Locker 'l1' has no compartment 'c9'. Its CompartmentRegistered event creates it.",
        ),
        (
            "/lockers/l9/compartments/c1",
            "Locker 'l9' has no compartment 'c1'. Its CompartmentRegistered event creates it.",
        ),
        ("/reservations/r9", "There is no reservation 'r9'. Its ReservationCreated event creates it."),
    ],
)
def test_an_unknown_subject_has_no_history(client: TestClient, path: str, sentence: str) -> None:
    for query in "", "?type=FaultReported&order=desc":
        response = client.get(f"{path}/events{query}")
        assert (response.status_code, response.json()["detail"]) == (404, sentence)
        assert response.headers["Lockstream-Position"] == "17"
    assert client.get(f"{path}/events", headers=CSV).json()["detail"] == sentence


@pytest.mark.parametrize("impossible", ["%00", "%FF", "x" * 129, "a%0Ab"])
def test_an_id_that_no_subject_can_have_gets_404(client: TestClient, impossible: str) -> None:
    for path in (
        f"/lockers/{impossible}/events",
        f"/lockers/l1/compartments/{impossible}/events",
        f"/lockers/{impossible}/compartments/c1/events",
        f"/reservations/{impossible}/events",
    ):
        assert client.get(path).status_code == 404


def test_a_token_of_the_history_of_another_subject_gets_422(client: TestClient) -> None:
    tokens = {path: client.get(f"{path}?limit=1").json()["next"] for path in HISTORIES}
    for path in (*HISTORIES, "/lockers/l2/events", "/lockers/l1/compartments/c4/events", "/reservations/r1/events"):
        for origin, token in tokens.items():
            response = client.get(f"{path}?after={token}")
            assert response.status_code == (200 if path == origin else 422), (path, origin)


def test_a_subject_with_the_same_id_has_tokens_of_its_own(new_client: NewClient) -> None:
    with new_client() as client:
        events = [registered("x", locker="x"), reserved("x", "x", locker="x"), deposited("x", locker="x")]
        assert client.post("/events/batch", json=events).status_code == 200
        token = client.get("/lockers/x/events?limit=1").json()["next"]
        assert client.get(f"/reservations/x/events?after={token}").status_code == 422


def test_csv_has_the_payload_as_json(client: TestClient) -> None:
    for path in HISTORIES:
        items, response = client.get(path).json()["items"], client.get(path, headers=CSV)
        rows = list(csv.DictReader(StringIO(response.text, newline="")))
        assert [row | {"position": int(row["position"]), "payload": json.loads(row["payload"])} for row in rows] == [
            item | {"recorded_by": ""} for item in items
        ]
    kinds = ["locker", "compartment", "reservation"]
    names = [client.get(path, headers=CSV).headers["Content-Disposition"] for path in HISTORIES]
    assert names == [f'attachment; filename="{kind}-events.csv"' for kind in kinds]


def test_a_page_of_large_events_is_bounded_by_bytes(new_client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE_BYTES", 10_000)
    monkeypatch.setattr(history, "FIRST_RECORDS", 3)
    with new_client() as client:
        # given events of which ten fill a page, and a last page that ends exactly with the last event
        bodies = [registered(str(number), note="x" * 1_000) for number in range(20)]
        assert client.post("/events/batch", json=bodies).status_code == 200
        first = client.get(f"/lockers/{LOCKER}/events?limit=1000").json()
        assert [item["position"] for item in first["items"]] == [*range(1, 11)]
        second = client.get(f"/lockers/{LOCKER}/events?limit=1000&after={first['next']}").json()
        assert [item["position"] for item in second["items"]] == [*range(11, 21)]
        assert second["next"] is None
        # then the limit still holds
        few = client.get(f"/lockers/{LOCKER}/events?limit=4&order=desc").json()
        assert [item["position"] for item in few["items"]] == [20, 19, 18, 17]
        assert few["next"]


def test_a_history_has_the_bytes_of_the_log(new_client: NewClient, log_path: Path) -> None:
    # given events whose payloads a decoder and an encoder could change
    with new_client() as client:
        bodies = [
            json.dumps(registered("")).replace('{"compartment_id": ""}', payload).encode() for payload in PAYLOADS
        ]
        assert client.post("/events", content=bodies[0]).status_code == 202
        outcomes = client.post(
            "/events/batch", content=as_lines(*bodies[1:]), headers={"Content-Type": "application/x-ndjson"}
        )
        assert [outcome["status"] for outcome in outcomes.json()] == [202] * (len(PAYLOADS) - 1)
        # when the history is read, then each item is its line, which holds the payload as it was sent
        lines = log_path.read_bytes().splitlines()
        assert [line.count(text.encode()) for line, text in zip(lines, PAYLOADS, strict=True)] == [1] * len(PAYLOADS)
        path = f"/lockers/{LOCKER}/events"
        assert client.get(path).content == b'{"items":[%b],"next":null}' % b",".join(lines)
        assert client.get(f"{path}?order=desc").content == b'{"items":[%b],"next":null}' % b",".join(lines[::-1])
        # and so is each event alone
        assert [client.get(f"/events/{json.loads(body)['event_id']}").content for body in bodies] == lines
        # and CSV has the payload's text
        rows = csv.DictReader(StringIO(client.get(path, headers=CSV).text, newline=""))
        assert [row["payload"] for row in rows] == PAYLOADS


def test_an_id_that_a_spreadsheet_could_run_is_quoted_in_csv(new_client: NewClient) -> None:
    with new_client() as client:
        assert client.post("/events", json=registered("c1", locker="=cmd|'x'!A1")).status_code == 202
        [row] = csv.DictReader(StringIO(client.get("/lockers/%3Dcmd%7C'x'!A1/events", headers=CSV).text, newline=""))
        assert row["locker_id"] == "'=cmd|'x'!A1"


def test_a_page_and_its_token_are_the_same_after_a_restart(new_client: NewClient) -> None:
    # given a first page of each history, newest first and oldest first
    queries = [f"{path}?order={order}&limit=2" for path in HISTORIES for order in ("asc", "desc")]
    with new_client() as client:
        assert client.post("/events/batch", json=[event for day in DAYS.values() for event in day]).status_code == 200
        first = {query: client.get(query).json() for query in queries}
        second = {query: client.get(f"{query}&after={page['next']}").json() for query, page in first.items()}
    # when the system was started again, then the token leads to the same next page
    with new_client() as client:
        assert {query: client.get(query).json() for query in queries} == first
        again = {query: client.get(f"{query}&after={page['next']}").json() for query, page in first.items()}
        assert again == second
        assert all(page["items"] for page in again.values())


def test_a_history_shows_each_event_that_was_acknowledged_before(new_client: NewClient) -> None:
    with new_client() as client:
        for count, event in enumerate([registered(), reserved(), deposited(), picked_up()], 1):
            assert client.post("/events", json=event).status_code == 202
            shown = client.get(f"/lockers/{LOCKER}/events?order=desc").json()["items"]
            assert (len(shown), shown[0]["event_id"]) == (count, event["event_id"])


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("/lockers/l1/events", LockerSubject("l1")),
        ("/lockers/l1/events?since=2", LockerSubject("l1")),
        ("/lockers/l1/compartments/c1/events?until=3", CompartmentSubject("l1", "c1")),
        ("/reservations/r2/events", ReservationSubject("r2")),
        ("/lockers/l1/compartments", LockerSubject("l1")),
        ("/reservations?locker_id=l1", LockerSubject("l1")),
        ("/reservations?locker_id=l1&sort=id", LockerSubject("l1")),
        ("/faults?locker_id=l1", LockerSubject("l1")),
        # all events tell which position a time stands for
        ("/lockers/l1/events?since=2020-01-01T00:00:00Z", None),
        ("/lockers/l1/events?until=2020-01-01T00:00:00Z", None),
        ("/reservations?locker_id=l1&changed_before=2020-01-01T00:00:00Z", None),
        ("/reservations", None),
        ("/faults", None),
        ("/lockers?q=l1", None),
    ],
)
def test_a_list_names_the_subject_that_it_depends_on(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, subject: Subject | None
) -> None:
    """A list of one subject waits for no event of another one."""
    named = list[Subject | None]()
    read = Lockstream.list

    def observed(*args: Any, **named_arguments: Any) -> Any:
        named.append(named_arguments.get("subject"))
        return read(*args, **named_arguments)

    monkeypatch.setattr(Lockstream, "list", observed)
    assert client.get(path).status_code == 200
    assert named == [subject]
