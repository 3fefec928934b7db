"""EventSource in a real browser, through nginx with deploy/nginx.conf, while nodes are stopped and started again."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import SIGKILL, SIGTERM
from threading import Thread

import pytest

from lockstream.tests.nodes.cluster import cluster
from lockstream.tests.nodes.test_proxy import nginx_for
from lockstream.tests.support.browsers import BROWSER
from lockstream.tests.support.builders import registered
from lockstream.tests.support.processes import Server, wait_until
from lockstream.tests.support.requirements import requires, requires_program

PAGE = """<!doctype html><title>reader</title><script>
let sent = Promise.resolve();
const feed = new EventSource(location.hash.slice(1));
feed.onmessage = ({ data, lastEventId }) => {
  const body = `${lastEventId} ${JSON.parse(data).position}`;
  sent = sent.then(() => fetch("/received", { method: "POST", body }));
};
</script>"""
"""Follows the feed that its URL names, and reports each event in the order of its arrival."""

pytestmark = [requires_program("nginx"), requires(BROWSER is not None, "chromium")]


@contextmanager
def page_server(received: list[str]) -> Iterator[str]:
    """Serve the page, add what it reports to `received`, and give the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(PAGE.encode())

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
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
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
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


def post(node: Server, name: str) -> int:
    """Post an event, and return its position."""
    status, _, body = node.request("POST", "/events", json.dumps(registered(name, locker="browser")).encode())
    assert status == 202, body
    position: int = json.loads(body)["position"]
    return position


@pytest.mark.parametrize("sent", [SIGTERM, SIGKILL])
def test_a_browser_gets_each_event_once_while_nodes_are_restarted(url: str, tmp_path: Path, sent: int) -> None:
    received: list[str] = []
    with (
        page_server(received) as origin,
        cluster(2, tmp_path, url, LOCKSTREAM_CORS_ORIGINS=origin) as nodes,
        nginx_for([node.port for node in nodes]) as proxy,
    ):
        # given a browser that follows the feed through the proxy
        first = post(nodes[0], f"first-{sent}")
        feed = f"http://127.0.0.1:{proxy.port}/events/stream?after={first - 1}"
        with browser_at(f"{origin}/#{feed}", tmp_path / "browser"):
            wait_until(lambda: received)
            for number, node in enumerate(nodes):
                # when a node stops, events are accepted by the other one, and the node starts again
                other = nodes[1 - number]
                node.stop(SIGKILL if sent == SIGKILL else SIGTERM)
                for count in range(20):
                    post(other, f"{sent}-{number}-{count}")
                node.start()
                last = post(node, f"last-{sent}-{number}")
                wait_until(partial(_has_received, received, last - first + 1))
    # then the browser has had each event once, in order, each with its position as the id
    assert received == [f"{position} {position}" for position in range(first, first + 43)]


def _has_received(received: list[str], count: int) -> bool:
    return len(received) >= count
