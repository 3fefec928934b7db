"""Shortcuts, the theme, and the doors of a wall by arrow keys."""

import pytest
from playwright.sync_api import Browser, expect

from lockstream.tests.presentation.console.browser.site import Site, Watched, require_accessible, watched_page
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import registered

pytestmark = needs_browser


def test_shortcuts_lead_to_the_search_and_to_pages(site: Site, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{site.url}/console/lockers/{site.examples['locker_id']}")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    # letters in a field are text
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(page.locator("#search")).to_have_value("gl")
    page.locator("#search").blur()
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.wait_for_url("**/console/lockers")
    # rows are reached one by one
    rows = page.locator("tbody th a")
    page.keyboard.press("j")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/lockers/*")


def test_the_list_of_shortcuts_opens_and_closes(site: Site, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{site.url}/console/lockers")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Shortcuts")
    expect(dialog).to_contain_text("find a locker, compartment, parcel or event")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_person_turns_the_shortcuts_off_and_on_again(site: Site, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{site.url}/console/lockers")
    dialog, switch = page.get_by_role("dialog", name="Shortcuts"), page.get_by_label("Shortcuts are on")
    # when they are turned off by the dialog
    page.keyboard.press("?")
    require_accessible(page, "the dialog of the shortcuts")
    switch.uncheck()
    page.keyboard.press("Escape")
    # then no character does anything, on this page and on others
    for path in ("/console/lockers", "/console/faults"):
        page.goto(site.url + path)
        for character in ("/", "?", "j", "k", "p", "g", "l"):
            page.keyboard.press(character)
        expect(page.locator("body")).to_be_focused()
        expect(dialog).to_have_count(0)
        expect(page.locator("#pause")).to_have_text("Pause")
        assert page.url == site.url + path
    # and a button opens the dialog, which turns them on again
    page.get_by_role("button", name="Shortcuts").click()
    switch.check()
    dialog.get_by_role("button", name="Close").click()
    page.reload()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()


def test_the_first_stop_of_the_keyboard_leads_to_the_content(site: Site, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{site.url}/console/lockers")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_person_chooses_the_other_theme_for_all_pages(browser: Browser, site: Site, theme: str) -> None:
    other = "light" if theme == "dark" else "dark"
    with watched_page(browser, site.url, site.keys["all"], theme="dark" if theme == "dark" else "light") as watched:
        page = watched.page
        page.goto(f"{site.url}/console/lockers")
        ground = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(ground)
        page.get_by_role("button", name=other.capitalize(), exact=True).click()
        assert page.evaluate(ground) != before
        page.goto(f"{site.url}/console/lockers/{site.examples['locker_id']}")
        expect(page.locator("html")).to_have_attribute("data-theme", other)
        watched.require_no_fault()


def test_arrow_keys_move_between_the_doors_of_a_wall(site: Site, watched: Watched) -> None:
    page = watched.page
    with site.api() as api:
        names = ("A1", "A2", "A3", "B1", "B2", "B3", "B4", "C1", "C2")
        api.post("/events/batch", json=[registered(name, locker="keyed") for name in names])
    page.goto(f"{site.url}/console/lockers/keyed")
    page.locator(".door").first.focus()
    for key, name in (
        ("ArrowRight", "A2"),
        ("ArrowDown", "B2"),
        ("End", "B4"),
        ("ArrowDown", "C2"),  # the nearest door of a shorter row
        ("ArrowLeft", "C1"),
        ("ArrowLeft", "B4"),
        ("Home", "B1"),
        ("ArrowUp", "A1"),
        ("ArrowUp", "A1"),
        ("ArrowLeft", "A1"),
        ("Control+End", "C2"),
        ("Control+Home", "A1"),
    ):
        page.keyboard.press(key)
        expect(page.locator(".door:focus .door__id")).to_have_text(name)
