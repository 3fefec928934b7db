"""The readers of docs/feed.md for a browser, in a real one, while nodes behind nginx are stopped and started again."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from threading import Thread

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.nodes.daemon import Daemon
from lockstream.tests.nodes.test_proxy import nginx_for
from lockstream.tests.support.browsers import BROWSER
from lockstream.tests.support.builders import registered
from lockstream.tests.support.keys import bearer
from lockstream.tests.support.processes import Server, command, wait_until
from lockstream.tests.support.requirements import requires, requires_program

FEED = (Path(__file__).parents[3] / "docs/feed.md").read_text()
STREAM_READER, PAGE_READER = re.findall(r"^```js\n(.*?)^```$", FEED, re.DOTALL | re.MULTILINE)
"""The code that the page shows: a reader of the stream, and a reader of pages with a key."""

DOCUMENT = """<!doctype html><title>reader</title><script>
let sent = Promise.resolve();
console.log = (...values) => {
  const body = JSON.stringify(values.map((value) => value.position ?? value));
  sent = sent.then(() => fetch("/printed", { method: "POST", body }));
};
</script><script>%s</script>"""
"""Runs a script, and reports what the script prints, in this order. Of an event, it reports the position."""

pytestmark = [requires_program("nginx"), requires(BROWSER is not None, "chromium")]


@dataclass
class Page:
    """A page with a script, and what the script has printed."""

    origin: str = ""
    script: str = ""
    printed: list[list[int | str]] = field(default_factory=list)


@contextmanager
def served_page() -> Iterator[Page]:
    page = Page()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer((DOCUMENT % page.script).encode())

        def do_POST(self) -> None:
            page.printed.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(b"")

        def log_message(self, *_: object) -> None:
            return

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        page.origin = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield page
        finally:
            server.shutdown()


@contextmanager
def browser_at(url: str, home: Path) -> Iterator[None]:
    """Open a page in a browser that can reach no host but this one."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={home}")
    rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with subprocess.Popen(
        [str(BROWSER), *options, rules, url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.kill()


def at(proxy: Daemon, script: str) -> str:
    """Return a script of the page that reads from the proxy."""
    address = "http://127.0.0.1:8000"
    assert address in script
    return script.replace(address, f"http://127.0.0.1:{proxy.port}")


def post(node: Server, name: str, key: str = "") -> int:
    """Post an event, and return its position."""
    body = json.dumps(registered(name, locker="browser")).encode()
    status, _, response = node.request("POST", "/events", body, bearer(key) if key else {})
    assert status == 202, response
    position: int = json.loads(response)["position"]
    return position


def restart_nodes(nodes: list[Server], proxy: Daemon, page: Page, sent: Signals, key: str = "") -> int:
    """Stop both nodes of the proxy, then each alone; meanwhile another node or the other one accepts events.

    Go on when the page has printed the events. Return how many there are.
    """
    *behind, beside = nodes
    count = len(page.printed)
    for node in behind:
        node.stop(sent)
    unavailable = _responses(proxy, 503)
    wait_until(lambda: _responses(proxy, 503) > unavailable)
    for number in range(20):
        post(beside, f"both-{number}", key)
    for node in behind:
        _start(node)
    count += 20
    wait_until(partial(_has_printed, page, count))
    for stopped, other in (behind, behind[::-1]):
        stopped.stop(sent)
        for number in range(20):
            post(other, f"{stopped.port}-{number}", key)
        _start(stopped)
        post(stopped, f"{stopped.port}-last", key)
        count += 21
        wait_until(partial(_has_printed, page, count))
    return count


def _start(node: Server) -> None:
    """Start a node, and wait until it accepts events. `Server.start` reads, which needs a key if there are keys."""
    node.listen()
    wait_until(lambda: node.get("/health/ready")[0] == 200)


def _responses(proxy: Daemon, status: int) -> int:
    """Return how many requests the proxy has answered with this status."""
    return len(re.findall(f"^{status} ", (proxy.home / "requests").read_text(), re.MULTILINE))


def _has_printed(page: Page, count: int) -> bool:
    return len(page.printed) >= count


def _open_streams(nodes: list[Server]) -> int:
    return sum(b"\nlockstream_feed_streams 1.0\n" in node.get("/metrics")[1] for node in nodes)


@pytest.mark.parametrize("sent", [SIGTERM, SIGKILL])
def test_a_reader_of_the_stream_gets_each_event_once_while_nodes_are_restarted(
    empty_database_url: str, tmp_path: Path, sent: Signals
) -> None:
    with (
        served_page() as page,
        cluster(3, tmp_path, empty_database_url, LOCKSTREAM_CORS_ORIGINS=page.origin) as nodes,
        nginx_for([node.port for node in nodes[:2]]) as proxy,
    ):
        # given a browser that waits for the first event after it has begun
        last = post(nodes[0], "before")
        page.script = at(proxy, STREAM_READER)
        with browser_at(page.origin, tmp_path / "browser"):
            wait_until(lambda: _open_streams(nodes))
            # when no node of the proxy answers for a while, and later nodes are restarted one at a time
            count = restart_nodes(nodes, proxy, page, sent)
    # then the browser has printed each event once, in order, with its position as the id
    assert page.printed == [[str(position), position] for position in range(last + 1, last + 1 + count)]


def test_a_reader_of_pages_with_a_key_gets_each_event_once_while_nodes_are_restarted(
    empty_database_url: str, tmp_path: Path
) -> None:
    with (
        served_page() as page,
        cluster(3, tmp_path, empty_database_url, LOCKSTREAM_CORS_ORIGINS=page.origin) as nodes,
        nginx_for([node.port for node in nodes[:2]]) as proxy,
    ):
        # given a browser with a key that has begun at the head
        scopes = "--scope=feed", "--scope=events:write"
        created = command(tmp_path / "no-log", "keys", "create", "browser", *scopes, DATABASE_URL=empty_database_url)
        key = created.stdout.decode().strip()
        wait_until(lambda: {node.get("/events?after=0")[0] for node in nodes} == {401})
        last = post(nodes[0], "before", key)
        page.script = f'{at(proxy, PAGE_READER)}follow("head", "{key}");'
        with browser_at(page.origin, tmp_path / "browser"):
            # a preflight, the first page, and the preflight of the second page, which waits for an event
            wait_until(lambda: _responses(proxy, 200) >= 3)
            # when no node of the proxy answers for a while, and later nodes are restarted one at a time
            count = restart_nodes(nodes, proxy, page, SIGKILL, key)
    # then the browser has printed each event once, in order
    assert page.printed == [[position] for position in range(last + 1, last + 1 + count)]
