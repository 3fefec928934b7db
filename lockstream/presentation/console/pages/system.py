"""The system: positions, lags, limits and settings of the node that answers, all nodes, and the runbook."""

import asyncio
from typing import Any, NamedTuple

from lockstream.core.wording import size
from lockstream.presentation.console.pages.shared import Page, PageRequest, PageRoute
from lockstream.presentation.console.runbook import RUNBOOK

POSTGRESQL = "postgresql"


class Bound(NamedTuple):
    """Something that is used up to a limit."""

    name: str
    used: int
    limit: int
    note: str


async def show_system(wanted: PageRequest) -> Page:
    """Return the state of the system."""
    system, ready = await asyncio.gather(wanted.api.get("/system"), wanted.api.part("/health/ready"))
    body = system.value
    return Page(
        "system.html",
        "System",
        {
            "system": body,
            "storage": body["storage"],
            "bounds": _bounds(body),
            "ready": ready,
            "disk": _disk(body),
            "is_shared": body["storage"]["kind"] == POSTGRESQL,
            "runbook": RUNBOOK,
        },
        answers=(system._replace(position=body["storage"]["durable_position"]), ready),
        has_live_parts=True,
    )


async def show_runbook(wanted: PageRequest) -> Page:
    """Return what each problem means, and what to do."""
    system = await wanted.api.part("/system")
    now = {problem["page"]: problem for problem in system.value["problems"]} if system.value else {}
    return Page("runbook.html", "Runbook", {"sections": RUNBOOK, "now": now})


def _bounds(body: dict[str, Any]) -> list[Bound]:
    bounds = [
        Bound("Ingest queue", body["events_waiting"], body["queue_limit"], "events that wait for acknowledgement"),
        Bound("Streams of the feed", body["open_streams"], body["stream_limit"], "open streams"),
    ]
    if quarantine := body["quarantine"]:
        bounds.append(Bound("Quarantine", quarantine["entries"], quarantine["limit"], "entries, with discarded ones"))
    return bounds


def _disk(body: dict[str, Any]) -> str | None:
    """Return a sentence about the free space, if there is a disk to know about."""
    free, days = body["storage"]["disk_free_bytes"], body["days_left"]
    if free is None:
        return None
    least = f"Below {size(body['min_free_bytes'])}, no event is accepted."
    if days is None:
        return f"{size(free)} free. {least}"
    lasting = "more than 10 years" if days > 3_650 else f"some {days:,.0f} days"
    return f"{size(free)} free, enough for {lasting} at the rate of the last 24 hours. {least}"


PAGES = (
    PageRoute("/system", show_system),
    PageRoute("/runbook", show_runbook),
)
