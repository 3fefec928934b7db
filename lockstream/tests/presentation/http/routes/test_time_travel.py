"""Past states: `at` shows a subject as it was at a position or a time, with the response that was served then."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.min_position import MAX_POSITION
from lockstream.services.running import lockstream
from lockstream.tests.presentation.http.conftest import NewClient
from lockstream.tests.presentation.http.routes.network import DAYS, client_of_network, post
from lockstream.tests.support.builders import registered

LENIENT = "/lockers/l1", "/lockers/l1/compartments/c1", "/reservations/r1"
"""Reads that ignore unknown parameters."""

STRICT = "/lockers/l1/state", "/reservations/r1/state"
READS = *LENIENT, *STRICT

LOCKERS = "l1", "l2"
COMPARTMENTS = *(("l1", f"c{number}") for number in range(1, 5)), ("l2", "c1")
RESERVATIONS = "r0", "r1", "r2", "r3"
PATHS = [
    *(f"/lockers/{locker}{state}" for locker in LOCKERS for state in ("", "/state")),
    *(f"/lockers/{locker}/compartments/{compartment}" for locker, compartment in COMPARTMENTS),
    *(f"/reservations/{reservation}{state}" for reservation in RESERVATIONS for state in ("", "/state")),
]
"""A path of each read of each subject of the network."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with client_of_network(monkeypatch) as client:
        yield client


def served(client: TestClient, path: str, at: str = "") -> tuple[int, bytes | None, str | None, str]:
    """Return status, body, entity tag and position. A body of 404 is None, because its sentence depends on `at`."""
    response = client.get(path + (f"?at={at}" if at else ""))
    found = response.content if response.status_code == 200 else None
    return response.status_code, found, response.headers.get("etag"), response.headers["Lockstream-Position"]


def detail_of_422(client: TestClient, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 422, response.text
    assert list(response.json()) == ["detail"]
    assert client.head(url).status_code == 422
    detail: str = response.json()["detail"]
    return detail


def test_a_past_state_is_what_was_served_then(new_client: NewClient) -> None:
    # given the response of each read after each event, from the empty log on
    with new_client() as client:
        then = {(path, 0): served(client, path) for path in PATHS}
        for position, event in enumerate((event for events in DAYS.values() for event in events), 1):
            assert client.post("/events", json=event).status_code == 202
            then |= {(path, position): served(client, path) for path in PATHS}
        # when each read asks for each position, then the response is the same, also at the newest position
        for (path, position), expected in then.items():
            assert served(client, path, str(position)) == expected, (path, position)
    # and after a restart
    with new_client() as client:
        for (path, position), expected in then.items():
            assert served(client, path, str(position)) == expected, (path, position)


def test_a_past_state_has_the_hash_and_the_steps_of_its_time(client: TestClient) -> None:
    present, past = client.get("/lockers/l1").json(), client.get("/lockers/l1?at=8").json()
    assert past["state_hash"] == client.get("/lockers/l1/state?at=8").json()["state_hash"] != present["state_hash"]
    assert (past["active_reservations"], past["degraded_compartments"]) == (3, 0)
    steps = client.get("/reservations/r2/state?at=11").json()["steps"]
    assert [(step["status"], step["position"]) for step in steps] == [("CREATED", 8), ("DEPOSITED", 11)]


@pytest.mark.parametrize(
    ("time", "position"),
    [
        ("2026-11-20T07:59:59.999999Z", 0),
        ("0001-01-01T00:00:00Z", 0),
        ("2026-11-20T08:00:00Z", 8),
        ("2026-11-21T07:59:59Z", 8),
        ("2026-11-21T08:00:00Z", 11),
        ("2026-11-21T08:00:00.000000999Z", 11),
        ("2026-11-21T07:59:59.9999999Z", 8),
        ("2026-11-21T12:00:00Z", 11),
        ("2026-11-21t12:00:00z", 11),
        ("2026-11-22T09:00:00%2B01:00", 14),
        ("2026-11-22T08:59:59%2B01:00", 11),
        ("2026-11-21T23:00:00-10:00", 14),
        ("2026-11-21T23:59:60Z", 11),
        ("2026-11-23T08:00:00Z", 17),
        ("9999-12-31T23:59:59Z", 17),
    ],
)
def test_a_time_stands_for_the_last_position_until_then(client: TestClient, time: str, position: int) -> None:
    for path in PATHS:
        at_time, at_position = client.get(f"{path}?at={time}"), client.get(f"{path}?at={position}")
        assert at_time.headers["Lockstream-Position"] == str(position)
        assert (at_time.status_code, at_time.content) == (at_position.status_code, at_position.content)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/lockers/l2", "There was no locker 'l2' at position 4. Its first CompartmentRegistered event creates it."),
        (
            "/lockers/l2/compartments/c1",
            "Locker 'l2' had no compartment 'c1' at position 4. Its CompartmentRegistered event creates it.",
        ),
        ("/reservations/r1", "There was no reservation 'r1' at position 4. Its ReservationCreated event creates it."),
        (
            "/reservations/never",
            "There was no reservation 'never' at position 4. Its ReservationCreated event creates it.",
        ),
    ],
)
def test_a_subject_that_did_not_exist_yet_gets_404(client: TestClient, path: str, sentence: str) -> None:
    for read in [path] if "compartments" in path else [path, f"{path}/state"]:
        response = client.get(f"{read}?at=4")
        assert (response.status_code, response.headers["Lockstream-Position"]) == (404, "4")
        assert response.json()["detail"] == sentence


