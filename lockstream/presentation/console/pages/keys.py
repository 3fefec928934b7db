"""API keys and the audit log, for administrators. The text of a new key is shown once."""

from typing import Any, NamedTuple

from fastapi import Response

from lockstream.core.entities.access import Scope
from lockstream.core.entities.keys import AuditAction
from lockstream.core.use_cases.manage_keys import DEFAULT_OVERLAP_SECONDS
from lockstream.presentation.console.api import ApiRefused, api_path
from lockstream.presentation.console.forms import Form
from lockstream.presentation.console.pages.shared import (
    CONFLICT,
    UNPROCESSABLE,
    ListFilter,
    Page,
    PageRequest,
    PageRoute,
    list_or_refusal,
    list_page,
)
from lockstream.presentation.console.texts import time_of_field

DAY_SECONDS, HOUR_SECONDS = 86_400, 3_600
DEFAULT_OVERLAP_HOURS = DEFAULT_OVERLAP_SECONDS // HOUR_SECONDS

SCOPE_TEXTS = {
    Scope.EVENTS_WRITE: "report events",
    Scope.READ: "read lockers, parcels and faults, now and in the past",
    Scope.FEED: "follow the feed of all events",
    Scope.QUARANTINE: "see, resubmit and discard refused events",
    Scope.ADMIN: "create, rotate and revoke keys, and read the audit log",
}
"""The operations that each scope allows, in words."""

_ACTIONS = (("", "All"), *((action.value, action.value.capitalize()) for action in AuditAction))


class NotANumber(Exception):
    """Raised when a field of a form is not a number. The text says which one."""


class NumberField(NamedTuple):
    """A field of the form of a new key, which may be empty."""

    name: str
    label: str
    asked: str
    """Name of the value that the API is asked for."""

    unit: int = 1
    """Number by which the API counts."""


NUMBERS = (
    NumberField("expires_days", "Expires after days", "expires_seconds", DAY_SECONDS),
    NumberField("requests_per_second", "Requests a second", "requests_per_second"),
    NumberField("events_per_second", "Events a second", "events_per_second"),
    NumberField("burst_seconds", "Burst in seconds", "burst_seconds"),
)


async def show_keys(wanted: PageRequest) -> Page:
    """Return the list of keys."""
    found = await list_or_refusal(wanted, "/keys", **wanted.query)
    own = wanted.api.caller.key_id
    return Page("keys.html", "Keys", {"list": found, "own": own}, answers=(found,), csv=found.path)


async def show_new_key(wanted: PageRequest) -> Page:
    """Return the form of a new key."""
    return _new_key_page({}, await _newest_key(wanted))


async def create_key(wanted: PageRequest) -> Page:
    """Create a key, and return the page that shows its text once.

    The form knows the newest key of the time when it was opened. So a form that is sent twice, or a page that is loaded
    again, creates no second key.
    """
    newest = await _newest_key(wanted)
    if wanted.value("newest") != newest:
        problem = (
            "A key was created since this form was opened, perhaps by this form itself. Look at the list of keys. If "
            "the new key is not there, create it now."
        )
        return _new_key_page(wanted.form, newest, problem, CONFLICT)
    try:
        made = await wanted.api.post("/keys", _asked(wanted))
    except (ApiRefused, NotANumber) as refused:
        if isinstance(refused, ApiRefused) and refused.status != UNPROCESSABLE:
            raise
        return _new_key_page(wanted.form, newest, str(refused), UNPROCESSABLE)
    return _made_page(made.value, "")


async def show_key(wanted: PageRequest) -> Page:
    """Return a key with the forms that rotate and revoke it."""
    return await _key_page(wanted)


