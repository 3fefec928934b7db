"""What is not read at all: bodies too large, other media types, other methods. And how an application is started."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.main import app
from lockstream.tests.presentation.http.conftest import Clients, serving
from lockstream.tests.support.builders import LOCKER, Body, registered, reserved
from lockstream.tests.support.processes import TIMEOUT_SECONDS, environment

LIMIT = 1024


def of_size(size: int) -> bytes:
    """An event whose JSON has this many bytes."""
    text = json.dumps(registered(note=""))
    return text.replace('"note": ""', f'"note": "{"x" * (size - len(text))}"').encode()


@pytest.fixture
def limited(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("LOCKSTREAM_MAX_EVENT_BYTES", str(LIMIT))
    with clients() as client:
        yield client


def test_a_body_of_the_largest_size_is_accepted(limited: TestClient) -> None:
    assert limited.post("/events", content=of_size(LIMIT)).status_code == 202


def test_a_larger_body_is_too_large(limited: TestClient) -> None:
    answer = limited.post("/events", content=of_size(LIMIT + 1))
    assert answer.status_code == 413
    detail = "The body is larger than 1024 bytes. LOCKSTREAM_MAX_EVENT_BYTES sets the limit."
    assert answer.json() == {"detail": detail}
    assert limited.get(f"/lockers/{LOCKER}").status_code == 404


def test_a_body_of_unknown_length_is_too_large_once_it_is(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        body = of_size(size)
        yield from (body[at : at + 1000] for at in range(0, size, 1000))

    default_limit = 64 * 1024
    with httpx.Client(base_url=served) as client:
        assert client.post("/events", content=chunks(default_limit + 1)).status_code == 413
        assert client.post("/events", content=chunks(default_limit)).status_code == 202
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 1


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON ; charset=UTF-8",
        "application/vnd.lockers+json",
        None,
    ],
)
def test_json_is_accepted_however_it_is_called(client: TestClient, media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}
    answer = client.post("/events", content=json.dumps(registered()), headers=headers)
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonl", "json"],
)
def test_other_media_types_are_not_supported(client: TestClient, media_type: str) -> None:
    answer = client.post("/events", content=json.dumps(registered()), headers={"content-type": media_type})
    assert answer.status_code == 415
    named = media_type.partition(";")[0]
    assert answer.json() == {"detail": f"The body is sent as application/json, not as {named!r}."}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_events_are_only_posted(client: TestClient, method: str) -> None:
    answer = client.request(method, "/events")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/lockers/a", "/lockers/a/compartments/b", "/reservations/a"])
def test_state_is_only_read(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path, json=registered())
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_other_paths_are_not_found(client: TestClient) -> None:
    for path in "/", "/lockers", "/event", "/lockers/a/compartments", "/redoc":
        assert client.get(path).status_code == 404


def test_the_app_works_under_a_server_that_does_not_announce_its_start() -> None:
    client = TestClient(app)
    try:
        assert post(client, registered()) == 202
        assert post(client, reserved()) == 202
        assert client.get(f"/lockers/{LOCKER}").json()["active_reservations"] == 1
    finally:
        asyncio.run(app.state.running.close())


def test_a_process_that_used_the_app_without_stopping_it_ends_all_the_same(log_path: Path) -> None:
    script = (
        "import asyncio, httpx\n"
        "from lockstream.main import app\n"
        "client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url='http://lockstream')\n"
        "print(asyncio.run(client.get('/reservations/r')).status_code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(log_path),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    assert ended.stdout == "404\n"


def test_the_app_can_be_started_again_and_again() -> None:
    for expected in 202, 409, 409:
        with TestClient(app) as client:
            assert post(client, registered()) == expected


def test_one_app_serves_several_event_loops() -> None:
    with TestClient(app) as first:
        assert post(first, registered()) == 202
        second = TestClient(app)
        assert post(second, reserved()) == 202
        assert first.get(f"/lockers/{LOCKER}").json() == second.get(f"/lockers/{LOCKER}").json()


def test_it_is_served_by_a_real_server() -> None:
    with serving(app) as url, httpx.Client(base_url=url) as client:
        assert client.post("/events", json=registered()).status_code == 202
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 1


def post(client: TestClient, event: Body) -> int:
    return client.post("/events", json=event).status_code
