"""Every page of the console: accessibility, the content security policy, other hosts, and its weight."""

from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from lockstream.presentation.console.pages import PAGES
from lockstream.presentation.console.pages.quarantine import SHOWN_ENTRIES
from lockstream.tests.presentation.console.browser.site import (
    NARROW,
    WIDE,
    Site,
    path_of,
    require_accessible,
    watched_page,
)
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import deposited

pytestmark = needs_browser

MAX_BYTES = 150 * 1024
"""Largest page with all that it loads, as it is sent to a browser that has nothing cached."""

LOADED_SIZES = """
Object.fromEntries([...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter(({name}) => !name.includes("/api/"))
  .map(({name, encodedBodySize}) => [name, encodedBodySize]))
"""
"""Script that returns the bytes that were sent for the page and for each file that it has loaded, by URL."""

TOO_WIDE = """
[...document.querySelectorAll("header *, main *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth)
  .map((element) => element.outerHTML.slice(0, 200))
"""
"""Script that returns the elements of a page that reach beyond its right edge."""

MAX_TOPS = {
    "/lockers": 450,
    "/reservations": 550,
    "/overdue": 550,
    "/faults": 550,
    "/quarantine": 800,
    "/feed": 350,
    "/keys": 240,
    "/audit": 450,
}
"""Pixels above the first row of each list on a telephone, whose screen has 900."""

SIGN_IN, UNKNOWN = "/sign-in", "/lockers/unknown"

NOT_KNOWN_YET, PAST = "/lockers/{locker_id}?at=0", "/lockers/{locker_id}?at=1000"

TEMPLATES = (*(page.path for page in PAGES), SIGN_IN, UNKNOWN, NOT_KNOWN_YET, PAST)


def loaded_sizes(page: Page, url: str) -> dict[str, int]:
    """Open a page, and return the bytes that were sent for the page and for each file that it has loaded, by URL."""
    page.goto(url, wait_until="load")
    page.wait_for_function("!document.querySelector('#theme[hidden]')")  # all scripts have run
    sizes: dict[str, int] = page.evaluate(LOADED_SIZES)
    return sizes


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_page_is_accessible_and_keeps_its_policy(browser: Browser, site: Site, template: str) -> None:
    url = f"{site.url}/console{path_of(template, site.examples)}"
    for theme, width in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
        with watched_page(browser, site.url, site.keys["all"], theme=_theme(theme), width=width) as watched:
            response = watched.page.goto(url)
            assert response
            assert response.status == (404 if template in (UNKNOWN, NOT_KNOWN_YET) else 200)
            require_accessible(watched.page, f"{template}, {theme}, {width}")
            _require_no_sideways_scrolling(watched.page, f"{template}, {width}")
            watched.require_no_fault()


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_page_is_light(browser: Browser, site: Site, template: str) -> None:
    with watched_page(browser, site.url, site.keys["all"]) as watched:
        sizes = loaded_sizes(watched.page, f"{site.url}/console{path_of(template, site.examples)}")
        assert {url.rpartition("/")[2] for url in sizes} >= {"console.css", "theme.css", "theme.js"}
        assert sum(sizes.values()) <= MAX_BYTES, sizes


@pytest.mark.parametrize("path", MAX_TOPS)
def test_a_list_begins_on_the_first_screen_of_a_telephone(browser: Browser, site: Site, path: str) -> None:
    with watched_page(browser, site.url, site.keys["all"], width=NARROW) as watched:
        watched.page.goto(f"{site.url}/console{path}")
        top = watched.page.locator("main tbody tr, main .events li").first.evaluate(
            "(row) => row.getBoundingClientRect().top"
        )
        assert top <= MAX_TOPS[path]


@pytest.mark.parametrize("path", ["/reservations", "/overdue", "/faults", "/faults?open=all", "/quarantine", "/audit"])
def test_a_telephone_shows_whole_rows_of_a_list(browser: Browser, site: Site, path: str) -> None:
    with watched_page(browser, site.url, site.keys["all"], width=NARROW) as watched:
        watched.page.goto(f"{site.url}/console{path}")
        rows = watched.page.locator("main tbody tr")
        expect(rows.first).to_be_visible()
        assert rows.locator("> *").evaluate_all(
            "(cells) => cells.every((cell) => cell.getBoundingClientRect().right <= innerWidth)"
        )


def test_on_a_telephone_the_position_stays_in_sight_and_the_search_comes_back(browser: Browser, site: Site) -> None:
    with watched_page(browser, site.url, site.keys["all"], width=NARROW) as watched:
        page = watched.page
        page.goto(f"{site.url}/console/reservations")
        page.evaluate("scrollTo(0, 600)")
        expect(page.locator("#status")).to_be_in_viewport(ratio=0.9)
        expect(page.locator("#search")).not_to_be_in_viewport(ratio=0.1)
        page.keyboard.press("/")
        expect(page.locator("#search")).to_be_in_viewport(ratio=0.9)


def test_a_full_page_of_the_quarantine_is_light(browser: Browser, site: Site) -> None:
    with site.api() as api:
        refused = [deposited(f"unknown-{number}", locker="heavy") for number in range(SHOWN_ENTRIES + 10)]
        assert api.post("/events/batch", json=refused).status_code == 200
    with watched_page(browser, site.url, site.keys["all"]) as watched:
        sizes = loaded_sizes(watched.page, f"{site.url}/console/quarantine?locker_id=heavy")
        assert watched.page.locator("#list tbody tr").count() == SHOWN_ENTRIES
        assert sum(sizes.values()) <= MAX_BYTES, sizes


def _theme(name: str) -> Literal["light", "dark"]:
    return "dark" if name == "dark" else "light"


def _require_no_sideways_scrolling(page: Page, where: str) -> None:
    too_wide = page.evaluate(TOO_WIDE) if page.evaluate("document.documentElement.scrollWidth > innerWidth") else None
    assert too_wide is None, where
