"""The application: operations in front of FastAPI, unknown paths and methods, HEAD, and how it is started."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from lockstream.main import app as main_app
from lockstream.presentation.http import app as app_module
from lockstream.presentation.http.access.scopes import SCOPES
from lockstream.presentation.http.app import create_app
from lockstream.tests.support.builders import COMPARTMENT, LOCKER, RESERVATION, Body, registered, reserved
from lockstream.tests.support.clients import contract_client, open_from_environment, serving
from lockstream.tests.support.processes import TIMEOUT_SECONDS, environment

EVENT = "0190a5e0-0000-4000-8000-000000000001"

READS = [
    *(f"/events/{EVENT}", f"/lockers/{LOCKER}", f"/lockers/{LOCKER}/state"),
    *(f"/lockers/{LOCKER}/compartments/{COMPARTMENT}", f"/reservations/{RESERVATION}"),
    *(f"/reservations/{RESERVATION}/state", f"/reservations/{RESERVATION}/events"),
    *(f"/lockers/{LOCKER}/events", f"/lockers/{LOCKER}/compartments/{COMPARTMENT}/events"),
]
QUARANTINE = "/quarantine", "/quarantine/malformed", f"/quarantine/{EVENT}"
RESUBMIT, DISCARD = f"/quarantine/{EVENT}/resubmit", f"/quarantine/{EVENT}/discard"
LISTS = [
    *("/network", "/network/activity", "/lockers", f"/lockers/{LOCKER}/compartments", "/reservations", "/faults"),
    "/search?q=l",
]
MISSING = [path.replace(EVENT, EVENT[::-1]).replace("-1", "-2") for path in READS] + ["/lockers/unknown/compartments"]
FIGURES = "/metrics", "/system"
HEALTH = "/health/live", "/health/ready"
DOCUMENTATION = "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"

FEED, STREAM = "/events?after=0", "/events/stream"
OPERATIONS = [
    *(("POST", "/events"), ("POST", "/events/batch"), ("HEAD", f"{STREAM}?after=0")),  # a GET of the stream has no end
    *(("GET", path) for path in (FEED, *READS, *LISTS, *QUARANTINE, *FIGURES, *HEALTH)),
    *(("POST", "/quarantine/resubmit"), ("POST", RESUBMIT), ("POST", DISCARD)),
]
"""A request for every operation of the contract."""


async def raise_assertion(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the request has reached FastAPI")


@pytest.fixture
def client_in_front_of_fastapi() -> Iterator[TestClient]:
    """A client of an application whose FastAPI stack answers nothing."""
    app = create_app(open_from_environment)
    with contract_client(app) as client:
        app.middleware_stack = raise_assertion
        yield client


def test_the_requests_of_this_module_cover_the_contract() -> None:
    contract = create_app(open_from_environment).openapi()
    operations = {
        (method.upper(), path)
        for path, methods in contract["paths"].items()
        for method in methods
        if not path.startswith(("/keys", "/audit"))  # the tests of `access` request them: the first key closes a server
    }
    names = {
        "locker_id": LOCKER,
        "compartment_id": COMPARTMENT,
        "reservation_id": RESERVATION,
        "event_id": EVENT,
    }
    requested = {(method.replace("HEAD", "GET"), url.partition("?")[0]) for method, url in OPERATIONS}
    assert {(method, path.format(**names)) for method, path in operations} == requested


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_is_answered_in_front_of_fastapi(
    client_in_front_of_fastapi: TestClient, method: str, path: str
) -> None:
    # given an accepted event, and another one with its id, which is in the quarantine
    batch = [registered(event_id=EVENT), reserved(), registered("other", event_id=EVENT)]
    assert client_in_front_of_fastapi.post("/events/batch", json=batch).status_code == 200
    contents = {"/events": batch[0], "/events/batch": batch, DISCARD: {"reason": "A test."}}
    response = client_in_front_of_fastapi.request(method, path, json=contents.get(path))
    assert response.status_code == 200
    if method == "GET":
        assert client_in_front_of_fastapi.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/assets/swagger-ui.css"])
def test_the_documentation_is_left_to_fastapi(client_in_front_of_fastapi: TestClient, path: str) -> None:
    with pytest.raises(AssertionError, match="has reached FastAPI"):
        client_in_front_of_fastapi.get(path)


@pytest.mark.parametrize("path", ["/unknown", "/lockers/", "/lockers%0A", "/docs/", "/docs%0A", "/docs/assets"])
def test_no_other_path_reaches_fastapi(client_in_front_of_fastapi: TestClient, path: str) -> None:
    assert client_in_front_of_fastapi.get(path).status_code == 404
    assert client_in_front_of_fastapi.put("/lockers/a").status_code == 405


def test_a_route_that_is_added_to_a_router_is_answered_in_front_of_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a router with two new routes
    router = APIRouter(prefix="/lockers/{locker_id}/faults")

    @router.get("", response_model=None)
    async def get_faults_of_locker(_: Request, locker_id: str) -> Response:
        return JSONResponse([locker_id])

    @router.get("/{fault_id}", response_model=None)
    async def get_fault(_: Request, locker_id: str, fault_id: str) -> Response:
        return JSONResponse([locker_id, fault_id])

    for name in "get_faults_of_locker", "get_fault":
        monkeypatch.setitem(SCOPES, name, SCOPES["get_locker"])
    monkeypatch.setattr(app_module, "ROUTERS", (*app_module.ROUTERS, router))
    # when an application is made
    app = create_app(open_from_environment)
    with TestClient(app) as client:
        app.middleware_stack = raise_assertion
        # then it answers them as it answers all operations, and its contract has them
        assert client.get("/lockers/a/faults").json() == ["a"]
        assert client.get("/lockers/a/faults/b%20c").json() == ["a", "b c"]
        assert client.head("/lockers/a/faults/b").status_code == 200
        assert client.get(f"/lockers/{LOCKER}").status_code == 404
    assert {"/lockers/{locker_id}/faults", "/lockers/{locker_id}/faults/{fault_id}"} <= set(app.openapi()["paths"])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_post_get_and_head_are_allowed_for_events(client: TestClient, method: str) -> None:
    response = client.request(method, "/events")
    assert (response.status_code, response.headers["allow"]) == (405, "POST, GET, HEAD")


@pytest.mark.parametrize("path", [*READS, *LISTS, *FIGURES, *HEALTH, "/", *DOCUMENTATION])
def test_only_get_and_head_are_allowed_for_reads_and_documentation(client: TestClient, path: str) -> None:
    for method in "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
        response = client.request(method, path, json=registered())
        assert response.status_code == 405, method
        assert response.json() == {"detail": "Method Not Allowed"}
        assert sorted(response.headers["allow"].split(", ")) == ["GET", "HEAD"]


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/locker",
            "/event",
            "/events/",
            "/EVENTS",
            "/lockers/a/compartments/",
            "/reservations/",
            "/reservations/a/b",
        ),
        *("/network/", "/Network", "/faults/a", "/search/"),
        *("/redoc", "/docs/", "/openapi.yaml", "/health", "/lockers//a", "/lockers/", "/%20"),
    ],
)
def test_an_unknown_path_gets_404_as_json(client: TestClient, path: str) -> None:
    for method in "GET", "HEAD", "POST", "DELETE", "OPTIONS", "FOO":
        response = client.request(method, path)
        assert response.status_code == 404, method
        assert response.headers["content-type"] == "application/json"
        assert method == "HEAD" or response.json() == {"detail": "Not Found"}


@pytest.mark.parametrize("path", [*READS, *LISTS, *MISSING, *HEALTH, *DOCUMENTATION])
def test_head_gets_the_headers_of_get_without_a_body(shared_server: str, path: str) -> None:
    with httpx.Client(base_url=shared_server) as client:
        # given a locker with a reservation
        client.post("/events/batch", json=[registered(event_id=EVENT), reserved()])
        # when a path is requested by GET and by HEAD, on the same connection
        get, head = client.get(path), client.head(path)
        # then both differ in the body only
        assert get.status_code == (404 if path in MISSING else 200)
        assert head.status_code == get.status_code
        assert head.headers == get.headers
        assert int(head.headers["content-length"]) == len(get.content) > 0
        assert head.content == b""
        assert client.get("/health/live").json() == {"status": "live"}


@pytest.mark.parametrize("path", [*READS, *LISTS])
def test_head_demands_a_min_position_as_get_does(client: TestClient, path: str) -> None:
    assert client.head(path, headers={"Lockstream-Min-Position": "x"}).status_code == 422


def test_the_root_redirects_to_the_documentation(client: TestClient) -> None:
    for response in client.get("/"), client.head("/"):
        assert (response.status_code, response.headers["location"], response.content) == (307, "/docs", b"")
    assert client.get("/", follow_redirects=True).url.path == "/docs"


def test_main_app_works_under_a_server_without_lifespan_events() -> None:
    client = TestClient(main_app)
    try:
        assert post(client, registered()) == 202
        assert post(client, reserved()) == 202
        assert client.get(f"/lockers/{LOCKER}").json()["active_reservations"] == 1
    finally:
        asyncio.run(main_app.lifecycle.close())


def test_a_process_that_never_stops_main_app_ends_all_the_same(log_path: Path) -> None:
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


def test_main_app_can_be_started_again_and_again() -> None:
    for expected in 202, 409, 409:
        with TestClient(main_app) as client:
            assert post(client, registered()) == expected


def test_one_app_serves_several_event_loops() -> None:
    with TestClient(main_app) as first:
        assert post(first, registered()) == 202
        second = TestClient(main_app)
        assert post(second, reserved()) == 202
        assert first.get(f"/lockers/{LOCKER}").json() == second.get(f"/lockers/{LOCKER}").json()


def test_main_app_is_served_by_a_real_server() -> None:
    with serving(main_app) as url, httpx.Client(base_url=url) as client:
        assert client.post("/events", json=registered()).status_code == 202
        assert client.get(f"/lockers/{LOCKER}").json()["compartments"] == 1


def post(client: TestClient, event: Body) -> int:
    return client.post("/events", json=event).status_code
