"""Stories of an operator's day, with JavaScript and without: overdue parcels, an offline locker, the quarantine."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from lockstream.tests.presentation.console.browser.site import Site, watched_page
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import deposited, picked_up, registered, reserved

pytestmark = needs_browser


@pytest.fixture(params=[True, False], ids=["with scripts", "without scripts"])
def page(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a person who may do everything, in a browser that runs scripts or does not."""
    with watched_page(browser, site.url, site.keys["all"], has_scripts=request.param) as watched:
        yield watched.page
        assert watched.faults == []


def report(site: Site, locker: str) -> str:
    """Report what a locker says that was offline: a deposit before the reservation. Return the parcel."""
    parcel = f"parcel-{uuid4().hex[:8]}"
    with site.api() as api:
        story = [registered("A1", locker=locker), deposited(parcel, locker=locker), picked_up(parcel, locker=locker)]
        statuses = [item["status"] for item in api.post("/events/batch", json=story).json()]
        assert statuses == [202, 422, 422]
        assert api.post("/events", json=reserved(parcel, "A1", locker=locker)).status_code == 202
    return parcel


def test_an_overdue_parcel_is_found_and_followed_back(site: Site, page: Page) -> None:
    # given a parcel that lies for longer than the limit
    page.goto(f"{site.url}/console/overdue")
    parcel = page.locator("tbody th a").first
    name = parcel.inner_text()
    parcel.click()
    # when a person opens it, then its steps are told
    expect(page.locator("h1")).to_have_text(f"Parcel {name}")
    expect(page.locator("#parcel")).to_contain_text("Waiting for pick-up")
    expect(page.locator(".step h2").nth(1)).to_contain_text("Deposited")
    # and the raw event is one click away, with its chain value
    page.locator(".step summary").nth(1).click()
    expect(page.locator(".step details").nth(1)).to_contain_text('"type"')
    # and the wall is seen as it was before
    door = page.locator(".head a").first.inner_text()
    page.get_by_role("link", name="The wall before").nth(1).click()
    expect(page.locator("#moment")).to_contain_text("The wall as it was")
    expect(page.locator(".door", has_text=door).first).to_have_class(re.compile("door--reserved"))
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator(".door", has_text=door).first).to_have_class(re.compile("door--occupied"))


def test_yesterday_is_one_click_away(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/console/lockers/{site.examples['locker_id']}")
    for name in ("24 hours ago", "Yesterday at noon", "A week ago"):
        page.get_by_role("link", name=name).click()
        expect(page.locator("#moment")).to_contain_text("The wall as it was at")
        assert page.locator(".door").count() > 0


def test_the_report_of_an_offline_locker_is_resubmitted(site: Site, page: Page) -> None:
    locker = f"offline-{uuid4().hex[:6]}"
    report(site, locker)
    page.goto(f"{site.url}/console/quarantine?locker_id={locker}")
    expect(page.locator("#list tbody tr")).to_have_count(2)
    # when both are chosen, then the page says first what will happen
    page.get_by_role("button", name="Resubmit all that match").click()
    expect(page.locator("h1")).to_have_text("Resubmit 2 events?")
    expect(page.locator("main")).to_contain_text("An accepted event is in the log for ever")
    page.get_by_role("button", name="Resubmit 2 events").click()
    # then both are accepted, in the order in which they build on each other
    expect(page.locator("tbody .good")).to_have_count(2)
    page.goto(f"{site.url}/console/quarantine?locker_id={locker}")
    expect(page.locator("#list")).to_contain_text("No event matches")
    page.goto(f"{site.url}/console/lockers/{locker}")
    expect(page.locator(".door")).to_have_class(re.compile("door--available"))


def test_an_event_is_discarded_with_a_reason(site: Site, page: Page) -> None:
    locker = f"discarded-{uuid4().hex[:6]}"
    report(site, locker)
    page.goto(f"{site.url}/console/quarantine?locker_id={locker}")
    page.locator("tbody input[type=checkbox]").first.check()
    page.get_by_role("button", name="Discard selected").click()
    expect(page.locator("h1")).to_have_text("Discard 1 event?")
    page.get_by_label("Reason").fill("A test of <b>doors</b>.")
    page.get_by_role("button", name="Discard 1 event").click()
    expect(page.locator("main")).to_contain_text("discarded")
    page.goto(f"{site.url}/console/quarantine?locker_id={locker}&status=discarded")
    expect(page.locator("#list")).to_contain_text("Discarded: A test of <b>doors</b>.")


def test_the_search_finds_from_any_page(site: Site, page: Page) -> None:
    ids = site.examples
    page.goto(f"{site.url}/console/lockers")
    for name, title in (
        ("locker_id", f"Locker {ids['locker_id']}"),
        ("reservation_id", f"Parcel {ids['reservation_id']}"),
        ("event_id", "Fault reported"),
    ):
        # when the beginning of an id is typed, then its matches are listed
        beginning = ids[name][:-1]
        page.locator("#search").fill(beginning)
        page.locator("#search").press("Enter")
        expect(page.locator("h1")).to_have_text(f"Found for {beginning}")
        expect(page.locator("main").get_by_role("link", name=ids[name]).first).to_be_visible()
        # and a whole id leads to its page
        page.locator("#search").fill(ids[name])
        page.locator("#search").press("Enter")
        expect(page.locator("h1")).to_have_text(title)


def test_the_csv_and_the_json_of_a_page_are_at_its_foot(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/console/faults")
    page.get_by_text("This page as JSON").click()
    page.locator(".source a").first.click()
    assert "/console/api/" in page.url
    assert page.locator("body").inner_text().startswith("{")
