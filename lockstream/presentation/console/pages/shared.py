"""The shared parts of all pages: the request of a page, and the page that answers it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Response
from fastapi.responses import RedirectResponse
from msgspec import Struct
from starlette.types import Scope

from lockstream.core.entities.access import Scope as AccessScope
from lockstream.core.entities.events import EVENT_TYPES
from lockstream.presentation.console.api import Answer, Api, ApiRefused, Failed
from lockstream.presentation.console.forms import Form
from lockstream.presentation.console.texts import EVENT_WORDS
from lockstream.presentation.http.routes.operations import CONSOLE_PATH
from lockstream.settings import Settings

NOT_FOUND, CONFLICT, UNPROCESSABLE = 404, 409, 422
"""Statuses with which the API refuses a request of a page."""

TYPE_CHOICES = ("", "All"), *((name, EVENT_WORDS[name]) for name in EVENT_TYPES)
"""The choices of a filter by the type of an event."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_CLOCK = re.compile(r"\d{2}:\d{2}")


class PageRequest:
    """A request for a page by a person who is signed in."""

    def __init__(self, api: Api, scope: Scope, parameters: Mapping[str, str], settings: Settings) -> None:
        """`parameters` are the values in the path."""
        self.api, self.scope, self.parameters, self.settings = api, scope, parameters, settings
        self.query = query_of(scope)
        self.form: Form = {}
        """The fields of the form that was sent, if the page was asked to change something."""

    @property
    def scopes(self) -> frozenset[AccessScope]:
        """The scopes of the person's key."""
        return self.api.caller.scopes

    def may(self, *scopes: AccessScope) -> bool:
        """Return whether the person's key has all of these scopes."""
        return self.scopes.issuperset(scopes)

    def value(self, name: str) -> str:
        """Return the first value of a field of the form, without the spaces around it, or an empty text."""
        return next(iter(self.form.get(name, [])), "").strip()

    def query_without(self, *names: str) -> dict[str, str]:
        """Return the parameters of the query that have a value, apart from some: those that the API gets."""
        return {name: value for name, value in self.query.items() if name not in names}

    @property
    def overdue_hours(self) -> float:
        """Hours after which a deposited parcel is overdue."""
        return self.settings.overdue_days * 24

    def redirect(self, path: str, /, **query: object) -> Response:
        """Return a response that leads to another page."""
        return see_other(self.scope, path, **query)


class Page(Struct, frozen=True):
    """A page: its template and the values in it."""

    template: str
    title: str
    values: Mapping[str, Any] = {}
    status: int = 200
    answers: tuple[Answer | Failed, ...] = ()
    """The answers of the API that the page shows: their addresses stand at its foot, and their position at its head."""

    csv: str | None = None
    """The address of the page's list, relative to the root of the API, which answers with CSV as well."""

    has_live_parts: bool = False
    """Whether parts of the page are asked for again when events are accepted."""

    live_query: str = ""
    """Parameters of the feed that select the events that concern the page."""

    @property
    def position(self) -> int | None:
        """The position that all parts of the page reflect."""
        positions = [answer.position for answer in self.answers if answer.position is not None]
        return min(positions, default=None)


type Show = Callable[[PageRequest], Awaitable[Page | Response]]


class PageRoute(NamedTuple):
    """A page by its path."""

    path: str
    """Path behind that of the console. A segment in braces is a parameter."""

    show: Show
    act: Show | None = None
    """Answers the form of the page, which changes something."""


class ListFilter(NamedTuple):
    """A filter of a list, as its form shows it."""

    name: str
    label: str
    value: str
    choices: tuple[tuple[str, str], ...] = ()
    """Values and their labels. Without choices, the viewer types the value."""

    hint: str = ""
    kind: str = "text"
    """Type of the field of a value that is typed, as HTML calls it: text, number or datetime-local."""


def query_of(scope: Scope) -> dict[str, str]:
    """Return the parameters of a query that are not empty. A form sends its empty fields as well."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=False, errors="replace")
    return dict(pairs)


def see_other(scope: Scope, path: str, /, **query: object) -> Response:
    """Return a response that leads to the page with a quoted path behind that of the console."""
    given = {name: value for name, value in query.items() if value is not None}
    text = f"?{urlencode(given)}" if given else ""
    return RedirectResponse(f"{scope.get('root_path', '')}{CONSOLE_PATH}{path}{text}", 303)


def list_page(wanted: PageRequest, template: str, title: str, found: Answer | Failed, **values: object) -> Page:
    """Return the page of a list, with its address as CSV. Its first page is live. `values` are further ones."""
    return Page(
        template,
        title,
        {"list": found, **values},
        answers=(found,),
        csv=found.path,
        has_live_parts="after" not in wanted.query,
    )


def feed_of_locker(locker_id: str) -> str:
    """Return the parameters of the feed that select the events of a locker."""
    return f"&locker_id={quote(locker_id, safe='')}"


async def list_or_refusal(wanted: PageRequest, path: str, /, **query: object) -> Answer | Failed:
    """Return a page of a list, or why its filters are not allowed, so that the form is shown with the reason.

    Raises:
        ApiRefused: the list is refused for another reason.
    """
    try:
        return await wanted.api.get(path, **query)
    except ApiRefused as refused:
        if refused.status != UNPROCESSABLE:
            raise
        return Failed(str(refused), path)


def time_before(hours: float) -> str:
    """Return the time that many hours ago, to the minute, so that a list is the same for a while."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return f"{now - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def moment_of(query: Mapping[str, str]) -> str | None:
    """Return the time of a day and a clock, both in UTC, or None if the form of a moment has not sent them."""
    day, clock = query.get("day", ""), query.get("clock", "")
    if not _DAY.fullmatch(day):
        return None
    return f"{day}T{clock if _CLOCK.fullmatch(clock) else '12:00'}:00Z"
