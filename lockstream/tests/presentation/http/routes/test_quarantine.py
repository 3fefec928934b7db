"""The quarantine over HTTP: lists, one entry, resubmission, discards, and malformed bodies."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from lockstream.core.rules import REFUSALS
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.presentation.http.routes.telemetry.scrapes import scrape
from lockstream.tests.support.builders import (
    Body,
    as_array,
    as_lines,
    body,
    deposited,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.processes import wait_until

UNKNOWN_ID = "0190a5e0-0000-4000-8000-00000000ffff"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def items(client: TestClient, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/quarantine?{query}").json()["items"]
    return found


def ids(client: TestClient, query: str = "") -> list[str]:
    return [item["event_id"] for item in items(client, query)]


def totals(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/quarantine").json()["totals"]
    return found


def refused(client: TestClient, *bodies: Body) -> None:
    for one in bodies:
        assert client.post("/events", json=one).status_code in (409, 422)


@pytest.fixture
def day() -> list[Body]:
    """A parcel's life, with rising times, in the order in which it happened."""
    bodies = [registered(), reserved(), deposited(), picked_up()]
    for hour, one in enumerate(bodies, 8):
        one["occurred_at"] = f"2026-11-23T{hour:02}:00:00+01:00"
    return bodies


def test_an_empty_quarantine_has_no_entries_and_no_counts(client: TestClient) -> None:
    assert client.get("/quarantine").json() == {
        "items": [],
        "next": None,
        "totals": {"open": {}, "discarded": 0, "dropped": 0, "unchecked_duplicates": 0, "malformed": {}},
    }


def test_a_refused_event_is_kept_with_all_that_is_known_of_it(client: TestClient) -> None:
    given = deposited(note="ünï")
    text = f"  {json.dumps(given, indent=2)}".encode()
    response = client.post("/events", content=text, headers={"content-type": "application/json"})
    [entry] = items(client)
    assert RFC_3339.fullmatch(entry.pop("first_at"))
    assert RFC_3339.fullmatch(entry.pop("last_at"))
    assert entry == {
        "event_id": given["event_id"],
        "kind": "refused",
        "status": "open",
        **response.json(),
        "locker_id": given["locker_id"],
        "type": "ParcelDeposited",
        "occurred_at": given["occurred_at"],
        "count": 1,
        "address": "testclient",
        "discarded_at": None,
        "discard_reason": None,
        "body": given,
    }
    assert text.strip() in client.get(f"/quarantine/{given['event_id']}").content  # byte for byte
    assert client.get(f"/events/{given['event_id']}").status_code == 404


def test_every_refusal_has_an_entry_with_its_code(client: TestClient) -> None:
    fault = fault_reported(4, "degraded")
    for one in (registered("c1"), registered("degraded"), fault, reserved("r1", "c1")):
        assert client.post("/events", json=one).status_code == 202
    other_fault = fault_reported(1, "c1")
    expired_body = body("ReservationExpired", reservation_id="r2")
    for one in (other_fault, registered("c2"), reserved("r2", "c2"), expired_body):
        assert client.post("/events", json=one).status_code == 202
    assert client.post("/events", json=fault_cleared(other_fault, "c1")).status_code == 202
    refused(
        client,
        reserved("r9", "missing"),
        deposited("missing"),
        deposited("r1", locker="elsewhere"),
        registered("c1"),
        reserved("r1", "c2"),
        reserved("r9", "degraded"),
        reserved("r9", "c1"),
        deposited("r2"),
        picked_up("r2"),
        picked_up("r1"),
        body("ReservationExpired", reservation_id="r2"),
        fault_cleared({"event_id": UNKNOWN_ID}, "c1"),
        fault_cleared(fault, "c1"),
        fault_cleared(other_fault, "c1"),
    )
    assert totals(client)["open"] == {refusal.code: 1 for refusal in REFUSALS}
    for refusal in REFUSALS:
        assert [item["code"] for item in items(client, f"code={refusal.code}")] == [refusal.code]


