"""GET /events: pages of the feed, their media types and parameters, and what is refused."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.presentation.http.routes.network import DAYS, client_of_network, post, time_on
from lockstream.tests.support.builders import registered, reserved
from lockstream.tests.support.clients import check_contract

EVENTS = [body for bodies in DAYS.values() for body in bodies]
PATH = "/events"


@pytest.fixture
def network(client: TestClient) -> TestClient:
    post(client, EVENTS)
    return client


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of a network whose events were accepted on different days."""
    with client_of_network(monkeypatch) as client:
        yield client


def page(client: TestClient, query: str, **headers: str) -> Any:
    response = client.get(f"{PATH}?{query}", headers=headers)
    check_contract(response)
    assert response.status_code == 200, response.text
    body = response.json()
    assert response.headers["lockstream-position"] == str(body["head"])
    assert response.headers["lockstream-through"] == str(body["through"])
    assert response.headers["lockstream-log"] == body["log"]
    return body


def refusal(client: TestClient, query: str, status: int, **headers: str) -> Any:
    response = client.get(f"{PATH}?{query}", headers=headers)
    check_contract(response)
    assert response.status_code == status, response.text
    return response.json()


def test_all_events_are_read_page_by_page_and_each_is_its_line_of_the_log(network: TestClient, log_path: Path) -> None:
    lines, after, found = log_path.read_bytes().splitlines(), 0, list[bytes]()
    while True:
        response = network.get(f"{PATH}?after={after}&limit=4")
        body = page(network, f"after={after}&limit=4")
        assert body["head"] == len(lines)
        if not body["items"]:
            break
        assert body["items"][0]["position"] == after + 1
        assert b",".join(lines[after : body["through"]]) in response.content
        found += lines[after : body["through"]]
        after = body["through"]
    assert after == len(lines)
    assert found == lines


def test_ndjson_has_the_lines_of_the_log(network: TestClient, log_path: Path) -> None:
    response = network.get(f"{PATH}?after=2&limit=10000", headers={"Accept": "application/x-ndjson"})
    check_contract(response)
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert response.content.splitlines() == log_path.read_bytes().splitlines()[2:]
    assert response.headers["lockstream-through"] == str(len(EVENTS))
    empty = network.get(f"{PATH}?after={len(EVENTS)}", headers={"Accept": "application/x-ndjson"})
    assert (empty.content, empty.headers["lockstream-through"]) == (b"", str(len(EVENTS)))


def test_csv_has_the_events_of_the_page(network: TestClient) -> None:
    response = network.get(f"{PATH}?after=2&limit=10&type=FaultReported", headers={"Accept": "text/csv"})
    check_contract(response)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="events.csv"'
    body = page(network, "after=2&limit=10&type=FaultReported")
    assert response.headers["lockstream-through"] == str(body["through"])
    rows = list(csv.DictReader(StringIO(response.text, newline="")))
    assert [row.pop("recorded_by") for row in rows] == [""] * len(body["items"])
    shown = [row | {"position": int(row["position"]), "payload": json.loads(row["payload"])} for row in rows]
    assert shown == body["items"] != []


def test_csv_keeps_a_payload_as_it_was_sent_and_runs_nothing_in_a_spreadsheet(client: TestClient) -> None:
    event = registered("c1", locker="=1+1", event_id="0190a5e0-0000-4000-8000-000000000001")
    text = json.dumps(event).replace('"c1"', '"c1","weight":1.50')
    assert client.post(PATH, content=text, headers={"Content-Type": "application/json"}).status_code == 202
    [row] = csv.DictReader(StringIO(client.get(f"{PATH}?after=0", headers={"Accept": "text/csv"}).text))
    assert (row["locker_id"], row["payload"]) == ("'=1+1", '{"compartment_id":"c1","weight":1.50}')


def test_events_are_filtered(network: TestClient) -> None:
    def ids(query: str) -> list[str]:
        return [item["event_id"] for item in page(network, f"after=0&{query}")["items"]]

    def wanted(**fields: str) -> list[str]:
        return [body["event_id"] for body in EVENTS if fields.items() <= body.items()]

    assert ids("type=FaultReported") == wanted(type="FaultReported") != []
    assert ids("locker_id=l2") == wanted(locker_id="l2") != []
    assert ids("locker_id=l2&type=ReservationCreated") == wanted(locker_id="l2", type="ReservationCreated") != []
    assert ids("locker_id=unknown") == []
    assert page(network, "after=0&locker_id=unknown")["through"] == len(EVENTS)
    parts = [ids(f"partition={number}/3") for number in range(3)]
    assert sorted(one for part in parts for one in part) == sorted(body["event_id"] for body in EVENTS)


def test_the_head_is_the_place_after_the_newest_event(network: TestClient) -> None:
    body = page(network, "after=head")
    assert (body["items"], body["through"]) == ([], len(EVENTS))
    post(network, [registered("new")])
    assert [item["position"] for item in page(network, f"after={body['through']}&wait=30")["items"]] == [
        body["head"] + 1
    ]


