"""The entrance: loads the console at the first request to it, so that a start does not wait for its templates."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.presentation.console.api import Application


def make_console(application: Application) -> ASGIApp:
    """Return the console over an application."""
    return _Entrance(application)


class _Entrance:
    """Passes requests to the console, which a thread has loaded."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._console: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        console = self._console
        if console is None:
            loaded = await asyncio.to_thread(_load, self._application)
            console = self._console = self._console or loaded
        await console(scope, receive, send)


def _load(application: Application) -> ASGIApp:
    """Return the console. It takes some 0.2 seconds at first, for the import of Jinja2 and of all pages."""
    from lockstream.presentation.console.application import Console  # noqa: PLC0415

    return Console(application)