def test_the_same_event_again_is_counted_on_its_entry(client: TestClient) -> None:
    given = deposited()
    refused(client, given, given)
    [first] = items(client)
    refused(client, given | {"event_id": given["event_id"].upper()})
    [entry] = items(client)
    assert (first["count"], entry["count"]) == (2, 3)
    assert first["first_at"] == entry["first_at"] < entry["last_at"]


def test_an_entry_shows_the_newest_body_and_the_newest_reason(client: TestClient) -> None:
    given = deposited("r1")
    refused(client, given)
    client.post("/events/batch", content=as_array(registered(), reserved("r1"), deposited("r1")))
    refused(client, given | {"payload": {"reservation_id": "r1", "again": True}})
    [entry] = items(client)
    assert entry["code"] == "reservation_not_awaiting_deposit"
    assert entry["body"]["payload"]["again"] is True
    assert totals(client)["open"] == {"reservation_not_awaiting_deposit": 1}


@pytest.mark.parametrize("encode", [as_array, as_lines])
def test_refused_items_of_a_batch_are_kept_beside_accepted_and_malformed_ones(client: TestClient, encode: Any) -> None:
    first, second = deposited("r8"), deposited("r9")
    content = encode(b'{"no": "event"}', registered(), first, b"[]", second, registered("c2"))
    media_type = "application/x-ndjson" if encode is as_lines else "application/json"
    client.post("/events/batch", content=content, headers={"content-type": media_type})
    assert ids(client, "order=asc") == [first["event_id"], second["event_id"]]
    assert [item["body"] for item in items(client, "order=asc")] == [first, second]
    assert [item["body"] for item in client.get("/quarantine/malformed").json()["items"]] == ["[]", '{"no": "event"}']


def test_an_event_that_is_accepted_later_leaves(client: TestClient, day: list[Body]) -> None:
    refused(client, day[1])
    assert client.post("/events", json=day[0]).status_code == 202
    assert client.post("/events/batch", content=as_array(day[1])).json()[0]["status"] == 202
    assert ids(client) == []
    assert client.get(f"/quarantine/{day[1]['event_id']}").status_code == 404


def test_an_event_that_is_refused_and_accepted_in_one_batch_leaves(client: TestClient, day: list[Body]) -> None:
    client.post("/events/batch", content=as_array(day[1], day[0], day[1]))
    assert ids(client) == []


def accept_under_id_of_entry(client: TestClient) -> Body:
    """Have an event refused, and another one accepted under its id. Return the refused one."""
    accepted = registered()
    first = deposited(event_id=accepted["event_id"])
    refused(client, first)
    assert [item["code"] for item in items(client)] == ["unknown_reservation"]
    assert client.post("/events", json=accepted).status_code == 202
    return first


@pytest.mark.parametrize(
    "codes",
    [
        lambda client, _: [item["code"] for item in items(client)],
        lambda client, path: [client.get(path).json().get("code")],
        lambda client, _: [*totals(client)["open"]],
        lambda client, path: [client.post(f"{path}/discard", json={"reason": "Two devices."}).json().get("code")],
    ],
    ids=["list", "entry", "totals", "discard"],
)
def test_an_event_with_other_content_that_is_accepted_makes_a_reused_id_on_every_store(
    each_client: TestClient, codes: Callable[[TestClient, str], list[str]]
) -> None:
    first = accept_under_id_of_entry(each_client)
    assert codes(each_client, f"/quarantine/{first['event_id']}") == ["event_id_reused"]
    [entry] = [*items(each_client), *items(each_client, "status=discarded")]
    assert (entry["kind"], entry["count"], entry["body"]) == ("reused_id", 1, first)


