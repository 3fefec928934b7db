"""Stories of what scripts add to forms: a button that copies a new key, and a box that selects a whole list."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from lockstream.tests.presentation.console.browser.site import Site, Watched, watched_page
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import deposited
from lockstream.tests.support.processes import wait_until

pytestmark = needs_browser

CHOSEN = "new FormData(document.querySelector('#list form')).getAll('event_id').length"
"""Script that returns the number of events that the form of the quarantine sends."""


@pytest.fixture
def without_scripts(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a browser that runs no scripts."""
    with watched_page(browser, site.url, site.keys["all"], has_scripts=False) as watched:
        yield watched.page
        assert watched.faults == []


def create_key(page: Page, site: Site) -> str:
    """Create a key by the form, and return its text."""
    page.goto(f"{site.url}/console/keys/new")
    page.get_by_label("Name, for people").fill("copied")
    page.get_by_label("read lockers, parcels and faults").check()
    page.get_by_role("button", name="Create the key").click()
    expect(page.locator("h1")).to_have_text("The new key")
    return page.locator("#key-text").inner_text()


def refuse(site: Site, locker: str, count: int) -> None:
    """Report events that the rules refuse, and wait until the quarantine has them."""
    with site.api() as api:
        api.post("/events/batch", json=[deposited(f"{locker}-{one}", locker=locker) for one in range(count)])
        wait_until(lambda: len(api.get(f"/quarantine?locker_id={locker}&limit=1000").json()["items"]) == count)


def test_a_new_key_is_copied_by_a_button(site: Site, watched: Watched) -> None:
    page = watched.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    text = create_key(page, site)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status").get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_a_browser_that_refuses_to_copy_says_what_to_do(site: Site, watched: Watched) -> None:
    page = watched.page
    page.add_init_script("Clipboard.prototype.writeText = () => Promise.reject(new Error('refused'))")
    create_key(page, site)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("The browser did not copy the text. Select it, and copy it by hand.")).to_be_visible()


def test_without_a_clipboard_there_is_no_button_that_copies(site: Site, watched: Watched) -> None:
    page = watched.page
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', { value: undefined })")
    create_key(page, site)
    expect(page.locator("#theme")).to_be_visible()  # all scripts have run
    expect(page.locator("[data-copy]")).to_be_hidden()


def test_without_scripts_there_is_no_button_that_copies(site: Site, without_scripts: Page) -> None:
    create_key(without_scripts, site)
    expect(without_scripts.locator("[data-copy]")).to_be_hidden()


def test_a_box_selects_all_events_of_a_page(site: Site, watched: Watched) -> None:
    page = watched.page
    refuse(site, "selected", 3)
    page.goto(f"{site.url}/console/quarantine?locker_id=selected")
    every, boxes = page.get_by_label("Select all on this page"), page.locator("tbody").get_by_role("checkbox")
    # when all are selected, and one is not any more
    every.check()
    boxes.first.uncheck()
    # then the box says so
    expect(every).not_to_be_checked()
    assert page.evaluate(CHOSEN) == 2
    boxes.first.check()
    expect(every).to_be_checked()
    # and it takes back its own selection
    every.uncheck()
    assert page.evaluate(CHOSEN) == 0
    every.check()
    page.get_by_role("button", name="Discard selected").click()
    expect(page.locator("h1")).to_have_text("Discard 3 events?")


def test_the_box_selects_what_has_arrived_since_the_page_was_opened(site: Site, watched: Watched) -> None:
    page = watched.page
    refuse(site, "arrived", 1)
    page.goto(f"{site.url}/console/quarantine?locker_id=arrived")
    expect(page.locator("#status")).to_contain_text("Live")
    # when the live page has shown another event
    with site.api() as api:
        api.post("/events", json=deposited("arrived-later", locker="arrived"))
    expect(page.locator("tbody tr")).to_have_count(2)
    # then the box selects it too
    page.get_by_label("Select all on this page").check()
    assert page.evaluate(CHOSEN) == 2


def test_the_box_selects_rows_far_away_and_not_those_that_are_added_later(site: Site, watched: Watched) -> None:
    page = watched.page
    refuse(site, "far", 160)
    page.goto(f"{site.url}/console/quarantine?locker_id=far&limit=40")
    every = page.get_by_label("Select all on this page")
    every.check()
    before = page.evaluate(CHOSEN)
    # when further rows are added
    while page.locator("a[data-next]").count():
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(20)
    # then they are not selected
    assert before in (40, 80, 120)
    assert page.evaluate(CHOSEN) == before
    expect(every).not_to_be_checked()
    # and when all are selected, then so are those that made room for an empty block
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    every.evaluate("(box) => box.click()")
    assert page.evaluate(CHOSEN) == 160


def test_without_scripts_no_box_selects_all(site: Site, without_scripts: Page) -> None:
    without_scripts.goto(f"{site.url}/console/quarantine")
    expect(without_scripts.locator("tbody").get_by_role("checkbox").first).to_be_visible()
    expect(without_scripts.get_by_text("Select all on this page")).to_be_hidden()
