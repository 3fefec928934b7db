"""The entrance: loads the console at the first request to it, so that a start does not wait for its templates."""

from starlette.types import ASGIApp

from lockstream.presentation.console.api import Application


def make_console(application: Application) -> ASGIApp:
    """Return the console over an application."""
    from lockstream.presentation.console.application import Console  # noqa: PLC0415

    return Console(application)