def test_metrics_count_a_reused_id_without_another_read_on_every_store(each_client: TestClient) -> None:
    accept_under_id_of_entry(each_client)
    expected = {("event_id_reused",): 1}
    wait_until(lambda: scrape(each_client).values("lockstream_quarantine_open_entries") == expected)


def test_an_id_that_comes_again_with_other_content_is_noted(client: TestClient) -> None:
    given = registered("c1")
    other = given | {"payload": {"compartment_id": "c2"}}
    for one, status in ((given, 202), (given, 200), (other, 200)):
        assert client.post("/events", json=one).status_code == status
    assert client.post("/events/batch", content=as_array(other)).json()[0]["status"] == 200
    [entry] = items(client)
    assert (entry["kind"], entry["code"], entry["count"], entry["body"]) == ("reused_id", "event_id_reused", 2, other)
    assert "position 1" in entry["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"locker_id": "elsewhere"},
        {"occurred_at": "2026-11-23T09:15:01+01:00"},
        {"type": "FaultReported", "payload": {"compartment_id": "compartment-1", "severity": 1}},
        {"payload": {"compartment_id": "compartment-1", "weight": 1.51}},
        {"payload": {"compartment_id": "compartment-1", "weight": "1.5"}},
    ],
)
def test_any_other_content_is_noted(client: TestClient, change: Body) -> None:
    given = registered(weight=1.5) if "weight" in str(change) else registered()
    assert client.post("/events", json=given).status_code == 202
    client.post("/events", json=given | change)
    assert [item["kind"] for item in items(client)] == ["reused_id"]


def test_another_form_of_the_same_content_is_not_noted(client: TestClient) -> None:
    given = registered(first=1.5, second={"a": [1, "ü"]})
    assert client.post("/events", json=given).status_code == 202
    swapped = dict(reversed(given.items())) | {"payload": dict(reversed(given["payload"].items()))}
    swapped |= {"event_id": given["event_id"].upper(), "occurred_at": "2026-11-23T08:15:00.000Z"}
    text = json.dumps(swapped, indent=1, ensure_ascii=True).replace("1.5", "1.50")
    client.post("/events", content=text.encode(), headers={"content-type": "application/json"})
    assert ids(client) == []
    assert totals(client)["unchecked_duplicates"] == 0


def test_one_event_is_decided_afresh(client: TestClient, day: list[Body]) -> None:
    refused(client, day[2])
    path = f"/quarantine/{day[2]['event_id'].upper()}/resubmit"
    again = client.post(path)
    assert (again.status_code, again.json()["code"]) == (422, "unknown_reservation")
    client.post("/events/batch", content=as_array(*day[:2]))
    assert client.post(path).json() == {"event_id": day[2]["event_id"], "position": 3, "outcome": "accepted"}
    assert client.post(path).status_code == 404
    assert client.get(f"/events/{day[2]['event_id']}").json()["payload"] == day[2]["payload"]


def test_a_new_decision_counts_no_arrival_and_shows_its_reason(client: TestClient, day: list[Body]) -> None:
    refused(client, day[3])
    before = items(client)[0]
    client.post("/events/batch", content=as_array(*day[:2]))
    again = client.post(f"/quarantine/{day[3]['event_id']}/resubmit")
    assert (again.status_code, again.json()["code"]) == (409, "reservation_not_awaiting_pickup")
    assert items(client)[0] == before | again.json()


def test_a_reused_id_is_a_duplicate_when_it_is_decided_afresh(client: TestClient) -> None:
    given = registered("c1")
    client.post("/events", json=given)
    client.post("/events", json=given | {"payload": {"compartment_id": "c2"}})
    again = client.post(f"/quarantine/{given['event_id']}/resubmit")
    assert (again.status_code, again.json()["outcome"]) == (200, "duplicate")
    assert [item["count"] for item in items(client)] == [1]


