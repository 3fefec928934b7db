"""The commands of `lockstream quarantine`: list, show, resubmit, discard, malformed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from lockstream.core.entities.fields import is_uuid
from lockstream.core.entities.quarantine import EntryKind, EntryStatus
from lockstream.core.wording import agreeing, counted, printable, quoted
from lockstream.presentation.cli.list_commands import (
    TABLE_ROWS,
    Format,
    FormatOption,
    LimitOption,
    encode_pages,
    event_class,
    identifier,
    instant,
    more_rows,
    table,
    utf8,
)
from lockstream.presentation.cli.output import error, info, standard_output
from lockstream.presentation.cli.usage import FLAG, Command

if TYPE_CHECKING:
    from msgspec import Struct

    from lockstream.presentation.cli.quarantine.answers import Entry, MalformedBody, OutcomeRow, Report, Totals

SOME_REFUSED = 3
"""Exit code of `resubmit --all` if events were refused again, as that of an import."""

RESUBMITTED_AT_ONCE = 100_000
"""Most events that one request resubmits."""

SHOWN_CHARACTERS = 60
"""Characters of a malformed body that a table shows."""

LEFT_OUT = frozenset({"detail", "occurred_at", "first_at", "address", "body"})
"""Members of an entry that a table leaves out, because a terminal is narrow."""

LEFT_OUT_OF_OPEN = LEFT_OUT | {"discarded_at", "discard_reason"}

commands = typer.Typer(
    help="Show and change the quarantine of a running server: events that were not accepted.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
)


class Order(StrEnum):
    """Order of entries by their first arrival."""

    ASC = "asc"
    DESC = "desc"


class EntryFormat(StrEnum):
    """Form of one entry."""

    TEXT = "text"
    JSON = "json"


_Url = Annotated[str, typer.Argument(metavar="URL", help="The server, such as http://127.0.0.1:8000.")]
_EventId = Annotated[str, typer.Argument(metavar="EVENT_ID", help="The id of the event.")]
_Code = Annotated[str | None, typer.Option(metavar="CODE", help="Only entries with this code of a refusal.")]
_Locker = Annotated[str | None, typer.Option(metavar="ID", help="Only events of this locker.")]
_Type = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.")]
_Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Last arrival at this time or later: RFC 3339, with an offset.")
]


@commands.command("list", cls=Command)
def list_(  # noqa: PLR0913, PLR0917  # an option each
    url: _Url,
    status: Annotated[EntryStatus, typer.Option(help="Events that need a decision, or discarded ones.")] = (
        EntryStatus.OPEN
    ),
    kind: Annotated[
        EntryKind | None,
        typer.Option(help="`refused` by the rules, or `reused_id`: another event with the id was accepted."),
    ] = None,
    code: _Code = None,
    locker: _Locker = None,
    event_type: _Type = None,
    since: _Since = None,
    order: Annotated[Order, typer.Option(help="By the first arrival: `desc` has the newest first.")] = Order.DESC,
    limit: LimitOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List events that were not accepted, each once, with the number of their arrivals."""
    from lockstream.presentation.cli.quarantine.answers import Entry, on_one_line  # noqa: PLC0415
    from lockstream.presentation.cli.quarantine.client import QuarantineClient  # noqa: PLC0415

    filters = {"status": status.value, "order": order.value, **_filters(code, locker, event_type, since)}
    filters |= {"kind": kind.value} if kind else {}
    totals: list[Totals] = []

    def pages(client: QuarantineClient, count: int | None) -> Iterator[Sequence[Entry]]:
        for page in client.entries(filters, count):
            totals[:] = [page.totals]
            yield list(map(on_one_line, page.items))

    left_out = LEFT_OUT_OF_OPEN if status is EntryStatus.OPEN else LEFT_OUT
    with QuarantineClient(url) as client:
        _print(lambda count: pages(client, count), Entry, left_out, limit, form)
    info(_explain(totals[0]))


