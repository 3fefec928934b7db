"""Security headers of operations, errors, pages, files and refusals of the server itself."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.tests.presentation.http.access.calling import client_with_key
from lockstream.tests.support.builders import registered
from lockstream.tests.support.clients import open_from_environment

STRICT = "default-src 'none'; frame-ancestors 'none'"
HSTS = "strict-transport-security"


def assert_is_page(headers: object, policy: str = STRICT) -> None:
    given = dict(headers)  # type: ignore[call-overload]
    assert given["x-content-type-options"] == "nosniff"
    assert given["content-security-policy"] == policy
    assert given["referrer-policy"] == "no-referrer"
    assert given["cross-origin-resource-policy"] == "same-origin"


def test_successful_operations_bear_nosniff_alone(client: TestClient) -> None:
    event = registered()
    responses = [
        client.post("/events", json=event),
        client.post("/events/batch", json=[event]),
        client.get("/network"),
        client.head("/network"),
        client.get("/lockers", headers={"Accept": "text/csv"}),
        client.get("/events?after=0"),
        client.get("/health/ready"),
    ]
    for response in responses:
        assert response.headers.get_list("x-content-type-options") == ["nosniff"], response.url
        assert "content-security-policy" not in response.headers
        assert "cache-control" not in response.headers


def test_a_state_that_the_client_has_already_bears_nosniff(client: TestClient) -> None:
    client.post("/events", json=registered())
    tag = client.get("/lockers/locker-1/state").headers["etag"]
    response = client.get("/lockers/locker-1/state", headers={"If-None-Match": tag})
    assert (response.status_code, response.headers["x-content-type-options"]) == (304, "nosniff")


@pytest.mark.parametrize("path", ["/lockers/unknown", "/unknown", "/openapi.json", "/docs/assets/swagger-ui.css"])
def test_errors_and_files_bear_the_whole_set(client: TestClient, path: str) -> None:
    assert_is_page(client.get(path).headers)


def test_refused_methods_and_bodies_bear_the_whole_set(client: TestClient) -> None:
    for response in (client.delete("/events"), client.post("/events", json={}), client.post("/unknown")):
        assert_is_page(response.headers)


def test_the_policy_of_the_documentation_allows_its_own_scripts_by_their_hashes_and_no_others(
    client: TestClient,
) -> None:
    page = client.get("/docs")
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert len(scripts) == 1
    digest = b64encode(sha256(scripts[0].encode()).digest()).decode()
    assert_is_page(
        page.headers,
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    assert page.headers.get_list("content-security-policy") == [page.headers["content-security-policy"]]


def test_responses_to_a_key_are_not_stored() -> None:
    with client_with_key() as client:
        assert client.post("/events", json=registered()).headers["cache-control"] == "no-store"
        for path in ("/network", "/lockers/unknown", "/nothing"):
            assert client.get(path).headers.get_list("cache-control") == ["no-store"]


def test_only_tls_asks_browsers_for_tls_and_never_for_localhost() -> None:
    for base_url, expected in [
        ("https://lockstream.example", "max-age=31536000"),
        ("https://lockstream.example:8443", "max-age=31536000"),
        ("https://localhost:8443", None),
        ("http://lockstream.example", None),
    ]:
        with TestClient(create_app(open_from_environment), base_url=base_url) as client:
            assert client.get("/docs").headers.get(HSTS) == expected
            assert client.get("/lockers/unknown").headers.get(HSTS) == expected
            assert HSTS not in client.get("/network").headers
