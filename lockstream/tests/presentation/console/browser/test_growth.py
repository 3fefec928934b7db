"""Pages that are left open while events come in: neither their nodes nor their memory grow.

LOCKSTREAM_TEST_GROWTH_SECONDS=3600 makes it an hour. It needs `pytest -o faulthandler_timeout=0`, since the limit for
any test is shorter.
"""

import os
import time
from threading import Event, Thread
from uuid import uuid4

import pytest
from playwright.sync_api import Page

from lockstream.tests.presentation.console.browser.site import Site, Watched
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import fault_cleared, fault_reported, registered

pytestmark = needs_browser

SECONDS = float(os.environ.get("LOCKSTREAM_TEST_GROWTH_SECONDS", "10"))

WARM_UP_SECONDS = 5

MORE_NODES, MORE_BYTES = 1_000, 4 * 1024 * 1024
"""Room for what differs between two moments, and does not grow with the time."""


class Traffic:
    """Reports events of one locker until the end of the block."""

    def __init__(self, site: Site) -> None:
        self._site, self._stopping = site, Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        locker = f"busy-{uuid4().hex[:6]}"
        with self._site.api() as api:
            api.post("/events", json=registered("A1", locker=locker))
            while not self._stopping.wait(0.05):
                faults = [fault_reported(4, "A1", locker=locker) for _ in range(5)]
                cleared = [fault_cleared(fault, "A1", locker=locker) for fault in faults]
                api.post("/events/batch", json=[*faults, *cleared])


def size_of(page: Page) -> tuple[float, float]:
    """Return the numbers of nodes and of bytes of a page, without what is not used any more."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return metrics["Nodes"], metrics["JSHeapUsedSize"]


@pytest.mark.parametrize("path", ["", "/feed"])
def test_a_page_that_is_left_open_does_not_grow(site: Site, watched: Watched, path: str) -> None:
    page = watched.page
    page.goto(f"{site.url}/console{path}")
    with Traffic(site):
        page.wait_for_timeout(WARM_UP_SECONDS * 1_000)
        nodes, size = size_of(page)
        shown = page.locator("#status b").inner_text()
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            page.wait_for_timeout(1_000)
        later_nodes, later_size = size_of(page)
        assert page.locator("#status b").inner_text() != shown
    assert later_nodes <= nodes * 1.2 + MORE_NODES
    assert later_size <= size * 1.2 + MORE_BYTES