async def change_key(wanted: PageRequest) -> Page | Response:
    """Rotate or revoke a key. A rotation shows the text of the new key once; the API rotates a key only once."""
    key_id = wanted.parameters["key_id"]
    path = api_path("keys", key_id)
    if wanted.value("action") == "rotate":
        try:
            overlap = _number(wanted.value("overlap_hours") or str(DEFAULT_OVERLAP_HOURS), "The overlap in hours")
            made = await wanted.api.post(f"{path}/rotate", {"overlap_seconds": round(overlap * HOUR_SECONDS)})
        except (ApiRefused, NotANumber) as refused:
            if isinstance(refused, ApiRefused) and refused.status not in (CONFLICT, UNPROCESSABLE):
                raise
            return await _key_page(wanted, str(refused), UNPROCESSABLE)
        return _made_page(made.value, key_id)
    key = (await wanted.api.get(path)).value
    if wanted.value("confirmed") not in (key["key_id"], key["name"]):
        problem = f"Nothing was revoked. To revoke this key, type its id {key['key_id']} or its name."
        return await _key_page(wanted, problem, UNPROCESSABLE)
    await wanted.api.post(f"{path}/revoke")
    return wanted.redirect(path)


async def show_audit(wanted: PageRequest) -> Page:
    """Return the audit log."""
    query = dict(wanted.query)
    if "since" in query:
        query["since"] = time_of_field(query["since"])
    found = await list_or_refusal(wanted, "/audit", **query)
    fields = [
        ListFilter("key_id", "Key", query.get("key_id", ""), hint="8 characters"),
        ListFilter("action", "Action", query.get("action", ""), _ACTIONS),
        ListFilter("since", "Since (UTC)", query.get("since", ""), kind="datetime-local"),
    ]
    return list_page(wanted, "audit.html", "Audit", found, fields=fields)


async def _key_page(wanted: PageRequest, problem: str = "", status: int = 200) -> Page:
    key_id = wanted.parameters["key_id"]
    answer = await wanted.api.get(api_path("keys", key_id))
    audit = await wanted.api.part("/audit", key_id=key_id, limit=20)
    return Page(
        "key.html",
        f"Key {answer.value['name']}",
        {
            "key": answer.value,
            "audit": audit,
            "is_own": wanted.api.caller.key_id == key_id,
            "overlap_hours": DEFAULT_OVERLAP_HOURS,
            "problem": problem,
            "scope_texts": SCOPE_TEXTS,
        },
        status,
        answers=(answer, audit),
    )


def _new_key_page(form: Form, newest: str, problem: str = "", status: int = 200) -> Page:
    return Page(
        "new_key.html",
        "Create a key",
        {"form": form, "newest": newest, "problem": problem, "scope_texts": SCOPE_TEXTS, "numbers": NUMBERS},
        status,
    )


def _made_page(made: dict[str, Any], replaced: str) -> Page:
    """Return the page that shows the text of a new key."""
    return Page("made_key.html", "The new key", {"key": made["key"], "text": made["text"], "replaced": replaced})


async def _newest_key(wanted: PageRequest) -> str:
    """Return a text that differs once another key was created, by any node."""
    found = await wanted.api.get("/audit", action=AuditAction.CREATED.value, limit=1)
    return " ".join(f"{entry['at']} {entry['key_id']}" for entry in found.value["items"])


def _asked(wanted: PageRequest) -> dict[str, object]:
    """Return the request of the key that the form asks for. Raises NotANumber."""
    lockers = [line.strip() for line in wanted.value("lockers").splitlines() if line.strip()]
    asked: dict[str, object] = {
        "name": wanted.value("name"),
        "scopes": wanted.form.get("scopes", []),
        "lockers": lockers or None,
    }
    for field in NUMBERS:
        if text := wanted.value(field.name):
            number = _number(text, field.label) * field.unit
            asked[field.asked] = int(number) if number == int(number) else number
    return asked


def _number(text: str, label: str) -> float:
    try:
        number = float(text)
        int(number)
    except (ValueError, OverflowError) as error:
        raise NotANumber(f"{label}: {text!r} is not a number. Leave the field empty, or give a number.") from error
    return number


PAGES = (
    PageRoute("/keys", show_keys),
    PageRoute("/keys/new", show_new_key, create_key),
    PageRoute("/keys/{key_id}", show_key, change_key),
    PageRoute("/audit", show_audit),
)
