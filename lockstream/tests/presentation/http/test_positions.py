"""Which position an answer reflects, and which one it must."""

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.min_position import MAX_POSITION, MIN_POSITION, POSITION
from lockstream.tests.support.builders import LOCKER, RESERVATION, registered, reserved

PATHS = f"/lockers/{LOCKER}", f"/lockers/{LOCKER}/compartments/compartment-1", f"/reservations/{RESERVATION}"


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_says_which_position_it_reflects(client: TestClient, path: str) -> None:
    missing = client.get(path)
    assert (missing.status_code, missing.headers[POSITION]) == (404, "0")
    for position, event in enumerate((registered(), reserved(), registered("b")), 1):
        client.post("/events", json=event)
        assert client.get(path).headers[POSITION] == str(position)


@pytest.mark.parametrize("path", PATHS)
def test_what_was_acknowledged_is_reflected_at_once(client: TestClient, path: str) -> None:
    for event in registered(), reserved():
        told = client.post("/events", json=event).json()["position"]
        assert client.get(path, headers={MIN_POSITION: str(told)}).headers[POSITION] == str(told)


@pytest.mark.parametrize("path", PATHS)
def test_a_position_that_is_not_reached_is_waited_for_and_then_said(client: TestClient, path: str) -> None:
    client.post("/events", json=registered())
    answer = client.get(path, headers={MIN_POSITION: "2"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "reflects the log up to position 1, and 2 was asked for" in answer.json()["detail"]


@pytest.mark.parametrize("value", ["", "-1", "1.0", "x", "0x1", str(MAX_POSITION + 1), "9" * 5000])
@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_position_is_refused(client: TestClient, path: str, value: str) -> None:
    answer = client.get(path, headers={MIN_POSITION.encode(): value.encode()})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Lockstream-Min-Position is a position of the log, a whole number")
