"""The quarantine: refused events, one by one or all that match, resubmitted or discarded."""

from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Response
from msgspec.json import format as pretty

from lockstream.presentation.console.api import ApiRefused, api_path
from lockstream.presentation.console.pages.shared import (
    CONFLICT,
    NOT_FOUND,
    TYPE_CHOICES,
    UNPROCESSABLE,
    ListFilter,
    Page,
    PageRequest,
    PageRoute,
    list_or_refusal,
    list_page,
)
from lockstream.presentation.console.refusals import CODE_TEXTS
from lockstream.presentation.console.texts import instant, time_of_field

SHOWN_ENTRIES = 50
"""Entries of a page, if its address has no `limit`. Each takes about 1,100 bytes, more than a row of any other list."""

MAX_CHOSEN = 1_000
"""Most events that one form resubmits or discards."""

MAX_SHOWN = 100
"""Most events that a page lists before and after. The others are counted."""

RESUBMIT, DISCARD = "resubmit", "discard"
ALL = "-all"
"""Ends the name of an action on all entries that match."""

NOTHING = "nothing"
"""Parameter of the list's address after a form that chose nothing. The API does not get it."""

FILTERS = "status", "kind", "code", "locker_id", "type", "since"
_STATUSES = (("", "Open"), ("discarded", "Discarded"))
_KINDS = (("", "All"), ("refused", "Refused by the rules"), ("reused_id", "Id used before"))
_ORDERS = (("desc", "Newest first"), ("asc", "Oldest first"))

REFUSED, UNDECIDED = "refused", "not decided"
"""Outcomes: the rules refuse the event, or it cannot be decided for a reason of the server's, such as a full disk."""

type Entry = dict[str, Any]


class Outcome(NamedTuple):
    """The outcome of a change to one event."""

    event_id: str
    word: str
    detail: str = ""
    is_accepted: bool = False
    is_gone: bool = False
    refused: ApiRefused | None = None
    """Why the event was not decided, if it was not."""


async def show_quarantine(wanted: PageRequest) -> Page:
    """Return the list of refused events."""
    query = {"order": "desc", **wanted.query_without(NOTHING)}
    if "since" in query:
        query["since"] = time_of_field(query["since"])
    found = await list_or_refusal(wanted, "/quarantine", **{"limit": str(SHOWN_ENTRIES), **query})
    totals = found if found.value else await wanted.api.part("/quarantine", limit=1)
    counts: dict[str, int] = totals.value["totals"]["open"] if totals.value else {}
    codes = ("", "All"), *((code, f"{code} ({counts.get(code, 0):,})") for code in CODE_TEXTS)
    fields = [
        ListFilter("status", "Status", query.get("status", ""), _STATUSES),
        ListFilter("kind", "Kind", query.get("kind", ""), _KINDS),
        ListFilter("code", "Code", query.get("code", ""), codes),
        ListFilter("type", "Type", query.get("type", ""), TYPE_CHOICES),
        ListFilter("locker_id", "Locker", query.get("locker_id", ""), hint="station-7"),
        ListFilter("since", "Arrived since (UTC)", query.get("since", ""), kind="datetime-local"),
        ListFilter("order", "Order", query["order"], _ORDERS),
    ]
    return Page(
        "quarantine.html",
        "Quarantine",
        {
            "list": found,
            "fields": fields,
            "totals": totals,
            "filters": {name: query[name] for name in FILTERS if name in query},
            "chose_nothing": NOTHING in wanted.query,
        },
        answers=(found,),
        csv=f"/quarantine?{urlencode(query)}",
        has_live_parts="after" not in query,
    )


async def choose_entries(wanted: PageRequest) -> Page | Response:
    """Return the page that says what will happen to the chosen entries, or to all that match. It changes nothing."""
    action, is_all = wanted.value("action").removesuffix(ALL), wanted.value("action").endswith(ALL)
    if action not in (RESUBMIT, DISCARD):
        return wanted.redirect("/quarantine")
    filters = {name: wanted.value(name) for name in FILTERS if wanted.value(name)}
    if is_all:
        entries, has_more = await _matching(wanted, filters)
    else:
        chosen = list(dict.fromkeys(wanted.form.get("event_id", [])))
        entries, has_more = await _entries(wanted, chosen[:MAX_CHOSEN]), len(chosen) > MAX_CHOSEN
    if not entries:
        return wanted.redirect("/quarantine", **filters, **{NOTHING: action})
    return _confirmation(action, entries, filters if is_all else None, has_more=has_more)


