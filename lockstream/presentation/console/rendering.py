"""Templates: a page becomes HTML. Every value is escaped, since identifiers are made by others."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lockstream import __version__
from lockstream.core import wording
from lockstream.core.entities.access import Scope
from lockstream.core.entities.state import DEGRADING_SEVERITY
from lockstream.presentation.console import files, pictures, texts
from lockstream.presentation.console.pages.shared import Page, PageRequest, query_of
from lockstream.presentation.http.routes.operations import CONSOLE_PATH
from lockstream.presentation.http.routes.search import MAX_MATCHES
from lockstream.settings import Settings

NAVIGATION = (
    ("", "Overview", Scope.READ),
    ("/lockers", "Lockers", Scope.READ),
    ("/reservations", "Parcels", Scope.READ),
    ("/overdue", "Overdue", Scope.READ),
    ("/faults", "Faults", Scope.READ),
    ("/quarantine", "Quarantine", Scope.QUARANTINE),
    ("/feed", "Feed", Scope.FEED),
    ("/system", "System", Scope.READ),
    ("/keys", "Keys", Scope.ADMIN),
    ("/audit", "Audit", Scope.ADMIN),
)
"""Path, label and scope of each page in the navigation. A page whose scope the key lacks is not shown."""

WHOLE_SYSTEM = frozenset({"/system"})
"""Pages that a key which is bound to lockers does not open."""


class Rendering:
    """The templates with the settings of the installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environment = _environment()

    def html(self, request: Request, page: Page, wanted: PageRequest | None) -> str:
        """Return a page as HTML. Without `wanted`, nobody is known to be signed in."""
        root = request.scope.get("root_path", "")
        console = f"{root}{CONSOLE_PATH}"
        shared = {
            "page": page,
            "console": console,
            "static": f"{console}/static/{files.version(self._settings)}",
            "origin": str(request.base_url).rstrip("/"),
            "name": self._settings.console_name,
            "has_colour": self._settings.console_colour is not None,
            "version": __version__,
            "here": request.scope["path"].removeprefix(root).removeprefix(CONSOLE_PATH).rstrip("/"),
            "query": query_of(request.scope),
            "query_string": request.scope["query_string"].decode("latin-1"),
            "caller": wanted.api.caller if wanted else None,
            "navigation": _navigation(wanted),
        }
        return self._environment.get_template(page.template).render(shared | dict(page.values))


def _navigation(wanted: PageRequest | None) -> list[tuple[str, str]]:
    """Return path and label of the pages that the key of a person opens."""
    if wanted is None:
        return []
    hidden = WHOLE_SYSTEM if wanted.api.caller.lockers is not None else frozenset()
    return [(path, label) for path, label, scope in NAVIGATION if scope in wanted.scopes and path not in hidden]


def breakable(code: str) -> Markup:
    """Return a code in which a line may end behind each underscore."""
    return Markup("_<wbr>").join(code.split("_"))


def query_with(query: Mapping[str, str], **changes: Any) -> str:
    """Return a query with some parameters changed, with its question mark. A value of None removes a parameter."""
    changed = {name: value for name, value in {**query, **changes}.items() if value is not None}
    return f"?{urlencode(changed)}" if changed else "?"


def _environment() -> Environment:
    """Return the templates with the texts and pictures that they use."""
    environment = Environment(
        loader=PackageLoader("lockstream.presentation.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "number": texts.number,
        "size": wording.size,
        "clock": texts.clock,
        "duration": texts.duration,
        "field_of_time": texts.field_of_time,
        "breakable": breakable,
        "segment": lambda text: quote(str(text), safe=""),
    }
    environment.globals |= {
        "counted": wording.counted,
        "seconds_between": texts.seconds_between,
        "seconds_since": texts.seconds_since,
        "gap": texts.gap,
        "is_late": texts.is_late,
        "DEGRADING_SEVERITY": DEGRADING_SEVERITY,
        "MAX_MATCHES": MAX_MATCHES,
        "EVENT_WORDS": texts.EVENT_WORDS,
        "STATUS_WORDS": texts.STATUS_WORDS,
        "pictures": pictures,
        "query_with": query_with,
    }
    return environment