def test_all_events_are_decided_in_the_order_in_which_they_happened(client: TestClient, day: list[Body]) -> None:
    refused(client, *reversed(day[1:]))
    client.post("/events", json=day[0])
    report = client.post("/quarantine/resubmit").json()
    positions = [(one["event_id"], number) for number, one in enumerate(day[1:], 2)]
    assert report == {
        "accepted": 3,
        "refused": 0,
        "remaining": 0,
        "items": [{"event_id": one, "status": 202, "position": position} for one, position in positions],
    }
    assert ids(client) == []


def test_events_of_one_time_are_decided_until_none_can_be_accepted(client: TestClient, day: list[Body]) -> None:
    for one in day:
        one["occurred_at"] = "2026-11-23T08:00:00Z"
    refused(client, *reversed(day[1:]), deposited("never"))
    client.post("/events", json=day[0])
    report = client.post("/quarantine/resubmit", json={}).json()
    assert (report["accepted"], report["refused"]) == (3, 1)
    assert [item["status"] for item in report["items"]] == [202, 202, 202, 422]
    assert [item["code"] for item in items(client)] == ["unknown_reservation"]


@pytest.mark.parametrize(
    ("wanted", "accepted"),
    [
        ({"locker_id": "a"}, {"a"}),
        ({"locker_id": "b"}, {"b"}),
        ({"code": "unknown_compartment"}, {"a", "b"}),
        ({"code": "unknown_reservation"}, set()),
        ({"type": "ReservationCreated"}, {"a", "b"}),
        ({"type": "FaultReported"}, set()),
        ({"since": "2026-11-23T08:00:00Z"}, {"a", "b"}),
        ({"since": "9999-12-31T23:59:59.999999Z"}, set()),
        ({"since": "0001-01-01T00:00:00+23:59"}, {"a", "b"}),
    ],
)
def test_a_filter_selects_what_is_decided_afresh(client: TestClient, wanted: Body, accepted: set[str]) -> None:
    refused(client, *(reserved(f"r-{locker}", locker=locker) for locker in "ab"))
    client.post("/events/batch", content=as_array(*(registered(locker=locker) for locker in "ab")))
    report = client.post("/quarantine/resubmit", json=wanted).json()
    assert report["accepted"] == len(accepted)
    assert {item["locker_id"] for item in items(client)} == {"a", "b"} - accepted


def test_a_limit_leaves_the_later_events_for_the_next_request(client: TestClient, day: list[Body]) -> None:
    refused(client, *reversed(day[1:]))
    client.post("/events", json=day[0])
    for accepted, remaining in ((2, 1), (1, 0), (0, 0)):
        report = client.post("/quarantine/resubmit", json={"limit": 2}).json()
        assert (report["accepted"], report["remaining"]) == (accepted, remaining)


def test_discarded_events_and_reused_ids_are_not_decided_afresh(client: TestClient, day: list[Body]) -> None:
    refused(client, day[1], day[2])
    client.post("/events", json=day[0])
    client.post("/events", json=day[0] | {"payload": {"compartment_id": "other"}})
    client.post(f"/quarantine/{day[1]['event_id']}/discard", json={"reason": "It never happened."})
    report = client.post("/quarantine/resubmit").json()
    assert [item["event_id"] for item in report["items"]] == [day[2]["event_id"]]


