"""X-Request-ID and traceparent: taken over if they are well formed, and given back."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.key_text import new_key_text
from lockstream.presentation.http.app import create_app
from lockstream.tests.support.builders import registered
from lockstream.tests.support.clients import contract_client, open_from_environment

KEY = new_key_text().text
TRACE_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(params=["off", "on"])
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of the application without an access log, and with one."""
    monkeypatch.setenv("LOCKSTREAM_ACCESS_LOG", request.param)
    with contract_client(create_app(open_from_environment)) as client:
        client.headers["test-access-log"] = request.param
        yield client


def logs_requests(client: TestClient) -> bool:
    return client.headers["test-access-log"] == "on"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/events"),
        ("POST", "/events/batch"),
        ("GET", "/events?after=0"),
        ("GET", "/lockers/unknown"),
        ("HEAD", "/network"),
        ("GET", "/unknown"),
        ("DELETE", "/events"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/health/live"),
    ],
)
def test_every_response_bears_the_id_and_the_trace_of_its_request(api: TestClient, method: str, path: str) -> None:
    for request_id in ("a", "x" * 128, "delivery-17", "A.b_c~d:e/f+g=h@i-0"):
        headers = {"X-Request-ID": request_id, "traceparent": TRACE_PARENT}
        response = api.request(method, path, headers=headers, json=registered() if method == "POST" else None)
        assert response.headers.get_list("x-request-id") == [request_id]
        assert response.headers.get_list("traceparent") == [TRACE_PARENT]


@pytest.mark.parametrize(
    "given",
    ["", "x" * 129, "two words", "semi;colon", "ø", "<script>", KEY, f"id:{KEY}"],
    ids=["empty", "long", "blank", "separator", "not ASCII", "markup", "key", "key in it"],
)
def test_an_id_that_is_malformed_or_has_a_key_is_replaced(api: TestClient, given: str) -> None:
    response = api.get("/network", headers=[(b"X-Request-ID", given.encode())])
    [made] = response.headers.get_list("x-request-id")
    assert len(made) == 32
    assert int(made, 16)


def test_a_repeated_id_is_replaced_and_a_repeated_trace_left_out(api: TestClient) -> None:
    twice = [("X-Request-ID", "a"), ("X-Request-ID", "b"), ("traceparent", TRACE_PARENT), ("traceparent", TRACE_PARENT)]
    response = api.get("/network", headers=twice)
    assert len(response.headers["x-request-id"]) == 32
    assert "traceparent" not in response.headers


@pytest.mark.parametrize(
    "given",
    [
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        TRACE_PARENT.replace("00-", "ff-", 1),
        TRACE_PARENT.upper(),
        f"{TRACE_PARENT}-more",
        TRACE_PARENT[:-1],
        "nonsense",
    ],
)
def test_a_malformed_trace_is_left_out(api: TestClient, given: str) -> None:
    response = api.get("/network", headers={"traceparent": given})
    assert "traceparent" not in response.headers


def test_a_request_without_an_id_gets_one_only_if_requests_are_logged(api: TestClient) -> None:
    ids = [api.get("/network").headers.get("x-request-id") for _ in range(2)]
    if logs_requests(api):
        assert len(set(ids)) == 2
        assert None not in ids
    else:
        assert ids == [None, None]
