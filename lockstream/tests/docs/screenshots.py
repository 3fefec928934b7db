"""Screenshots of the console: `python -m lockstream.tests.docs.screenshots FOLDER`, which `make screenshots` runs.

Each page of a simulated network, light and dark, wide and narrow; and the two that README shows. Look at each one after
a change of the pages. They are the same at each run, apart from times and from what depends on them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal, NamedTuple

import typer
from playwright.sync_api import Browser, sync_playwright

from lockstream.presentation.console.pages import PAGES
from lockstream.tests.presentation.console.browser.site import (
    NARROW,
    WIDE,
    Site,
    path_of,
    simulated_site,
    watched_page,
)
from lockstream.tests.support.browsers import BROWSER

LOCKERS, DAYS = 60, 10

DOCS = Path(__file__).parents[3] / "docs"

README = {"": DOCS / "console-overview.png", "/lockers/{locker_id}": DOCS / "console-wall.png"}
"""Pages that README shows, and where their pictures lie."""

README_WIDTH = 1440

SETTLING_MILLISECONDS = 800


class Shot(NamedTuple):
    """A picture of a page."""

    path: str
    file: Path
    theme: Literal["light", "dark"]
    width: int
    is_whole: bool
    """Whether all of the page is on the picture, or the part that a window shows."""


def shots(site: Site, folder: Path) -> Iterator[Shot]:
    """Yield each picture of each page."""
    templates = [page.path for page in PAGES]
    for template in (*templates, "/sign-in", "/lockers/unknown"):
        name = re.sub(r"[^a-z]+", "-", template).strip("-") or "overview"
        path = path_of(template, site.examples)
        for width in (WIDE, NARROW):
            yield Shot(path, folder / f"{name}-{width}-light.png", "light", width, True)
            yield Shot(path, folder / f"{name}-{width}-dark.png", "dark", width, True)
        if template in README:
            yield Shot(path, README[template], "light", README_WIDTH, False)


def take(browser: Browser, site: Site, shot: Shot) -> None:
    """Write a picture to its file."""
    key = "" if shot.path == "/sign-in" else site.keys["all"]
    with watched_page(browser, site.url, key, theme=shot.theme, width=shot.width) as watched:
        watched.page.goto(f"{site.url}/console{shot.path}")
        watched.page.wait_for_timeout(SETTLING_MILLISECONDS)
        watched.page.screenshot(path=shot.file, full_page=shot.is_whole)


def main(folder: Annotated[Path, typer.Argument(help="Folder for the pictures of all pages.")]) -> None:
    """Write screenshots of the console into FOLDER, and those of README into docs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix="lockstream-screenshots-") as log_folder,
        simulated_site(Path(log_folder), LOCKERS, DAYS) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        for shot in shots(site, folder):
            take(browser, site, shot)
            typer.echo(shot.file)
        browser.close()


if __name__ == "__main__":
    typer.run(main)