def test_a_discarded_event_is_kept_with_its_reason(client: TestClient) -> None:
    given = deposited()
    refused(client, given)
    found = client.post(f"/quarantine/{given['event_id']}/discard", json={"reason": "Twice reported."}).json()
    assert (found["status"], found["discard_reason"]) == ("discarded", "Twice reported.")
    assert RFC_3339.fullmatch(found["discarded_at"])
    refused(client, given)
    assert ids(client) == []
    [entry] = items(client, "status=discarded")
    assert entry == found | {"count": 2, "last_at": entry["last_at"]}
    assert totals(client) | {"malformed": {}} == {
        "open": {},
        "discarded": 1,
        "dropped": 0,
        "unchecked_duplicates": 0,
        "malformed": {},
    }


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"[]", b"\xff", b"[" * 5000, b'{"reason": ""}', b'{"reason": " "}', b'{"reason": 1}'),
        *(b'{"reason": "a\\u0000b"}', b'{"reason": "a", "more": 1}', b'{"reason": "%b"}' % (b"x" * 1001)),
        b'{"reason": "\\ud800"}',
    ],
)
def test_a_discard_needs_a_reason(client: TestClient, content: bytes) -> None:
    given = deposited()
    refused(client, given)
    path, headers = f"/quarantine/{given['event_id']}/discard", {"content-type": "application/json"}
    response = client.post(path, content=content, headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"][0]["msg"].endswith(".")
    assert [item["status"] for item in items(client)] == ["open"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"[]", b"{", b'{"code": "x"}', b'{"code": 1}', b'{"type": "x"}', b'{"since": "yesterday"}'),
        *(b'{"locker_id": "a/b"}', b'{"locker_id": "\\u0000"}', b'{"locker": "a"}'),
        *(b'{"limit": 0}', b'{"limit": 100001}', b'{"limit": "2"}'),
    ],
)
def test_a_wrong_filter_decides_nothing(client: TestClient, content: bytes) -> None:
    refused(client, deposited())
    headers = {"content-type": "application/json"}
    response = client.post("/quarantine/resubmit", content=content, headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"][0]["msg"].endswith(".")


@pytest.mark.parametrize("event_id", [UNKNOWN_ID, "not-a-uuid", "%00", "malformed-not"])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/resubmit"), ("POST", "/discard")])
def test_an_unknown_entry_is_404(client: TestClient, event_id: str, method: str, path: str) -> None:
    response = client.request(
        method, f"/quarantine/{event_id}{path}", json={"reason": "none"} if path == "/discard" else None
    )
    assert response.status_code == 404
    assert "no entry" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/quarantine/resubmit", f"/quarantine/{UNKNOWN_ID}/discard"])
def test_another_media_type_is_415(client: TestClient, path: str) -> None:
    assert client.post(path, content=b"a=b", headers={"content-type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(
    "path", [f"/quarantine/{UNKNOWN_ID}/resubmit", "/quarantine/resubmit", f"/quarantine/{UNKNOWN_ID}/discard"]
)
def test_a_query_parameter_of_a_post_is_refused(client: TestClient, path: str) -> None:
    """A filter in the wrong place must not select everything."""
    response = client.post(f"{path}?locker_id=a", json={"reason": "none"} if "discard" in path else None)
    assert response.status_code == 422
    assert "no query parameters" in response.json()["detail"]


def test_filters_select_entries(client: TestClient) -> None:
    given = registered("c1", locker="a")
    client.post("/events", json=given)
    client.post("/events", json=given | {"payload": {"compartment_id": "c2"}})
    first, second = deposited("r1", locker="a"), reserved("r1", "c9", locker="b")
    refused(client, first, second)
    reused, parcel, reservation = given["event_id"], first["event_id"], second["event_id"]
    middle = items(client, "code=unknown_reservation")[0]["last_at"]
    for query, expected in {
        "": {reused, parcel, reservation},
        "kind=reused_id": {reused},
        "kind=refused": {parcel, reservation},
        "code=event_id_reused": {reused},
        "locker_id=a": {reused, parcel},
        "type=ReservationCreated": {reservation},
        "type=ReservationCreated&locker_id=a": set(),
        f"since={middle}": {parcel, reservation},
        "since=2099-01-01T00:00:00Z": set(),
        "status=discarded": set(),
    }.items():
        assert set(ids(client, query)) - ({reused} if query.startswith("since=2026") else set()) == expected, query


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_hold_each_entry_once_and_in_order(client: TestClient, order: str) -> None:
    bodies = [deposited(f"r{number}") for number in range(7)]
    refused(client, *bodies)
    expected = [one["event_id"] for one in bodies]
    found: list[str] = []
    url: str | None = f"/quarantine?limit=3&order={order}"
    while url:
        response = client.get(url)
        found += [item["event_id"] for item in response.json()["items"]]
        assert (response.json()["next"] is None) is ("Link" not in response.headers)
        link = response.headers.get("Link")
        url = f"/quarantine{link.split('>')[0][1:]}" if link else None
        if url:
            refused(client, bodies[-1])  # a further arrival moves no entry
    assert found == (expected if order == "asc" else expected[::-1])


def test_an_unknown_filter_is_refused(client: TestClient) -> None:
    for query in ("code=x", "kind=x", "status=x", "type=x", "since=x", "limit=0", "locker=a", "after=x", "order=up"):
        assert client.get(f"/quarantine?{query}").status_code == 422
    assert client.get("/quarantine", headers={"accept": "text/html"}).status_code == 406


def test_a_list_is_csv_if_it_is_asked_for(client: TestClient) -> None:
    given = deposited("=r1", locker="@home")
    refused(client, given)
    response = client.get("/quarantine", headers={"accept": "text/csv"})
    [row] = csv.DictReader(io.StringIO(response.text))
    assert (row["event_id"], row["locker_id"], row["count"]) == (given["event_id"], "'@home", "1")
    assert json.loads(row["body"]) == given
    assert response.headers["Content-Disposition"] == 'attachment; filename="quarantine.csv"'
    client.post("/events", content=b"[1", headers={"content-type": "application/json"})
    malformed = client.get("/quarantine/malformed", headers={"accept": "text/csv"}).text
    assert [row["body"] for row in csv.DictReader(io.StringIO(malformed))] == ["[1"]


@pytest.mark.parametrize("path", ["/events", "/events/batch"])
@pytest.mark.parametrize("content", [b"", b"no", b"\xff\x00", b'"' + b"x" * 5000 + b'"', b"{}", b"[" * 5000])
def test_a_malformed_body_is_kept_and_counted(client: TestClient, path: str, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    errors = [client.post(path, content=content, headers=headers).json()["detail"][0] for _ in range(3)]
    [found] = client.get("/quarantine/malformed").json()["items"]
    shown = content[:4096].decode(errors="backslashreplace").replace("\0", "\\x00")
    assert (found["reason"], found["detail"], found["count"]) == (errors[0]["type"], errors[0]["msg"], 3)
    assert found["body"] == shown
    assert totals(client)["malformed"] == {errors[0]["type"]: 3}


def test_a_body_that_is_not_gzip_is_counted(client: TestClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    for path in ("/events", "/events/batch"):
        assert client.post(path, content=b"plain", headers=headers).status_code == 422
    cut = gzip.compress(b"[" + b"1," * 100)[:-4]
    assert client.post("/events/batch", content=cut, headers=headers).status_code == 422
    assert totals(client)["malformed"] == {"gzip_invalid": 3}


def test_the_newest_thousand_malformed_bodies_are_kept(client: TestClient) -> None:
    client.post("/events/batch", content=as_array(*(b"%d" % number for number in range(1_200))))
    page = client.get("/quarantine/malformed?limit=600").json()
    rest = client.get(f"/quarantine/malformed?limit=600&after={page['next']}").json()
    assert rest["next"] is None
    assert [item["body"] for item in page["items"] + rest["items"]] == [str(number) for number in range(1_199, 199, -1)]
    assert totals(client)["malformed"] == {"dict_type": 1_200}


def test_a_cloud_event_is_kept_as_the_event_that_it_reports(client: TestClient, day: list[Body]) -> None:
    wrapped = {
        "specversion": "1.0",
        "id": day[1]["event_id"],
        "source": f"/lockers/{day[1]['locker_id']}",
        "type": "io.lockstream.ReservationCreated.v1",
        "time": day[1]["occurred_at"],
        "data": day[1]["payload"],
    }
    headers = {"content-type": "application/cloudevents+json"}
    assert client.post("/events", content=json.dumps(wrapped).encode(), headers=headers).status_code == 422
    client.post("/events", json=day[0])
    assert items(client)[0]["body"] == day[1]
    assert client.post("/quarantine/resubmit").json()["accepted"] == 1
    client.post("/events", content=b'{"specversion": "1.0"}', headers=headers)
    assert client.get("/quarantine/malformed").json()["items"][0]["body"] == '{"specversion": "1.0"}'


def test_the_quarantine_outlives_a_restart(new_client: NewClient, day: list[Body]) -> None:
    with new_client() as client:
        refused(client, day[1], day[2])
        client.post(f"/quarantine/{day[2]['event_id']}/discard", json={"reason": "none"})
        client.post("/events", content=b"{", headers={"content-type": "application/json"})
        before = [client.get(f"/quarantine{path}").json() for path in ("", "?status=discarded", "/malformed")]
    with new_client() as client:
        assert [client.get(f"/quarantine{path}").json() for path in ("", "?status=discarded", "/malformed")] == before
        client.post("/events", json=day[0])
        assert client.post("/quarantine/resubmit").json()["accepted"] == 1
    with new_client() as client:
        assert ids(client) == []


def test_entries_are_written_in_the_background(new_client: NewClient, log_path: Path) -> None:
    given = deposited()
    with new_client() as client:
        refused(client, given)
        file = Path(f"{log_path}.quarantine")
        while not file.exists() or not file.read_bytes().endswith(b"\n"):
            client.get("/health/live")
        assert given["event_id"].encode() in file.read_bytes()
        assert given["event_id"].encode() not in log_path.read_bytes()


@pytest.mark.parametrize("value", ["false", "off"])
def test_a_quarantine_that_is_off_keeps_nothing_and_says_so(
    new_client: NewClient, log_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LOCKSTREAM_QUARANTINE", value)
    given = deposited()
    with new_client() as client:
        refused(client, given)
        client.post("/events", content=b"{", headers={"content-type": "application/json"})
        for method, path in (
            *(("GET", path) for path in ("", "/malformed", f"/{given['event_id']}")),
            *(("POST", path) for path in ("/resubmit", f"/{given['event_id']}/resubmit")),
        ):
            response = client.request(method, f"/quarantine{path}")
            assert response.status_code == 404
            assert "LOCKSTREAM_QUARANTINE" in response.json()["detail"]
        assert client.post(f"/quarantine/{UNKNOWN_ID}/discard", json={"reason": "none"}).status_code == 404
    assert not Path(f"{log_path}.quarantine").exists()


def test_the_bounds_are_settings(new_client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_QUARANTINE_ENTRIES", "2")
    bodies = [deposited(f"r{number}", locker=f"locker-{number % 2}") for number in range(5)]
    with new_client() as client:
        refused(client, *bodies)
        assert ids(client, "order=asc") == [one["event_id"] for one in bodies[3:]]
        assert totals(client)["dropped"] == 3


def test_a_batch_of_many_refusals_can_be_read_at_once(client: TestClient) -> None:
    bodies = [deposited(f"r{number}", event_id=str(UUID(int=number))) for number in range(2_000)]
    client.post("/events/batch", content=as_array(*bodies))
    assert totals(client)["open"] == {"unknown_reservation": 2_000}
    assert len(items(client, "limit=1000")) == 1_000
    assert client.post("/quarantine/resubmit").json()["refused"] == 2_000


def test_random_bodies_of_a_post_never_break_the_quarantine(client: TestClient) -> None:
    for content in (b"null", b"1", b'"a"', b"[{}]", b'{"reason": null}', uuid4().bytes):
        for path in ("resubmit", f"{UNKNOWN_ID}/discard"):
            response = client.post(f"/quarantine/{path}", content=content, headers={"content-type": "application/json"})
            assert response.status_code == 422
