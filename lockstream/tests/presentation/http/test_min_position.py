"""The position that a read reflects, and the min position that a client demands."""

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.min_position import MAX_POSITION, MIN_POSITION, POSITION
from lockstream.services.running import lockstream
from lockstream.tests.support.builders import LOCKER, RESERVATION, registered, reserved

PATHS = f"/lockers/{LOCKER}", f"/lockers/{LOCKER}/compartments/compartment-1", f"/reservations/{RESERVATION}"


@pytest.mark.parametrize("path", PATHS)
def test_a_read_says_which_position_it_reflects(client: TestClient, path: str) -> None:
    missing = client.get(path)
    assert (missing.status_code, missing.headers[POSITION]) == (404, "0")
    for position, event in enumerate((registered(), reserved(), registered("b")), 1):
        client.post("/events", json=event)
        assert client.get(path).headers[POSITION] == str(position)


@pytest.mark.parametrize("path", PATHS)
def test_a_read_reflects_an_acknowledged_position_at_once(client: TestClient, path: str) -> None:
    for event in registered(), reserved():
        position = client.post("/events", json=event).json()["position"]
        assert client.get(path, headers={MIN_POSITION: str(position)}).headers[POSITION] == str(position)


@pytest.mark.parametrize("path", PATHS)
def test_a_read_waits_for_its_min_position_and_then_gets_503(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(lockstream, "MIN_POSITION_SECONDS", 0.1)
    client.post("/events", json=registered())
    response = client.get(path, headers={MIN_POSITION: "2"})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert "Reads reflect the log up to position 1, and the request demands 2." in response.json()["detail"]


@pytest.mark.parametrize("value", ["", "-1", "1.0", "x", "0x1", str(MAX_POSITION + 1), "9" * 5000])
@pytest.mark.parametrize("path", PATHS)
def test_a_min_position_that_is_not_a_position_gets_422(client: TestClient, path: str, value: str) -> None:
    response = client.get(path, headers={MIN_POSITION.encode(): value.encode()})
    assert response.status_code == 422
    assert response.json()["detail"].startswith(f"Lockstream-Min-Position is {value!r}, which is not a position.")
