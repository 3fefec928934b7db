"""The console without JavaScript: the same pages and forms, but not live."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, expect

from lockstream.tests.presentation.console.browser.site import Site, watched_page
from lockstream.tests.support.browsers import needs_browser

pytestmark = needs_browser


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a browser that runs no scripts. Nobody is signed in."""
    with watched_page(browser, site.url, has_scripts=False) as watched:
        yield watched.page
        assert watched.faults == []


def sign_in(page: Page, site: Site, path: str) -> None:
    """Open a page, and sign in on the way."""
    page.goto(f"{site.url}/console{path}")
    page.get_by_label("API key").fill(site.keys["all"])
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_and_out(site: Site, page: Page) -> None:
    sign_in(page, site, "/lockers?available=true")
    assert page.url == f"{site.url}/console/lockers?available=true"
    expect(page.locator("h1")).to_have_text("Lockers")
    page.get_by_role("button", name="Sign out").click()
    assert page.url == f"{site.url}/console/sign-in"
    page.goto(f"{site.url}/console/lockers")
    expect(page.locator("h1")).to_have_text("Sign in")


def test_a_list_is_filtered_by_its_form_and_read_page_by_page(site: Site, page: Page) -> None:
    sign_in(page, site, "/lockers?limit=3")
    names = page.locator("tbody th")
    expect(names).to_have_count(3)
    first = names.all_inner_texts()
    page.get_by_role("link", name="Next page").click()
    assert not set(names.all_inner_texts()) & set(first)
    page.goto(f"{site.url}/console/lockers")
    page.get_by_label("Id begins with").fill(first[0])
    page.get_by_role("button", name="Apply").click()
    expect(names).to_have_count(1)


def test_a_wall_is_seen_as_it_was_and_a_door_has_its_own_page(site: Site, page: Page) -> None:
    ids = site.examples
    sign_in(page, site, f"/lockers/{ids['locker_id']}?at={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    expect(page.locator("#moment")).to_contain_text("The wall as it was")
    page.get_by_label("Day (UTC)").fill("2000-01-01")
    page.get_by_role("button", name="Show that moment").click()
    assert "?at=2000-01-01T" in page.url
    expect(page.get_by_role("alert")).to_contain_text("There was no locker")
    page.get_by_role("link", name="The wall now").click()
    # and each event is a choice
    page.get_by_label("The wall after an event").select_option(index=0)
    page.get_by_role("button", name="Show that event").click()
    expect(page.locator("#moment")).to_contain_text("The wall as it was")
    chosen = page.url
    page.get_by_role("link", name="One event later").click()
    assert page.url != chosen
    page.get_by_role("link", name="One event earlier").click()
    assert page.url == chosen
    page.goto(f"{site.url}/console/lockers/{ids['locker_id']}")
    page.locator(".door", has_text=ids["compartment_id"]).first.click()
    expect(page).to_have_title(f"Door {ids['compartment_id']} of {ids['locker_id']} · Lockstream")
    expect(page.locator("time").first).to_contain_text("UTC")