@pytest.mark.parametrize("impossible", ["%00", "%FF", "x" * 129, "a%0Ab"])
def test_an_id_that_no_subject_can_have_gets_404(client: TestClient, impossible: str) -> None:
    for path in (
        *(f"/lockers/{impossible}", f"/lockers/{impossible}/state", f"/lockers/l1/compartments/{impossible}"),
        *(f"/reservations/{impossible}", f"/reservations/{impossible}/state"),
    ):
        assert client.get(f"{path}?at=17").status_code == 404


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("position", [18, 10**6, MAX_POSITION])
def test_a_position_after_the_newest_gets_422_that_names_the_newest(
    client: TestClient, path: str, position: int
) -> None:
    assert detail_of_422(client, f"{path}?at={position}") == (
        f"The newest position is 17, and the query parameter at is {position}. Send a position up to 17, or a time "
        "with an offset."
    )


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "text",
    [
        *("now", "-1", "+5", "1.0", "1e3", "01", " 1", "1 ", "\u0661", str(MAX_POSITION + 1), "9" * 5_000, "81,204"),
        *("2026-11-22", "2026-11-22T12:00:00", "2026-02-30T12:00:00Z", "2026-11-22T25:00:00Z", "12:00:00Z", "\0", "é"),
    ],
)
def test_what_is_neither_a_position_nor_a_time_gets_422(client: TestClient, path: str, text: str) -> None:
    detail = detail_of_422(client, f"{path}?at={quote(text)}")
    assert detail.startswith("The query parameter at is '")
    assert detail.endswith(
        " Send a position, such as 81204, or a time with an offset (RFC 3339), such as 2026-11-23T08:00:00Z or "
        "2026-11-23T09:00:00%2B01:00: a URL has %2B for the plus sign."
    )
    assert len(detail) < 350


def test_a_plus_sign_that_is_not_encoded_gets_422(client: TestClient) -> None:
    detail = detail_of_422(client, "/lockers/l1?at=2026-11-22T12:00:00+01:00")
    assert "'2026-11-22T12:00:00 01:00'" in detail
    assert "%2B for the plus sign" in detail