def test_an_empty_log_has_an_empty_page(client: TestClient) -> None:
    assert page(client, "after=0") == {"items": [], "through": 0, "head": 0, "log": "0" * 32}
    # and its reader goes on with the first event
    post(client, [registered()])
    body = page(client, "after=0", **{"Lockstream-Log": "0" * 32})
    assert (body["through"], body["log"]) == (1, body["items"][0]["chain"][:32])


def test_a_reader_begins_at_a_time(days: TestClient) -> None:
    # given events that were accepted on different days
    first_of_day = {20: 1, 21: 9, 22: 12, 23: 15}
    for day, first in first_of_day.items():
        # when the feed begins at the time of a day, then it begins with the first event of that day
        assert page(days, f"from={time_on(day)}&limit=1")["items"][0]["position"] == first
        # and a microsecond later, with the next day
        later = time_on(day).replace("000000Z", "000001Z")
        following = page(days, f"from={later}&limit=1")
        assert [item["position"] for item in following["items"]] == [
            one for one in [first_of_day.get(day + 1)] if one is not None
        ]
    assert page(days, "from=2030-01-01T00:00:00Z")["through"] == 17
    assert page(days, "from=2020-01-01T00:00:00Z&limit=1")["items"][0]["position"] == 1


@pytest.mark.parametrize("query", ["", "limit=5", "after=1&from=2026-11-20T08:00:00Z"])
def test_a_request_needs_one_start(client: TestClient, query: str) -> None:
    detail = refusal(client, query, 422)["detail"]
    assert "The feed needs one start. Send after=0" in detail
    assert "after=head" in detail
    assert "from=" in detail


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("after=-1", "a position, such as 0 or 81204, or head"),
        ("after=Head", "or head"),
        ("after=0&limit=0", "from 1 to 10,000"),
        ("after=0&limit=10001", "from 1 to 10,000"),
        ("after=0&wait=31", "from 0 to 30"),
        ("after=0&type=Reserved", "ReservationCreated"),
        ("after=0&locker_id=%00", "Send"),
        ("after=0&partition=4/4", "i from 0 to n - 1"),
        ("after=0&partition=0/1025", "n from 1 to 1,024"),
        ("after=0&partition=0/0", "n from 1 to 1,024"),
        ("after=0&partition=1", "such as 0/4"),
        ("after=0&partition=a/b", "such as 0/4"),
        ("from=yesterday", "RFC 3339"),
        ("after=0&order=desc", "after, from, limit, type, locker_id, partition and wait"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(client: TestClient, query: str, allowed: str) -> None:
    assert allowed in refusal(client, query, 422)["detail"]


def test_a_header_that_is_not_the_id_of_a_log_is_named(client: TestClient) -> None:
    assert "not the id of a log" in refusal(client, "after=0", 422, **{"Lockstream-Log": "x"})["detail"]


def test_a_media_type_that_the_feed_lacks_is_refused(client: TestClient) -> None:
    assert "application/x-ndjson" in refusal(client, "after=0", 406, Accept="text/html")["detail"]


def test_a_reader_of_another_log_is_told_both(network: TestClient) -> None:
    body = refusal(network, "after=0", 409, **{"Lockstream-Log": "c" * 32})
    assert body["code"] == "other_log"
    assert body["head"] == len(EVENTS)
    assert "c" * 32 in body["detail"]
    assert body["log"] in body["detail"]


def test_a_reader_beyond_the_head_of_a_restored_backup_is_told_so(
    new_client: NewClient, log_path: Path, tmp_path: Path
) -> None:
    # given a reader that has read all of a log
    with new_client() as client:
        post(client, [registered(), reserved()])
        read = page(client, "after=0")
    # when an older copy of the log is served
    log_path.write_bytes(log_path.read_bytes().splitlines(keepends=True)[0])
    for file in tmp_path.glob("*.projection*"):
        file.unlink()
    # then the reader gets 409 with both positions, also if it would wait
    with new_client() as client:
        body = refusal(client, f"after={read['through']}&wait=30", 409, **{"Lockstream-Log": read["log"]})
        assert (body["code"], body["log"], body["head"]) == ("cursor_beyond_head", read["log"], 1)
        assert "2" in body["detail"]
        # and a reader that was not as far goes on
        assert page(client, "after=1", **{"Lockstream-Log": read["log"]})["items"] == []


def test_the_other_methods_of_the_path_stay(client: TestClient) -> None:
    assert client.post(PATH, json=registered()).status_code == 202
    response = client.delete(PATH)
    assert response.status_code == 405
    assert {"GET", "POST", "HEAD"} <= set(response.headers["allow"].replace(" ", "").split(","))
    assert client.head(f"{PATH}?after=0").headers["lockstream-through"] == "1"
