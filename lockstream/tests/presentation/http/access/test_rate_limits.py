"""Rate limits of keys over HTTP: 429, its header fields, and batches. The rates are so low that time gives nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from lockstream.core.entities.access import Limits, Scope
from lockstream.core.entities.keys import AuditAction, AuditQuery
from lockstream.core.use_cases.manage_keys import KeyRequest
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.presentation.http.routes import batches
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.presentation.http.access.calling import client_with_key, with_limits
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.clients import contract_client
from lockstream.tests.support.coroutines import run
from lockstream.tests.support.keys import bearer, created
from lockstream.tests.support.log_audit import audited

ANOTHER_KEY = {"Test-Caller": "bbbbbbbb"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def three_requests() -> Limits:
    return Limits(requests_per_second=0.001, burst_seconds=3_000)


def ten_events() -> Limits:
    return Limits(events_per_second=0.001, burst_seconds=10_000)


def bodies(count: int, prefix: str = "") -> Sequence[Body]:
    return [registered(f"{prefix}{number}") for number in range(count)]


def ndjson(events: Sequence[Body]) -> bytes:
    return "\n".join(json.dumps(event) for event in events).encode()


def post_lines(client: TestClient, events: Sequence[Body]) -> Any:
    return client.post("/events/batch", content=ndjson(events), headers=NDJSON)


def accepted(response: Any) -> int:
    """Return how many events of a batch were accepted."""
    assert response.status_code == 200
    return sum(item["status"] == 202 for item in response.json())


def assert_refused(response: Any, code: str) -> Any:
    assert response.status_code == 429
    assert response.json()["code"] == code
    assert int(response.headers["retry-after"]) > 900
    return response.json()["detail"]


def test_requests_beyond_the_limit_get_429_and_other_keys_are_served() -> None:
    with client_with_key(three_requests()) as client:
        assert [client.get("/network").status_code for _ in range(4)] == [200, 200, 200, 429]
        detail = assert_refused(client.get("/network"), "too_many_requests")
        assert "0.001 requests a second" in detail
        assert client.get("/network", headers=ANOTHER_KEY).status_code == 200


@pytest.mark.parametrize("path", ["/lockers/unknown", "/unknown", "/docs", "/openapi.json"])
def test_every_path_counts_and_is_refused(path: str) -> None:
    with client_with_key(three_requests(), is_checked=False) as client:
        for _ in range(3):
            assert client.get(path).status_code in (200, 404)
        assert_refused(client.get(path), "too_many_requests")


def test_head_counts_and_is_refused_without_a_body() -> None:
    with client_with_key(three_requests()) as client:
        assert [client.head("/network").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert client.head("/network").headers["retry-after"]


def test_responses_tell_a_key_its_limits_and_what_is_left() -> None:
    with client_with_key(Limits(requests_per_second=0.001, events_per_second=0.01, burst_seconds=1_000)) as client:
        response = client.post("/events/batch", json=bodies(7))
        assert response.headers["ratelimit-policy"] == '"requests";q=1;w=1000, "events";q=10;w=1000'
        assert response.headers["ratelimit"] == '"requests";r=0;t=1000, "events";r=3;t=700'
        refused = client.get("/lockers/locker-1")
        assert refused.status_code == 429
        assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')


def test_the_settings_limit_keys_without_limits_of_their_own() -> None:
    with client_with_key(requests_per_second=0.001, burst_seconds=2_000) as client:
        assert [client.get("/network").status_code for _ in range(3)] == [200, 200, 429]


def test_a_server_without_keys_limits_nothing() -> None:
    with client_with_key(requests_per_second=0.001, events_per_second=0.001) as client:
        del client.headers["test-caller"]
        for _ in range(20):
            response = client.post("/events", json=registered("c"))
            assert response.status_code in (202, 409)
            assert "ratelimit" not in response.headers


def test_single_events_beyond_the_limit_get_429_and_are_not_decided(log_path: Any) -> None:
    with client_with_key(ten_events()) as client:
        statuses = [client.post("/events", json=body).status_code for body in bodies(12)]
        assert statuses == [202] * 10 + [429] * 2
        assert client.get("/lockers/locker-1").json()["compartments"] == 10
    assert len(audited(log_path)) == 10


def test_a_batch_counts_its_events() -> None:
    with client_with_key(ten_events()) as client:
        events = bodies(10)
        assert accepted(client.post("/events/batch", json=events[:9])) == 9
        assert client.post("/events", json=events[9]).status_code == 202
        assert_refused(client.post("/events", json=events[9]), "too_many_events")
        assert_refused(client.post("/events/batch", json=[]), "too_many_events")


def test_a_batch_that_is_larger_than_the_burst_passes_whole_and_is_owed() -> None:
    with client_with_key(ten_events()) as client:
        assert accepted(client.post("/events/batch", json=bodies(600))) == 600
        detail = assert_refused(client.post("/events/batch", json=bodies(1)), "too_many_events")
        assert "Wait 59" in detail
        assert accepted(client.post("/events/batch", json=bodies(1), headers=ANOTHER_KEY)) == 0, "a conflict: 409"


def test_ndjson_that_is_larger_than_the_burst_passes_whole_and_is_owed() -> None:
    with client_with_key(ten_events()) as client:
        assert accepted(post_lines(client, bodies(600))) == 600
        assert_refused(post_lines(client, bodies(1)), "too_many_events")


def test_batches_that_run_at_once_owe_one_batch_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BATCH_EVENTS", 20)

    async def post_three() -> list[httpx.Response]:
        app = create_app(lambda: deployment_of(Settings()).start())
        all_begun = asyncio.Barrier(3)

        async def body(number: int) -> AsyncIterator[bytes]:
            yield b"\n"
            await all_begun.wait()
            await asyncio.sleep(0.01 * number)
            yield ndjson(bodies(20, f"{number}-"))

        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(with_limits(app, ten_events())), base_url="http://x"
            ) as client,
        ):
            headers = NDJSON | {"Test-Caller": "aaaaaaaa"}
            posts = [client.post("/events/batch", content=body(number), headers=headers) for number in range(3)]
            return await asyncio.gather(*posts)

    # when three batches begin before any of them has counted an event
    statuses = sorted(response.status_code for response in run(post_three()))
    # then the first two make the key owe more than a batch, and the third is refused
    assert statuses == [200, 200, 429]


def test_a_malformed_event_counts() -> None:
    with client_with_key(ten_events()) as client:
        assert [client.post("/events", content=b"{").status_code for _ in range(11)] == [422] * 10 + [429]


def test_a_refused_batch_is_not_read() -> None:
    with client_with_key(ten_events()) as client:
        client.post("/events/batch", json=bodies(20))
        refused = client.post("/events/batch", content=b"[" * 100, headers={"Content-Type": "text/html"})
        assert_refused(refused, "too_many_events")


def test_a_browser_application_may_read_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    with client_with_key(three_requests(), cors_origins=("https://ops.example",)) as client:
        response = client.get("/network", headers={"Origin": "https://ops.example"})
        exposed = response.headers["access-control-expose-headers"].split(", ")
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


def test_settings_refuse_limits_that_let_nothing_through() -> None:
    for value in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="requests_per_second"):
            Settings.model_validate({"requests_per_second": value})


def test_requests_beyond_each_limit_are_in_the_audit_log_as_sums(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        asked = KeyRequest(
            name="x", scopes=list(Scope), requests_per_second=0.001, events_per_second=0.001, burst_seconds=8_000
        )
        key = created(store, asked)
    settings = Settings.model_validate({"EVENT_LOG_PATH": log_path})
    with contract_client(create_app(lambda: deployment_of(settings).start(), lambda: settings)) as client:
        # when a key sends more events than it may, and then more requests
        client.headers |= bearer(key.text)
        assert accepted(client.post("/events/batch", json=bodies(9))) == 9
        assert_refused(client.post("/events", json=registered("more")), "too_many_events")
        assert_refused(client.post("/events/batch", json=bodies(2)), "too_many_events")
        assert_refused(post_lines(client, bodies(2)), "too_many_events")
        for _ in range(4):
            assert client.get("/network").status_code == 200
        for _ in range(3):
            assert_refused(client.get("/network"), "too_many_requests")
        # and somebody without a key sends more than an address may
        client.headers["Authorization"] = "Bearer nothing"
        assert [client.get("/network").status_code for _ in range(13)] == [401] * 10 + [429] * 3
    # then the audit log has them, once the server has stopped
    with closing(FileKeyStore(log_path)) as store:
        found = [one.entry for one in store.audit(AuditQuery(action=AuditAction.REFUSED), None, 100)]
    of_key: dict[tuple[str, str, str], int] = {}
    for entry in found:
        kind = entry.key_id, entry.operation, entry.code
        of_key[kind] = of_key.get(kind, 0) + entry.count
        assert entry.address == "testclient"
    assert of_key == {
        (key.key.key_id, "post_event", "too_many_events"): 1,
        (key.key.key_id, "post_batch", "too_many_events"): 2,
        (key.key.key_id, "get_network", "too_many_requests"): 3,
        ("", "get_network", "key_malformed"): 10,
        ("", "get_network", "too_many_failed_authentications"): 3,
    }
