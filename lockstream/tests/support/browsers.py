"""The browser of the system, which some tests drive."""

import shutil

from lockstream.tests.support.requirements import requires

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)

needs_browser = requires(BROWSER is not None, "chromium")