async def change_entries(wanted: PageRequest) -> Page | Response:
    """Resubmit or discard the events that were confirmed, and return the page of their outcomes.

    A form that is sent twice does no harm: an accepted event has left the quarantine, and one that was discarded before
    is left as it is. An event that cannot be decided now does not hide the outcomes of the others.

    Raises:
        ApiRefused: no event was decided.
    """
    action, reason = wanted.value("action"), wanted.value("reason")
    chosen = list(dict.fromkeys(wanted.form.get("event_id", [])))[:MAX_CHOSEN]
    if action not in (RESUBMIT, DISCARD) or not chosen:
        return wanted.redirect("/quarantine")
    if action == DISCARD and not reason:
        page = _confirmation(DISCARD, await _entries(wanted, chosen), None)
        return _with(page, UNPROCESSABLE, problem="A reason is missing. Say why these events are not needed.")
    # Entries are read first, because an accepted event leaves the quarantine.
    entries = {event_id: (await wanted.api.part(api_path("quarantine", event_id))).value for event_id in chosen}
    if action == RESUBMIT:
        outcomes = await _resubmitted(wanted, chosen)
    else:
        outcomes = [await _outcome(event_id, _discarded(wanted, event_id, reason)) for event_id in chosen]
    undecided = [outcome for outcome in outcomes if outcome.refused]
    if len(undecided) == len(outcomes) and undecided[0].refused:
        raise undecided[0].refused
    counts = Counter(outcome.word for outcome in outcomes)
    listed = sorted(outcomes, key=lambda outcome: (not outcome.refused, outcome.is_accepted))[:MAX_SHOWN]
    return Page(
        "quarantine_outcomes.html",
        "Resubmitted" if action == RESUBMIT else "Discarded",
        {"outcomes": listed, "entries": entries, "counts": counts, "undecided": undecided, "action": action},
    )


async def lead_to_list(wanted: PageRequest) -> Response:
    """Lead to the list, because the address of a form shows nothing by itself."""
    return wanted.redirect("/quarantine")


async def show_entry(wanted: PageRequest) -> Page:
    """Return a refused event as it came, why it was refused, and what to do."""
    return await _entry_page(wanted)


async def change_entry(wanted: PageRequest) -> Page | Response:
    """Resubmit or discard an event, and lead to the page that shows the outcome."""
    event_id, reason = wanted.parameters["event_id"], wanted.value("reason")
    if wanted.value("action") == RESUBMIT:
        outcome = await _resubmitted_once(wanted, event_id)
        if outcome.is_accepted or outcome.is_gone:
            return wanted.redirect(api_path("events", event_id))
        return wanted.redirect(api_path("quarantine", event_id), outcome=outcome.word)
    if not reason:
        page = await _entry_page(wanted)
        return _with(page, UNPROCESSABLE, problem="A reason is missing. Say why this event is not needed.")
    await _discarded(wanted, event_id, reason)
    return wanted.redirect(api_path("quarantine", event_id))


async def show_malformed(wanted: PageRequest) -> Page:
    """Return the newest bodies that were not events."""
    found = await list_or_refusal(wanted, "/quarantine/malformed", **wanted.query)
    return list_page(wanted, "malformed.html", "Malformed bodies", found)


async def _entry_page(wanted: PageRequest) -> Page:
    event_id = wanted.parameters["event_id"]
    answer, body = await wanted.api.get_raw(api_path("quarantine", event_id))
    code = answer.value["code"]
    return Page(
        "quarantine_entry.html",
        f"Quarantine: event {event_id}",
        {
            "entry": answer.value,
            "text": _body_of(body),
            "texts": CODE_TEXTS.get(code),
            "subjects": _subjects(answer.value["body"].get("payload")),
            "outcome": wanted.query.get("outcome"),
            "problem": "",
        },
        answers=(answer,),
    )


class _Subjects(NamedTuple):
    """The parcel and the door that a refused event names, which may not exist."""

    parcel: str | None
    door: str | None


def _subjects(payload: object) -> _Subjects:
    named = payload if isinstance(payload, dict) else {}
    parcel, door = named.get("reservation_id"), named.get("compartment_id")
    return _Subjects(parcel if isinstance(parcel, str) else None, door if isinstance(door, str) else None)


def _body_of(answer: bytes) -> str:
    """Return the event as it came, from an answer whose last member is the body: numbers keep their digits."""
    text = pretty(answer, indent=2).decode()
    _, _, body = text.partition('\n  "body": ')
    return body.removesuffix("\n}").replace("\n  ", "\n")


