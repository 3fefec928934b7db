"""API keys of real servers, on a file and on a database of two nodes: revoked and rotated under load, never printed."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from typing import NamedTuple

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, wait_until

ALL_SCOPES = [f"--scope={scope}" for scope in ("events:write", "read", "feed", "quarantine", "admin")]
CLIENTS = 3
"""Clients of each node."""


class System(NamedTuple):
    """Nodes of one locker network, and its command line."""

    nodes: list[Server]
    run: Callable[..., str]
    """Runs a command, and returns what it has printed to standard output."""


@pytest.fixture(params=["file", "database"])
def system(request: pytest.FixtureRequest, log_path: Path, tmp_path: Path) -> Iterator[System]:
    settings = {} if request.param == "file" else {"DATABASE_URL": request.getfixturevalue("database_url")}

    def run(*arguments: str) -> str:
        result = command(log_path, *arguments, **settings)
        assert result.returncode == 0, result.stderr
        return result.stdout.decode()

    if request.param == "file":
        with Server(log_path, LOCKSTREAM_LOG_LEVEL="debug").start() as server:
            yield System([server], run)
    else:
        with cluster(2, tmp_path / "nodes", settings["DATABASE_URL"], LOCKSTREAM_LOG_LEVEL="debug") as nodes:
            yield System(nodes, run)


class Seen(NamedTuple):
    """A request, when it began, and its status."""

    began: float
    status: int


def send_until(node: Server, key: Callable[[], str], stop: Event) -> list[Seen]:
    """Send requests on one connection, one after the other."""
    seen = []
    connection = HTTPConnection("127.0.0.1", node.port, timeout=TIMEOUT_SECONDS)
    while not stop.is_set():
        headers = bearer(key())
        began = time.monotonic()
        connection.request("GET", "/network", headers=headers)
        response = connection.getresponse()
        response.read()
        seen.append(Seen(began, response.status))
    connection.close()
    return seen


def read_stream(node: Server, key: str) -> float:
    """Read the stream of the feed until its end, and return the time of that."""
    connection = HTTPConnection("127.0.0.1", node.port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/events/stream?after=0", headers=bearer(key))
    response = connection.getresponse()
    assert response.status == 200
    response.read()
    connection.close()
    return time.monotonic()


def poll(node: Server, key: str) -> tuple[int, str]:
    """Wait for an event of the feed, and return status and body of the response."""
    status, _, body = node.request("GET", "/events?after=0&wait=30", headers=bearer(key))
    return status, body.decode()


def key_id_of(text: str) -> str:
    return text.split("_")[1]


def closed(nodes: list[Server]) -> bool:
    """Return whether every node has noticed the first key."""
    return all(node.get("/network")[0] == 401 for node in nodes)


def test_a_revoked_key_is_accepted_by_no_node_a_second_later(system: System) -> None:
    nodes, run = system
    # given clients of each node with one key, which also follow the feed
    key = run("keys", "create", "load", *ALL_SCOPES).strip()
    wait_until(lambda: closed(nodes))
    stop = Event()
    with ThreadPoolExecutor(5 * len(nodes)) as threads:
        clients = [threads.submit(send_until, node, lambda: key, stop) for node in nodes for _ in range(CLIENTS)]
        streams = [threads.submit(read_stream, node, key) for node in nodes]
        polls = [threads.submit(poll, node, key) for node in nodes]
        time.sleep(1)
        # when it is revoked
        run("keys", "revoke", key_id_of(key))
        revoked = time.monotonic()
        # then streams and long polls end, and no request that began a second later is served
        ends: list[Future[float]] = streams
        assert all(end.result(TIMEOUT_SECONDS) <= revoked + 2 for end in ends)
        for polled in polls:
            status, body = polled.result(TIMEOUT_SECONDS)
            assert (status, json.loads(body)["code"]) == (401, "key_revoked")
        time.sleep(1)
        stop.set()
        seen = [one for client in clients for one in client.result(TIMEOUT_SECONDS)]
    assert {one.status for one in seen} - {429} == {200, 401}, "429 once many requests of an address have failed"
    assert not [one for one in seen if one.status == 200 and one.began > revoked + 1]
    refused = [json.loads(line) for line in run("audit", "--json", "--limit", "1000").splitlines()]
    assert {"key_revoked", None} <= {entry["code"] for entry in refused}


def test_no_request_is_refused_while_keys_are_rotated(system: System) -> None:
    nodes, run = system
    keys = [run("keys", "create", "load", *ALL_SCOPES).strip()]
    wait_until(lambda: closed(nodes))
    stop = Event()
    with ThreadPoolExecutor(CLIENTS * len(nodes)) as threads:
        clients = [threads.submit(send_until, node, lambda: keys[-1], stop) for node in nodes for _ in range(CLIENTS)]
        for _ in range(3):
            new = run("keys", "rotate", key_id_of(keys[-1]), "--overlap", "1h").strip()
            wait_until(partial(is_accepted_by_all, nodes, new))
            keys.append(new)
            time.sleep(0.3)
        stop.set()
        seen = [one for client in clients for one in client.result(TIMEOUT_SECONDS)]
    assert {one.status for one in seen} == {200}
    assert len(seen) > len(clients)


def is_accepted_by_all(nodes: list[Server], key: str) -> bool:
    return all(is_accepted(node, key) for node in nodes)


def is_accepted(node: Server, key: str) -> bool:
    return node.request("GET", "/network", headers=bearer(key))[0] == 200


def test_a_key_of_one_node_holds_on_all_and_a_restart_keeps_it(system: System) -> None:
    nodes, run = system
    admin = run("keys", "create", "admin", "--scope", "admin").strip()
    wait_until(lambda: closed(nodes))
    body = json.dumps({"name": "reader", "scopes": ["read"], "expires_seconds": 3600}).encode()
    status, _, made = nodes[0].request("POST", "/keys", body, {"Content-Type": "application/json", **bearer(admin)})
    assert status == 201
    text = json.loads(made)["text"]
    wait_until(lambda: all(is_accepted(node, text) for node in nodes))
    nodes[-1].kill()
    nodes[-1].listen()
    wait_until(lambda: nodes[-1].get("/health/ready")[0] == 200)
    assert is_accepted(nodes[-1], text)
    assert nodes[-1].get("/network")[0] == 401
    assert key_id_of(text) in run("keys", "list")


def test_no_secret_is_printed_logged_or_answered(system: System) -> None:
    nodes, run = system
    texts = [run("keys", "create", "all", *ALL_SCOPES).strip()]
    texts.append(run("keys", "rotate", key_id_of(texts[0])).strip())
    wait_until(lambda: closed(nodes))
    printed: list[str] = [run("keys", "list", "--format", form) for form in ("table", "json", "csv")]
    wait_until(lambda: all(is_accepted(node, texts[-1]) for node in nodes))
    for node in nodes:
        for text in texts:
            for path in "/keys", f"/keys/{key_id_of(text)}", "/audit", "/network", f"/network?key={text}", "/nowhere":
                for headers in bearer(text), bearer(f"{text}x"), {"Authorization": f"Basic {text}"}, {}:
                    _, answered, body = node.request("GET", path, headers=headers)
                    printed.append(f"{answered} {body.decode()}")
            for body in b"{", b'{"name":"x","scopes":["admin"],"lockers":["y"]}', b"[]":
                status, _, answer = node.request(
                    "POST", "/keys", body, {"Content-Type": "application/json", **bearer(text)}
                )
                assert status == 422
                printed.append(answer.decode())
    printed += [run("keys", "show", key_id_of(texts[0])), run("audit", "--json", "--limit", "100000")]
    for node in nodes:
        node.kill()
        printed.append(node.stderr)
        printed += [file.read_text("latin-1") for file in node.log.parent.iterdir() if file.is_file()]
    for text in texts:
        secret = text.split("_")[2]
        assert not [one for one in printed if secret in one]