@commands.command(cls=Command)
def show(
    url: _Url,
    event_id: _EventId,
    form: Annotated[EntryFormat, typer.Option("--format", help="`json` writes one object.")] = EntryFormat.TEXT,
) -> None:
    """Show everything that the quarantine holds about one event."""
    from lockstream.presentation.cli.quarantine.answers import on_one_line  # noqa: PLC0415
    from lockstream.presentation.cli.quarantine.client import QuarantineClient  # noqa: PLC0415
    from lockstream.schemas.listings import encode_json  # noqa: PLC0415

    with QuarantineClient(url) as client:
        entry = client.entry(_uuid(event_id))
    with standard_output() as output:
        output.write(encode_json(on_one_line(entry)) + b"\n" if form is EntryFormat.JSON else _text_of(entry).encode())


@commands.command(cls=Command)
def resubmit(  # noqa: PLR0913, PLR0917  # an option each
    url: _Url,
    event_id: Annotated[
        str | None, typer.Argument(metavar="EVENT_ID", help="The id of one event.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", metavar=FLAG, help="All open events that pass the filters, instead of one.")
    ] = False,
    code: _Code = None,
    locker: _Locker = None,
    event_type: _Type = None,
    since: _Since = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=RESUBMITTED_AT_ONCE, metavar="N", help="Most events that are decided.")
    ] = None,
) -> None:
    """Have events decided afresh, as if they came now.

    With --all, they are decided in the order in which they happened. If events were refused again, the exit code of
    --all is 3, and the exit code for one event is 1.
    """
    from lockstream.presentation.cli.quarantine.answers import Recorded  # noqa: PLC0415
    from lockstream.presentation.cli.quarantine.client import QuarantineClient  # noqa: PLC0415

    if everything == (event_id is not None):
        raise typer.BadParameter("Events are decided one by one or together. Give either EVENT_ID or --all.")
    filters = _filters(code, locker, event_type, since)
    if event_id is not None and (filters or limit is not None):
        raise typer.BadParameter("Filters select events for --all. Leave them out, or give --all without EVENT_ID.")
    with QuarantineClient(url) as client:
        if event_id is None:
            _resubmit_all(client.resubmit_all, filters, limit)
            return
        outcome = client.resubmit(wanted := _uuid(event_id))
    if not isinstance(outcome, Recorded):
        error(printable(f"The event {wanted} was refused ({outcome.code}). {outcome.text}"))
        raise typer.Exit(1)
    if outcome.outcome == "accepted":
        info(f"The event {wanted} was accepted at position {outcome.position}.")
    else:
        info(f"The event {wanted} is a duplicate of the one at position {outcome.position}.")


@commands.command(cls=Command)
def discard(
    url: _Url,
    event_id: _EventId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for those who ask later.", show_default=False)],
) -> None:
    """Note that an event is not to be accepted, and why. Its entry is kept, and is no longer open."""
    from lockstream.presentation.cli.quarantine.client import QuarantineClient  # noqa: PLC0415

    with QuarantineClient(url) as client:
        entry = client.discard(_uuid(event_id), utf8("--reason", reason))
    info(printable(f"The event {entry.event_id} was discarded at {entry.discarded_at}: {entry.discard_reason}"))


@commands.command(cls=Command)
def malformed(url: _Url, limit: LimitOption = None, form: FormatOption = Format.TABLE) -> None:
    """List the newest bodies, and items of batches, that were not events. A table shows the beginning of each."""
    from msgspec.structs import replace  # noqa: PLC0415

    from lockstream.presentation.cli.quarantine.answers import MalformedBody  # noqa: PLC0415
    from lockstream.presentation.cli.quarantine.client import QuarantineClient  # noqa: PLC0415

    def shown(body: MalformedBody) -> MalformedBody:
        is_short = form is not Format.TABLE or len(body.body) <= SHOWN_CHARACTERS
        return body if is_short else replace(body, body=f"{body.body[:SHOWN_CHARACTERS]}…")

    def pages(client: QuarantineClient, count: int | None) -> Iterator[Sequence[MalformedBody]]:
        for page in client.malformed(count):
            yield list(map(shown, page.items))

    with QuarantineClient(url) as client:
        _print(lambda count: pages(client, count), MalformedBody, frozenset({"first_at"}), limit, form)


def _filters(code: str | None, locker: str | None, event_type: str | None, since: str | None) -> dict[str, str]:
    """Return the filters that were given, by the names that a server has for them."""
    event_class("--type", event_type)
    instant("--since", since)
    given = {
        "code": None if code is None else utf8("--code", code),
        "locker_id": identifier("--locker", locker),
        "type": event_type,
        "since": since,
    }
    return {name: value for name, value in given.items() if value is not None}


