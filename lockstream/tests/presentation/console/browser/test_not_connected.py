"""Pages of a server that is away or refuses the stream: what the bar says, and that no event is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Response
from playwright.sync_api import Browser, Page, expect

from lockstream.tests.presentation.console.browser.site import watched_page
from lockstream.tests.presentation.console.browser.test_live import HIDE
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import Body, registered
from lockstream.tests.support.clients import serving
from lockstream.tests.support.processes import Server

pytestmark = needs_browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of an empty log, with two streams of the feed at most."""
    with Server(tmp_path / "event_log.jsonl", LOCKSTREAM_STREAM_LIMIT="2") as server:
        yield server.start()


@contextmanager
def started_again(server: Server) -> Iterator[Server]:
    """Start a server that was stopped, on its log and its port."""
    with Server(server.log, LOCKSTREAM_PORT=str(server.port)) as again:
        yield again.start()


@contextmanager
def proxy_without_a_server(port: int) -> Iterator[None]:
    """Answer 503 to every request, as a proxy does while the server behind it is away."""
    proxy = FastAPI()

    @proxy.get("/{path:path}")
    def refuse() -> Response:
        return Response("Service Unavailable", 503)

    with serving(proxy, port):
        yield


@contextmanager
def another_reader(server: Server) -> Iterator[None]:
    """Hold a stream of the feed."""
    while True:
        with httpx.stream("GET", f"{url_of(server)}/events/stream?after=head", timeout=60) as response:
            if response.status_code == 503:  # the stream of the hidden page is not closed yet
                continue
            yield
            return


@contextmanager
def opened(browser: Browser, server: Server, path: str) -> Iterator[Page]:
    """Give a page that is live."""
    with watched_page(browser, url_of(server)) as watched:
        watched.page.goto(f"{url_of(server)}/console{path}")
        expect(watched.page.locator("#status")).to_contain_text("Live")
        yield watched.page


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def report(server: Server, *events: Body) -> None:
    answers = httpx.post(f"{url_of(server)}/events/batch", json=events, timeout=60).json()
    assert [item["status"] for item in answers] == [202] * len(events)


def test_the_bar_says_that_the_server_is_stopped(browser: Browser, server: Server) -> None:
    with opened(browser, server, "/lockers") as lockers, opened(browser, server, "/feed") as feed:
        # when the server is stopped, then the bar says so
        server.stop(signal.SIGTERM)
        for page in (lockers, feed):
            expect(page.locator("#status")).to_contain_text("Not connected")
        # and when the server is started again, then the pages follow
        with started_again(server) as again:
            report(again, registered("A1", locker="after-a-stop"))
            for page in (lockers, feed):
                expect(page.locator("#status")).to_contain_text("Live")
                expect(page.locator("#list")).to_contain_text("after-a-stop")


def test_the_bar_says_that_a_proxy_has_lost_the_server(browser: Browser, server: Server) -> None:
    with opened(browser, server, "/lockers") as lockers, opened(browser, server, "/feed") as feed:
        # given a page that is paused as well
        lockers.keyboard.press("p")
        expect(lockers.locator("#status")).to_contain_text("Paused, 0 behind")
        server.stop(signal.SIGTERM)
        # when a proxy answers 503, after which a browser does not open the stream again by itself
        with proxy_without_a_server(server.port):
            for page in (lockers, feed):
                with page.expect_response(lambda one: "/stream" in one.url and one.status == 503):
                    pass
            # then the bar says that nothing is heard
            expect(lockers.locator("#status")).to_contain_text("Paused, not connected")
            expect(feed.locator("#status")).to_contain_text("Not connected")
        # and when the server is there again, then one page counts on, and the other follows
        with started_again(server) as again:
            report(again, registered("A1", locker="behind-a-proxy"))
            expect(lockers.locator("#status")).to_contain_text("Paused, 1 behind")
            expect(lockers.locator("#list")).not_to_contain_text("behind-a-proxy")
            expect(feed.locator("#status")).to_contain_text("Live")
            expect(feed.locator("#list")).to_contain_text("behind-a-proxy")
            lockers.keyboard.press("p")
            expect(lockers.locator("#list")).to_contain_text("behind-a-proxy")


def test_a_feed_whose_stream_was_refused_goes_on_after_its_last_event(browser: Browser, server: Server) -> None:
    report(server, registered("A1", locker="refused-1"))
    with opened(browser, server, "/feed") as page:
        # given a feed whose stream is refused, because other readers have taken its place
        page.evaluate(HIDE, True)
        with another_reader(server), another_reader(server):
            page.evaluate(HIDE, False)
            expect(page.locator("#status")).to_contain_text("Not connected")
            # when events are accepted, and the page is read once more to see whether its key is still accepted
            report(server, registered("A2", locker="refused-1"), registered("A3", locker="refused-1"))
            with page.expect_response(lambda one: one.url.endswith("/console/feed")):
                pass
            expect(page.locator("#status")).to_contain_text("Not connected")
        # then the feed shows them as soon as it has a stream
        expect(page.locator("#list li")).to_have_count(3)
        expect(page.locator("#status")).to_contain_text("Live")


def test_a_feed_shows_the_first_event_of_a_log(browser: Browser, server: Server) -> None:
    with watched_page(browser, url_of(server)) as watched:
        # given a page of an empty log, which has no stream yet
        page = watched.page
        page.add_init_script("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        page.goto(f"{url_of(server)}/console/feed")
        expect(page.locator("#pause")).to_be_attached()
        # when events are accepted, and then the stream begins
        report(server, registered("A1", locker="first"), registered("A2", locker="first"))
        page.evaluate(HIDE, False)
        # then they are shown
        expect(page.locator("#list li")).to_have_count(2)
        watched.require_no_fault()
