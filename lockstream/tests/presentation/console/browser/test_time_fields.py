"""Fields of a time: a person in Berlin types the time of Berlin, and the address has it in UTC."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from lockstream.tests.presentation.console.browser.site import Site, Watched
from lockstream.tests.support.browsers import needs_browser

pytestmark = needs_browser


def test_the_moment_of_a_wall_is_typed_in_the_zone_of_the_viewer(site: Site, watched: Watched) -> None:
    page, noon = watched.page, (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0)
    page.goto(f"{site.url}/console/lockers/{site.examples['locker_id']}")
    page.get_by_label("Day (Europe/Berlin)").fill(f"{noon:%Y-%m-%d}")
    page.get_by_label("Time (Europe/Berlin)").fill("12:00")
    page.get_by_role("button", name="Show that moment").click()
    # then the address has noon of Berlin in UTC, an hour or two earlier
    page.wait_for_url("**at=*")
    expect(page.locator("#clock")).to_have_value("12:00")
    expect(page.locator("#day")).to_have_value(f"{noon:%Y-%m-%d}")
    hours = {f"{noon:%Y-%m-%d}T{hour}%3A00%3A00Z" for hour in (10, 11)}
    assert any(page.url.endswith(f"at={text}") for text in hours), page.url


def test_a_filter_by_time_is_typed_in_the_zone_of_the_viewer(site: Site, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{site.url}/console/reservations?changed_after=2026-01-15T11:00")
    field = page.get_by_label("Changed after (Europe/Berlin)")
    expect(field).to_have_value("2026-01-15T12:00")
    field.fill("2026-01-16T00:30")
    page.wait_for_url("**changed_after=2026-01-15T23%3A30*")


def test_yesterday_at_noon_is_noon_of_the_viewer(site: Site, watched: Watched) -> None:
    page = watched.page
    page.goto(f"{site.url}/console/lockers/{site.examples['locker_id']}")
    page.get_by_role("link", name="Yesterday at noon", exact=True).click()
    expect(page.locator("#clock")).to_have_value("12:00")
    expect(page.locator("#moment")).to_contain_text("12:00:00")