def _uuid(text: str) -> str:
    """Return the id of an event in lower case. Any other text is a usage error: it would change the path."""
    if not is_uuid(text):
        raise typer.BadParameter(
            f"{quoted(text)} is not the id of an event. Give a UUID, as `lockstream quarantine list` prints it.",
            param_hint="EVENT_ID",
        )
    return text.lower()


def _print(
    pages: Callable[[int | None], Iterable[Sequence["Struct"]]],
    item_class: "type[Entry | MalformedBody]",
    left_out: frozenset[str],
    limit: int | None,
    form: Format,
) -> None:
    """Print the items of the pages that `pages` yields, given a limit."""
    names = item_class.__struct_fields__
    if form is not Format.TABLE:
        with standard_output() as output:
            output.writelines(encode_pages(pages(limit), names, form))
        return
    shown = TABLE_ROWS if limit is None else limit
    items = [*chain.from_iterable(pages(shown + 1))]
    with standard_output() as output:
        output.write(table(items[:shown], names, left_out))
    if len(items) > shown:
        info(more_rows(limit))


def _explain(totals: "Totals") -> str:
    """Return the sentences about the whole quarantine. Each sentence but the first needs a number above 0."""
    number = sum(totals.open.values())
    by_code = ", ".join(f"{count:,} {code}" for code, count in sorted(totals.open.items()))
    bodies = sum(totals.malformed.values())
    sentences = [
        f"{counted(number, 'event')} {agreeing(number, 'is', 'are')} open{': ' if by_code else ''}{by_code}.",
        _counted(totals.discarded, "event", "is discarded", "are discarded"),
        _counted(totals.dropped, "event", "was dropped", "were dropped", " because of the bounds of the quarantine"),
        _counted(totals.unchecked_duplicates, "duplicate", "was not compared", "were not compared"),
        f"{bodies:,} malformed {agreeing(bodies, 'body', 'bodies')} came." if bodies else "",
    ]
    return printable(" ".join(filter(None, sentences)))


def _counted(number: int, noun: str, singular: str, plural: str, rest: str = "") -> str:
    """Return a sentence about a number, or nothing if the number is 0."""
    return f"{counted(number, noun)} {agreeing(number, singular, plural)}{rest}." if number else ""


def _text_of(entry: "Entry") -> str:
    """Return the members of an entry that are not null, one per line, and then its body as indented JSON."""
    from msgspec.structs import asdict  # noqa: PLC0415

    from lockstream.presentation.cli.quarantine.answers import formatted  # noqa: PLC0415

    members = {name: value for name, value in asdict(entry).items() if name != "body" and value is not None}
    width = max(map(len, members))
    lines = [f"{name.ljust(width)}  {printable(str(value))}" for name, value in members.items()]
    body = bytes(formatted(entry.body, 2)).decode()
    return "\n".join([*lines, "body", *map(printable, body.split("\n")), ""])


def _resubmit_all(send: "Callable[[dict[str, str | int]], Report]", filters: dict[str, str], limit: int | None) -> None:
    """Resubmit events until none is left, or none is accepted. Print the last outcome of each event."""
    rows: dict[object, OutcomeRow] = {}
    remaining = 0
    try:
        while True:
            report = send({**filters, "limit": limit or RESUBMITTED_AT_ONCE})
            rows |= {item.event_id or (len(rows), index): item.row for index, item in enumerate(report.items)}
            remaining = report.remaining
            if limit is not None or not report.remaining or not report.accepted:
                break
    finally:  # also prints the outcomes before an error
        if rows:
            with standard_output() as output:
                output.write(table(list(rows.values()), next(iter(rows.values())).__struct_fields__))
    names = [row.outcome for row in rows.values()]
    found = [f"{names.count(name):,} {name}" for name in ("accepted", "duplicate", "refused")]
    found += [f"{names.count('failed'):,} failed"] if "failed" in names else []
    info(f"{', '.join(found)}." if names else "The quarantine has no such events.")
    if remaining:
        advice = "Run the command again" if limit else "Select them with --locker or another filter"
        info(f"{counted(remaining, 'event')} {agreeing(remaining, 'was', 'were')} not decided. {advice}.")
    if {"refused", "failed"} & set(names):
        raise typer.Exit(SOME_REFUSED)
