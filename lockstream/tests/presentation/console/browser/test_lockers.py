"""Stories of the lockers' pages: lists, a wall of doors now and earlier, and a door."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from lockstream.presentation.console.entry import make_console
from lockstream.presentation.console.pages.wall import MAX_STEPS
from lockstream.presentation.http.app import create_app
from lockstream.settings import Settings
from lockstream.tests.presentation.console.browser.site import NARROW, Site, Watched, watched_page
from lockstream.tests.support.browsers import needs_browser
from lockstream.tests.support.builders import deposited, fault_reported, registered, reserved
from lockstream.tests.support.clients import serving
from lockstream.tests.support.keyed_clients import NO_KEYS
from lockstream.tests.support.memory_system import open_in_memory
from lockstream.tests.support.processes import wait_until

pytestmark = needs_browser

MANY = 10_000

SHOWN_AT_ITS_PLACE = """(link) => {
  link.scrollIntoView({ block: "center" });
  const { x, y, width, height } = link.getBoundingClientRect();
  return link.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}"""


def test_typing_narrows_the_list_without_a_new_page(site: Site, watched: Watched) -> None:
    page, locker = watched.page, site.examples["locker_id"]
    page.goto(f"{site.url}/console/lockers")
    page.evaluate("window.isSamePage = true")
    page.get_by_label("Id begins with").press_sequentially(locker)
    expect(page.locator("#list tbody tr")).to_have_count(1)
    expect(page.locator("#list tbody th")).to_have_text(locker)
    assert page.url.endswith(f"?q={locker}")
    assert page.evaluate("window.isSamePage")
    # and the address shows the same list to a colleague
    page.goto(page.url)
    expect(page.locator("#list tbody tr")).to_have_count(1)


def test_an_id_of_many_emoji_is_typed_whole(site: Site, watched: Watched) -> None:
    page, longest = watched.page, 124 * "\N{PACKAGE}" + "abcd"  # an id has up to 128 characters
    page.goto(f"{site.url}/console/reservations")
    for field in (page.locator("#search"), page.get_by_label("Locker", exact=True)):
        field.focus()
        page.keyboard.insert_text(longest)
        expect(field).to_have_value(longest)


def test_a_door_is_seen_before_its_fault(site: Site, watched: Watched) -> None:
    # given a locker with a door that a fault has degraded
    page = watched.page
    with site.api() as api:
        story = [registered("A1", locker="slid-1"), registered("A2", locker="slid-1")]
        story += [reserved("slid-parcel", "A2", locker="slid-1"), fault_reported(4, "A1", locker="slid-1")]
        position = api.post("/events/batch", json=story).json()[-1]["position"]
    page.goto(f"{site.url}/console/lockers/slid-1")
    door = page.locator(".door", has_text="A1")
    expect(door).to_have_class(re.compile("door--degraded"))
    # when the slider goes back by one event
    slider = page.get_by_role("slider", name="Slide back in time")
    slider.focus()
    slider.press("ArrowLeft")
    # then the door is as it was, and the address says so
    expect(door).to_have_class(re.compile("door--available"))
    expect(page.locator("#moment")).to_contain_text("The wall as it was")
    assert f"at={position - 1}" in page.url
    expect(page.locator("#later-title")).to_have_text("Between that moment and now")
    expect(page.locator("#about")).to_contain_text("3 events")
    expect(page.locator(".source li").first).to_contain_text(f"at={position - 1}")
    expect(page.locator("#status")).to_contain_text("Paused")
    # and the slider tells the time and the event
    told = re.compile(r"^[0-9]{1,2} \w+ 20[0-9]{2}, [0-9:]{8}: Reserved slid-parcel in A2$")
    expect(slider).to_have_attribute("aria-valuetext", told)
    expect(page.locator(".slider__text")).to_have_text(told)
    # and each event is one step
    slider.press("ArrowLeft")
    expect(page.locator(".door", has_text="A2")).to_have_class(re.compile("door--available"))
    slider.press("ArrowLeft")
    expect(page.locator(".door")).to_have_count(1)
    assert f"at={position - 3}" in page.url
    slider.press("End")
    expect(door).to_have_class(re.compile("door--degraded"))
    expect(page.locator("#moment")).not_to_contain_text("The wall as it was")
    # and the page of now is live again, with a step for each event that arrives
    expect(page.locator("#status")).to_contain_text("Live")
    expect(page.locator("#about")).to_contain_text("4 events")
    with site.api() as api:
        api.post("/events", json=registered("A3", locker="slid-1"))
    expect(slider).to_have_value("4")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^Now, since .*: Compartment registered in A3$"))


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_wall_of_an_earlier_moment_goes_on_with_now(site: Site, watched: Watched, is_paused: bool) -> None:
    # given a wall of an earlier moment, which a person has paused before or not
    page, locker = watched.page, f"gone-on-{is_paused}"
    with site.api() as api:
        api.post("/events/batch", json=[registered("A1", locker=locker), registered("A2", locker=locker)])
    page.goto(f"{site.url}/console/lockers/{locker}")
    expect(page.locator("#status")).to_contain_text("Live")
    if is_paused:
        page.keyboard.press("p")
        expect(page.locator("#status")).to_contain_text("Paused")
    slider = page.get_by_role("slider")
    slider.press("ArrowLeft")
    expect(page.locator("#moment")).to_contain_text("The wall as it was")
    expect(page.locator(".door")).to_have_count(1)
    # when the person goes on
    page.get_by_role("button", name="Go on").click()
    # then the wall of now is live
    expect(page.locator("#status")).to_contain_text("Live")
    expect(page.locator(".door")).to_have_count(2)
    expect(page.locator("#moment")).to_be_empty()
    expect(slider).to_have_value("1")
    assert "at=" not in page.url
    with site.api() as api:
        api.post("/events", json=registered("A3", locker=locker))
    expect(page.locator(".door")).to_have_count(3)


def test_the_events_around_a_moment_are_the_steps_of_its_page(site: Site, watched: Watched) -> None:
    page = watched.page
    with site.api() as api:
        story = [registered(f"A{number}", locker="long-1") for number in range(1, MAX_STEPS + 3)]
        first = api.post("/events/batch", json=story).json()[0]["position"]
    page.goto(f"{site.url}/console/lockers/long-1")
    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("max", str(MAX_STEPS - 1))
    # when the slider is at its beginning, then a link leads to older events
    page.get_by_role("link", name="Older events").click()
    expect(slider).to_have_attribute("max", str(MAX_STEPS + 1))
    expect(slider).to_have_value("1")
    expect(page.locator(".door")).to_have_count(2)
    # and a step is a link as well
    page.get_by_role("link", name="One event earlier").click()
    page.wait_for_url(f"**/long-1?at={first}")
    expect(page.locator(".door")).to_have_count(1)


def test_headings_sort_and_the_order_stays(site: Site, watched: Watched) -> None:
    page, ids = watched.page, watched.page.locator("#list tbody th")
    with site.api() as api:
        doors = [registered(door, locker=locker) for locker in ("sort-a", "sort-b") for door in ("1", "2")]
        api.post("/events/batch", json=[*doors, fault_reported(3, "1", locker="sort-b")])
    page.goto(f"{site.url}/console/lockers?q=sort-")
    expect(ids).to_have_text(["sort-a", "sort-b"])
    # when the heading is clicked, then the list is sorted by it
    heading = page.get_by_role("columnheader", name="Degraded")
    heading.get_by_role("link").click()
    page.wait_for_url("**/lockers?q=sort-&sort=degraded&order=desc")
    expect(ids).to_have_text(["sort-b", "sort-a"])
    expect(heading).to_have_attribute("aria-sort", "descending")
    # and it stays sorted while the viewer types
    page.evaluate("window.isSamePage = true")
    page.get_by_label("Id begins with").press("End")
    page.keyboard.type("b")
    expect(ids).to_have_text(["sort-b"])
    page.keyboard.press("Backspace")
    expect(ids).to_have_text(["sort-b", "sort-a"])
    assert page.url.endswith("?q=sort-&sort=degraded&order=desc")
    # and when events arrive
    with site.api() as api:
        api.post("/events/batch", json=[fault_reported(3, door, locker="sort-a") for door in ("1", "2")])
    expect(ids).to_have_text(["sort-a", "sort-b"])
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert page.evaluate("window.isSamePage")
    # and on the next page, which is added to the first one
    page.goto(f"{page.url}&limit=1")
    expect(ids).to_have_text(["sort-a", "sort-b"])


def test_an_older_response_overwrites_no_newer_one(site: Site, watched: Watched) -> None:
    page = watched.page
    with site.api() as api:
        story = [registered("A1", locker="stale-1"), fault_reported(4, "A1", locker="stale-1")]
        api.post("/events/batch", json=story)
    # given responses that come late if they are of the earlier moment
    page.add_init_script(
        "const real = fetch; window.fetch = (url, more) => real(url, more).then((one) =>"
        " String(url).includes('at=') ? new Promise((done) => { window.release = () => done(one); }) : one)"
    )
    page.goto(f"{site.url}/console/lockers/stale-1")
    slider = page.get_by_role("slider")
    slider.press("ArrowLeft")
    wait_until(lambda: page.evaluate("Boolean(window.release)"))
    # when the slider goes back to now, and then the first response comes
    with page.expect_response(lambda response: response.url.endswith("/lockers/stale-1")):
        slider.press("End")
    page.evaluate("release()")
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    # then the page shows what was asked for last
    assert "at=" not in page.url
    expect(page.locator("#moment")).to_be_empty()


def test_an_unfinished_value_of_a_filter_is_refused_in_place(site: Site, watched: Watched) -> None:
    page, locker = watched.page, site.examples["locker_id"]
    page.goto(f"{site.url}/console/lockers/{locker}/events")
    page.evaluate("window.isSamePage = true")
    field = page.get_by_label("Since (position or time)")
    field.press_sequentially("2026-")
    expect(page.get_by_role("alert")).to_contain_text("The query parameter since is '2026-'.")
    expect(page.locator("#list")).to_have_count(0)
    expect(field).to_be_focused()
    field.press_sequentially("01-01T00:00:00Z")
    expect(page.locator("#list")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(field).to_be_focused()
    assert page.evaluate("window.isSamePage")


def test_a_ticked_box_is_sent_however_far_the_list_is_scrolled(site: Site, watched: Watched) -> None:
    page = watched.page
    with site.api() as api:
        api.post("/events/batch", json=[deposited(f"ticked-{one}", locker="ticked") for one in range(160)])
        wait_until(lambda: len(api.get("/quarantine?locker_id=ticked&limit=500").json()["items"]) == 160)
    page.goto(f"{site.url}/console/quarantine?locker_id=ticked&limit=40")
    page.locator("tbody").get_by_role("checkbox").first.check()
    while page.locator("a[data-next]").count():
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(20)
    expect(page.locator("#list tbody")).to_have_count(4)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#list tbody").nth(1).locator("tr")).to_have_count(1)  # one far away is folded
    sent = page.evaluate("new FormData(document.querySelector('#list form')).getAll('event_id')")
    assert len(sent) == 1


def test_the_wall_of_another_moment_has_an_address(site: Site, watched: Watched) -> None:
    page, locker = watched.page, f"{site.url}/console/lockers/{site.examples['locker_id']}"
    page.goto(f"{locker}?at={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    expect(page.locator("#moment")).to_contain_text("The wall as it was")
    page.get_by_role("link", name="Back to now").click()
    page.wait_for_url(f"{locker}?")
    expect(page.locator("#moment")).to_be_empty()
    # and before its first event there was no locker, but the way to that event and to all pages
    page.goto(f"{locker}?at=0")
    expect(page.get_by_role("alert")).to_contain_text("There was no locker")
    expect(page.get_by_role("navigation")).to_be_visible()
    page.get_by_role("link", name="The wall after its first event").click()
    expect(page.locator(".door")).to_have_count(1)


def test_a_door_opens_in_a_dialog_and_its_link_has_the_focus_again(site: Site, watched: Watched) -> None:
    page, ids = watched.page, site.examples
    page.goto(f"{site.url}/console/lockers/{ids['locker_id']}")
    door = page.locator(".door", has_text=ids["compartment_id"]).first
    door.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What happened here")
    expect(dialog).to_contain_text(ids["compartment_id"])
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(door).to_be_focused()
    # and the dialog leads to a page of its own
    door.click()
    dialog.get_by_role("link", name="Open as a page").click()
    expect(page).to_have_title(f"Door {ids['compartment_id']} of {ids['locker_id']} · Lockstream")


def test_a_door_that_changes_under_its_dialog_has_the_focus_again(site: Site, watched: Watched) -> None:
    page = watched.page
    with site.api() as api:
        api.post("/events/batch", json=[registered("A1", locker="open-1"), registered("A2", locker="open-1")])
        page.goto(f"{site.url}/console/lockers/open-1")
        expect(page.locator("#status")).to_contain_text("Live")
        door = page.locator(".door", has_text="A2")
        door.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        # when the wall is replaced while the dialog is open
        api.post("/events", json=reserved("open-parcel", "A2", locker="open-1"))
    expect(door).to_have_class(re.compile("door--reserved"))
    page.keyboard.press("Escape")
    # then the door of the new wall has the focus
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(door).to_be_focused()


def test_the_list_and_the_wall_fit_a_telephone(browser: Browser, site: Site) -> None:
    with watched_page(browser, site.url, site.keys["all"], width=NARROW) as watched:
        page = watched.page
        page.goto(f"{site.url}/console/lockers")
        table = page.locator(".lockers")
        assert table.evaluate("(table) => table.scrollWidth <= table.clientWidth")
        expect(table.locator("tbody td").nth(1)).to_be_visible()
        # and the headings appear when the keyboard reaches them
        heading = table.get_by_role("link", name="Degraded")
        assert heading.evaluate(SHOWN_AT_ITS_PLACE) is False
        heading.focus()
        assert heading.evaluate(SHOWN_AT_ITS_PLACE) is True
        assert table.evaluate("(table) => table.scrollWidth <= table.clientWidth")
        page.goto(f"{site.url}/console/lockers/{site.examples['locker_id']}")
        doors = page.locator(".door").evaluate_all("(doors) => doors.map((door) => door.getBoundingClientRect().top)")
        assert doors.count(doors[0]) >= 4


def test_on_a_telephone_the_mark_of_an_overdue_parcel_stays_inside_its_door(browser: Browser, site: Site) -> None:
    with site.api() as api:
        [parcel] = api.get("/reservations?status=DEPOSITED&order=asc&limit=1").json()["items"]
    with watched_page(browser, site.url, site.keys["all"], width=NARROW) as watched:
        watched.page.goto(f"{site.url}/console/lockers/{parcel['locker_id']}")
        late = watched.page.locator(".door--late")
        expect(late.first.locator(".door__late")).to_be_visible()
        assert late.evaluate_all("(doors) => doors.every((door) => door.scrollWidth <= door.clientWidth)")


@pytest.fixture(scope="module")
def many() -> Iterator[str]:
    """The address of a server with 10,000 lockers."""
    settings = Settings.model_validate(NO_KEYS)
    app: FastAPI = create_app(open_in_memory, lambda: settings, make_console)
    with serving(app) as url:
        import httpx

        with httpx.Client(base_url=url, timeout=60) as client:
            for start in range(0, MANY, 5_000):
                events = [registered("1", locker=f"L{number:05}") for number in range(start, start + 5_000)]
                client.post("/events/batch", json=events).raise_for_status()
        yield url


def test_ten_thousand_lockers_scroll_with_few_rows_in_the_page(browser: Browser, many: str) -> None:
    with watched_page(browser, many) as watched:
        page = watched.page
        page.goto(f"{many}/console/lockers?limit=1000")
        most = 0
        while page.locator("a[data-next]").count():
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            most = max(most, _rows(page))
            page.wait_for_timeout(20)
        expect(page.locator("#list tbody")).to_have_count(MANY // 1000)
        expect(page.get_by_text("L09999")).to_be_visible()
        assert most < MANY / 2
        assert _rows(page) < 3_000
        # and the first rows are there again at the top
        page.evaluate("scrollTo(0, 0)")
        expect(page.get_by_text("L00000")).to_be_visible()
        watched.require_no_fault()


def _rows(page: Page) -> int:
    count: int = page.locator("#list tbody tr").count()
    return count