@pytest.mark.parametrize("path", READS)
def test_an_empty_or_repeated_at_gets_422(client: TestClient, path: str) -> None:
    assert detail_of_422(client, f"{path}?at=").startswith("The query parameter at is empty. Send a position")
    assert detail_of_422(client, f"{path}?at=1&at=1") == "The query parameter at is repeated. Send it once."


@pytest.mark.parametrize("query", ["At=4", "q=%FF", "%FF=1", "at%00=4", "limit=0", "after", "&&", "é"])
def test_the_oldest_reads_ignore_all_other_parameters(client: TestClient, query: str) -> None:
    for path in LENIENT:
        assert client.get(f"{path}?{query}").content == client.get(path).content
        assert client.get(f"{path}?{query}&at=7").content == client.get(f"{path}?at=7").content


@pytest.mark.parametrize("path", STRICT)
def test_states_refuse_all_other_parameters(client: TestClient, path: str) -> None:
    assert detail_of_422(client, f"{path}?At=4") == "The query parameter 'At' is unknown. The query parameter is at."
    assert "is not percent-encoded UTF-8" in detail_of_422(client, f"{path}?at=%FF")


def test_the_network_has_no_past(client: TestClient) -> None:
    assert detail_of_422(client, "/network?at=4") == (
        "The query parameter at is unknown, because the totals of the network are kept for the present only. Ask for a "
        "locker, a compartment or a reservation instead, such as /lockers/{locker_id}/state?at=81204, or omit at."
    )


def test_a_past_state_that_the_client_has_is_not_sent_again(client: TestClient) -> None:
    past, present = client.get("/lockers/l1/state?at=8"), client.get("/lockers/l1/state")
    tag = past.headers["etag"]
    assert tag != present.headers["etag"]
    again = client.get("/lockers/l1/state?at=8", headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["Lockstream-Position"] == "8"
    # the tag names the state, and not how the client has asked for it
    assert client.get("/lockers/l1/state", headers={"If-None-Match": tag}).status_code == 200
    newest = {"If-None-Match": present.headers["etag"]}
    for at in "14", "17", "2026-12-01T00:00:00Z":
        assert client.get(f"/lockers/l1/state?at={at}", headers=newest).status_code == 304


@pytest.mark.parametrize("path", READS)
def test_a_past_state_waits_for_its_min_position(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # given a min position that is reached: the response still names the position of `at`
    response = client.get(f"{path}?at=10", headers={"Lockstream-Min-Position": "17"})
    assert (response.status_code, response.headers["Lockstream-Position"]) == (200, "10")
    # when it is not reached, then the read is unavailable, whatever `at` is
    monkeypatch.setattr(lockstream, "MIN_POSITION_SECONDS", 0.05)
    for at in 10, 18:
        response = client.get(f"{path}?at={at}", headers={"Lockstream-Min-Position": "18"})
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert "the request demands 18" in response.json()["detail"]
    # when it is reached later, then `at` may name it
    post(client, [registered("c9", locker="l9")])
    response = client.get(f"{path}?at=18", headers={"Lockstream-Min-Position": "18"})
    assert (response.status_code, response.headers["Lockstream-Position"]) == (200, "18")
    assert client.get(f"{path}?at=10", headers={"Lockstream-Min-Position": "x"}).status_code == 422


@pytest.mark.parametrize("path", READS)
def test_head_gets_the_headers_of_get(client: TestClient, path: str) -> None:
    get, head = client.get(f"{path}?at=10"), client.head(f"{path}?at=10")
    assert (head.status_code, head.content, head.headers) == (200, b"", get.headers)


def test_an_event_that_was_just_acknowledged_is_a_past_state_at_once(new_client: NewClient) -> None:
    with new_client() as client:
        compartments: list[Any] = []
        for number in range(1, 21):
            position = client.post("/events", json=registered(f"c{number}")).json()["position"]
            compartments.append(client.get(f"/lockers/locker-1?at={position}").json()["compartments"])
        assert compartments == list(range(1, 21))
