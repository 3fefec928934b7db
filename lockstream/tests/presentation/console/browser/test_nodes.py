"""The nodes on the page System: their states by words and shapes, their times, and a node that is lost meanwhile."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from lockstream.tests.nodes.cluster import cluster, program_with_fast_heartbeats
from lockstream.tests.presentation.console.browser.site import NARROW, WIDE, require_accessible, watched_page
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.databases import database_url

__all__ = ["database_url"]

pytestmark = needs_browser

SHOWN_TIMES = """(rows) => rows.map((row) => [...row.querySelectorAll("time")].every(({ dateTime, textContent }) =>
  textContent === new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" })
    .format(new Date(dateTime))))"""
"""Script that returns for each row whether its times are those of the zone of the viewer."""


def test_the_page_tells_which_nodes_share_the_work(browser: Browser, database_url: str, tmp_path: Path) -> None:
    with cluster(2, tmp_path, database_url, [program_with_fast_heartbeats()]) as [node, other]:
        url = f"http://127.0.0.1:{node.port}"
        with watched_page(browser, url) as watched:
            page = watched.page
            page.goto(f"{url}/console/system")
            # given two nodes that are ready
            rows = page.locator("#nodes tbody tr")
            expect(rows.locator(".chip", has_text="Ready")).to_have_count(2)
            expect(rows.filter(has_text="this node")).to_contain_text(f"process {node.pid}")
            assert rows.evaluate_all(SHOWN_TIMES) == [True, True]
            # when one is killed, then the open page tells since when it is not heard, and what to do
            lost = rows.filter(has_text=re.compile(rf"process {other.pid}\b"))
            other.kill()
            expect(lost.locator(".chip--late")).to_have_text("Not heard")
            expect(lost).to_contain_text("not heard since")
            expect(page.locator("#readiness .note", has_text="1 node is not heard")).to_contain_text(
                "A node that is away"
            )
            assert rows.evaluate_all(SHOWN_TIMES) == [True, True]
            watched.require_no_fault()
        for width in (WIDE, NARROW):
            with watched_page(browser, url, width=width) as watched:
                watched.page.goto(f"{url}/console/system")
                require_accessible(watched.page, f"two nodes, {width}")
                assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