def _confirmation(
    action: str, entries: Sequence[Entry], filters: dict[str, str] | None, *, has_more: bool = False
) -> Page:
    """Return the page that says what will happen. `filters` are those of all entries that match, or None."""
    in_order = sorted(entries, key=lambda entry: instant(entry["occurred_at"]))
    codes = Counter(entry["code"] for entry in entries)
    return Page(
        "quarantine_confirm.html",
        "Resubmit" if action == RESUBMIT else "Discard",
        {
            "action": action,
            "entries": in_order,
            "codes": codes,
            "filters": filters,
            "has_more": has_more,
            "most": MAX_CHOSEN,
            "shown": MAX_SHOWN,
            "problem": "",
        },
    )


def _with(page: Page, status: int, **values: object) -> Page:
    return Page(page.template, page.title, {**page.values, **values}, status, page.answers)


async def _matching(wanted: PageRequest, filters: dict[str, str]) -> tuple[list[Entry], bool]:
    """Return the entries that match, those that came first, and whether there are more than one form may change."""
    found = await wanted.api.get("/quarantine", **filters, order="asc", limit=MAX_CHOSEN)
    return found.value["items"], found.value["next"] is not None


async def _entries(wanted: PageRequest, event_ids: Sequence[str]) -> list[Entry]:
    """Return the entries of some events that are still in the quarantine. Raises what `_entry` raises."""
    found = [await _entry(wanted, event_id) for event_id in event_ids]
    return [entry for entry in found if entry]


async def _entry(wanted: PageRequest, event_id: str) -> Entry | None:
    """Return the entry of an event, or None if it is not in the quarantine.

    Raises:
        ApiRefused: the entry cannot be read.
    """
    try:
        answer = await wanted.api.get(api_path("quarantine", event_id))
    except ApiRefused as refused:
        if refused.status == NOT_FOUND:
            return None
        raise
    entry: Entry = answer.value
    return entry


async def _outcome(event_id: str, change: Awaitable[Outcome]) -> Outcome:
    """Return the outcome of a change, also if the event was not decided."""
    try:
        return await change
    except ApiRefused as refused:
        return Outcome(event_id, UNDECIDED, str(refused), refused=refused)


async def _resubmitted(wanted: PageRequest, event_ids: Sequence[str]) -> list[Outcome]:
    """Return the outcomes of events that are decided afresh, in this order.

    Events that are refused are decided again as long as others are accepted, because they may build on each other.
    """
    outcomes: dict[str, Outcome] = {}
    left = list(event_ids)
    while left:
        for event_id in left:
            outcomes[event_id] = await _outcome(event_id, _resubmitted_once(wanted, event_id))
        refused = [event_id for event_id in left if outcomes[event_id].word in (REFUSED, UNDECIDED)]
        if not any(outcomes[event_id].is_accepted for event_id in left):
            break
        left = refused
    return [outcomes[event_id] for event_id in event_ids]


async def _resubmitted_once(wanted: PageRequest, event_id: str) -> Outcome:
    """Return the outcome of an event that is decided afresh.

    Raises:
        ApiRefused: it was not decided.
    """
    try:
        answer = await wanted.api.post(f"{api_path('quarantine', event_id)}/resubmit")
    except ApiRefused as refused:
        if refused.status == NOT_FOUND:
            return Outcome(event_id, "not in the quarantine any more", is_gone=True)
        if refused.status in (CONFLICT, UNPROCESSABLE):
            return Outcome(event_id, REFUSED, str(refused))
        raise
    if answer.value["outcome"] == "duplicate":
        return Outcome(event_id, "duplicate", "Another event with this id was accepted before.")
    return Outcome(event_id, "accepted", f"At position {answer.value['position']:,}.", is_accepted=True)


async def _discarded(wanted: PageRequest, event_id: str, reason: str) -> Outcome:
    """Return the outcome of an event that is discarded, unless that was done before.

    Raises:
        ApiRefused: it was not discarded.
    """
    path = api_path("quarantine", event_id)
    entry = await _entry(wanted, event_id)
    if entry is None:
        return Outcome(event_id, "not in the quarantine any more", is_gone=True)
    if entry["status"] == "discarded":
        return Outcome(event_id, "discarded before", f"Reason: {entry['discard_reason']}")
    await wanted.api.post(f"{path}/discard", {"reason": reason})
    return Outcome(event_id, "discarded", f"Not accepted: {entry['detail']}")


PAGES = (
    PageRoute("/quarantine", show_quarantine, choose_entries),
    PageRoute("/quarantine/change", lead_to_list, change_entries),
    PageRoute("/quarantine/malformed", show_malformed),
    PageRoute("/quarantine/{event_id}", show_entry, change_entry),
)
