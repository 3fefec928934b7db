"""Commands that list lockers, reservations, faults and events: a table for people, JSON or CSV for programs."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from enum import StrEnum
from itertools import chain
from operator import attrgetter
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from lockstream.core.entities.events import EVENT_TYPES, Event
from lockstream.core.entities.fields import IDENTIFIER_FORM, is_identifier
from lockstream.core.entities.listings import FaultQuery, LockerOrder, LockerQuery, ReservationOrder, ReservationQuery
from lockstream.core.entities.state import Status
from lockstream.core.entities.subjects import (
    CompartmentSubject,
    LockerSubject,
    ReservationSubject,
    Subject,
    absence,
)
from lockstream.core.errors import UnknownSubject
from lockstream.core.wording import printable, quoted
from lockstream.presentation.cli.options import with_deployment
from lockstream.presentation.cli.output import info, standard_output
from lockstream.presentation.cli.usage import FLAG, Command

if TYPE_CHECKING:
    from msgspec import Struct

    from lockstream.core.ports import Listings
    from lockstream.services.deployment import Deployment

PAGE_ROWS = 1_000
"""Rows that are read at a time."""

TABLE_ROWS = 1_000
"""Most rows of a table by default. A table needs all its rows in memory to align them."""

SPOOL_MEMORY_BYTES = 2**24
"""Most bytes of output in memory, before output goes to a temporary file: about 100,000 rows."""

commands = typer.Typer(rich_markup_mode="markdown")


class Format(StrEnum):
    """Form of the output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", help="`json` writes one object a line.")]
LimitOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help=f"Maximum number of rows. [default: {TABLE_ROWS:,} in a table, else all]",
        show_default=False,
    ),
]
LockerOption = Annotated[str | None, typer.Option("--locker", metavar="ID", help="Only this locker.")]
_Compartment = Annotated[
    str | None, typer.Option("--compartment", metavar="ID", help="Only this compartment of the locker.")
]
_Descending = Annotated[bool, typer.Option("--newest-first", metavar=FLAG, help="The newest first.")]
_Time = Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339, with an offset.")]

type _Rows = Callable[["Listings", Any, int], Sequence[Any]]
"""Returns up to a number of rows behind a key."""


@commands.command(cls=Command)
@with_deployment
def lockers(  # noqa: PLR0913, PLR0917  # an option each
    deployment: "Deployment",
    prefix: Annotated[str | None, typer.Option("--prefix", metavar="TEXT", help="Beginning of the id.")] = None,
    available: Annotated[
        bool | None, typer.Option(metavar=FLAG, help="With an available compartment, or without one.")
    ] = None,
    degraded: Annotated[
        bool | None, typer.Option(metavar=FLAG, help="With a degraded compartment, or without one.")
    ] = None,
    silent: Annotated[
        bool | None, typer.Option(metavar=FLAG, help="Not heard of for much longer than usual, or not so.")
    ] = None,
    gone: Annotated[bool | None, typer.Option(metavar=FLAG, help="Silent for so long that it counts as gone.")] = None,
    sort: Annotated[
        LockerOrder,
        typer.Option(help="By id, by the time of the last event, or by the number of such compartments."),
    ] = LockerOrder.ID,
    highest_first: Annotated[
        bool,
        typer.Option("--highest-first", metavar=FLAG, help="The highest id or number, or the newest event, first."),
    ] = False,
    limit: LimitOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List lockers with their counts, sorted by id, by their last event or by a count. May run beside a server.

    Beside a server, the list lags up to a second behind.
    """
    from lockstream.core.entities.log import present_time  # noqa: PLC0415
    from lockstream.core.use_cases.silent_lockers import listed_lockers, silence_at  # noqa: PLC0415
    from lockstream.schemas.listings import LockerItem  # noqa: PLC0415

    beginning = identifier("--prefix", prefix) or ""
    silence = deployment.list(lambda listings: silence_at(listings, present_time(), deployment.silence_limits)).value
    query = LockerQuery(beginning, available, degraded, silent, gone, silence, sort, highest_first)
    source = _Source(
        LockerItem,
        lambda listings, after, count: listed_lockers(listings, query, after, count),
        lambda row: query.key_of(row.totals),
    )
    _print(deployment, source, limit, form)


@commands.command(cls=Command)
@with_deployment
def reservations(  # noqa: PLR0913, PLR0917  # an option each
    deployment: "Deployment",
    status: Annotated[Status | None, typer.Option(help="Only those with this status.")] = None,
    locker: LockerOption = None,
    changed_before: _Time = None,
    changed_after: _Time = None,
    sort: Annotated[
        ReservationOrder,
        typer.Option(help="By the time at which a reservation got its status, or by its id."),
    ] = ReservationOrder.CHANGED,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", metavar=FLAG, help="The newest first; by id, the highest first.")
    ] = False,
    limit: LimitOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List reservations in the order in which they got their status, or by id. May run beside a server.

    `--status DEPOSITED --changed-before TIME` lists the parcels that were deposited before that time, the oldest first.
    """
    from lockstream.schemas.instants import positions_between  # noqa: PLC0415
    from lockstream.schemas.listings import ReservationItem  # noqa: PLC0415

    locker_id = identifier("--locker", locker)
    before, after_time = instant("--changed-before", changed_before), instant("--changed-after", changed_after)
    if sort is ReservationOrder.ID and (before or after_time):
        raise typer.BadParameter(
            "The order is id, and --changed-before and --changed-after select by the order of changes. Use --sort "
            "changed, or omit the times.",
            param_hint="--sort",
        )

    def rows(listings: "Listings", after: int | str | None, count: int) -> Sequence[Any]:
        changed = positions_between(listings, after_time, before)
        query = ReservationQuery(status, locker_id, *changed, sort, newest_first)
        return listings.reservations(query, after, count)

    key = "changed_position" if sort is ReservationOrder.CHANGED else "reservation_id"
    _print(deployment, _Source(ReservationItem, rows, attrgetter(key)), limit, form)


@commands.command(cls=Command)
@with_deployment
def faults(  # noqa: PLR0913, PLR0917  # an option each
    deployment: "Deployment",
    is_open: Annotated[
        bool | None, typer.Option("--open/--cleared", metavar=FLAG, help="Only open, or only cleared ones.")
    ] = None,
    min_severity: Annotated[int, typer.Option(min=0, metavar="N", help="Lowest severity.")] = 0,
    locker: LockerOption = None,
    compartment: _Compartment = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first/--oldest-first", metavar=FLAG, help="The order of the reports.")
    ] = True,
    limit: LimitOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List faults, the newest report first. May run beside a server."""
    from lockstream.schemas.listings import FaultItem  # noqa: PLC0415

    if compartment is not None and locker is None:
        raise typer.BadParameter(
            "It needs --locker, because a compartment's id is unique only in its locker.", param_hint="--compartment"
        )
    subject = identifier("--locker", locker), identifier("--compartment", compartment)
    query = FaultQuery(is_open, min_severity, *subject, newest_first)
    source = _Source(
        FaultItem,
        lambda listings, after, count: listings.faults(query, after, count),
        lambda row: row.reported_position,
    )
    _print(deployment, source, limit, form)


@commands.command(cls=Command)
@with_deployment
def history(  # noqa: PLR0913, PLR0917  # an option each
    deployment: "Deployment",
    locker: Annotated[str | None, typer.Option("--locker", metavar="ID", help="The events of this locker.")] = None,
    compartment: _Compartment = None,
    reservation: Annotated[
        str | None, typer.Option("--reservation", metavar="ID", help="The events of this reservation.")
    ] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help=f"Only this type: {', '.join(EVENT_TYPES)}.")
    ] = None,
    newest_first: _Descending = False,
    limit: LimitOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the events of a locker, a compartment or a reservation in the order of the log. May run beside a server.

    Each line of `--format json` is the line of the log. A table leaves out the chain values.
    """
    from lockstream.core.use_cases.history import EventFilter, recorded_events  # noqa: PLC0415
    from lockstream.schemas.records import RecordedEvent  # noqa: PLC0415

    subject = _subject(locker, compartment, reservation)
    wanted = EventFilter(event_class("--type", event_type), newest_first)

    def rows(listings: "Listings", after: int | None, count: int) -> Sequence[Any]:
        found = recorded_events(listings, subject, wanted, after, count)
        if found is None:
            raise UnknownSubject(absence(subject))
        return found.rows

    source = _Source(RecordedEvent, rows, lambda record: record.end.position, frozenset({"chain"}))
    _print(deployment, source, limit, form)


def _subject(locker: str | None, compartment: str | None, reservation: str | None) -> Subject:
    """Return the one subject that the options name."""
    ids = [("--locker", locker), ("--compartment", compartment), ("--reservation", reservation)]
    match [identifier(option, text) for option, text in ids]:
        case [str(locker_id), None, None]:
            return LockerSubject(locker_id)
        case [str(locker_id), str(compartment_id), None]:
            return CompartmentSubject(locker_id, compartment_id)
        case [None, None, str(reservation_id)]:
            return ReservationSubject(reservation_id)
        case _:
            raise typer.BadParameter(
                "A history has one subject. Give --locker, or --locker and --compartment, or --reservation."
            )


def event_class(option: str, text: str | None) -> type[Event] | None:
    """Return the class of events with the type `text`. Any other text is a usage error."""
    if text is not None and text not in EVENT_TYPES:
        raise typer.BadParameter(
            f"{quoted(text)} is not a type of events. Send one of {', '.join(EVENT_TYPES)}.", param_hint=option
        )
    return EVENT_TYPES[text] if text else None


def identifier(option: str, text: str | None) -> str | None:
    """Return an identifier unchanged. Any other text is a usage error."""
    if text is not None and not is_identifier(text):
        raise typer.BadParameter(f"{quoted(text)} is not an identifier. Send {IDENTIFIER_FORM}.", param_hint=option)
    return text


def utf8(option: str, text: str) -> str:
    """Return a text unchanged. One that is not UTF-8 is a usage error."""
    try:
        text.encode()
    except UnicodeEncodeError as not_utf8:
        raise typer.BadParameter(f"{quoted(text)} is not UTF-8.", param_hint=option) from not_utf8
    return text


def instant(option: str, text: str | None) -> Any:
    """Return the time in a text. Any other text is a usage error."""
    from lockstream.schemas.instants import instant_of  # noqa: PLC0415

    if text is None:
        return None
    try:
        return instant_of(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a time with an offset (RFC 3339). Send one such as 2026-11-23T08:00:00Z.",
            param_hint=option,
        ) from error


class _Source(NamedTuple):
    """The rows of a list, sorted by their keys, and the class of its items."""

    item_class: Any
    rows: _Rows
    key_of: Callable[[Any], Any]
    left_out: frozenset[str] = frozenset()
    """Names of columns that a table leaves out."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the columns."""
        return self.item_class.__struct_fields__  # type: ignore[no-any-return]

    def pages(self, listings: "Listings", limit: int | None) -> Iterator[list["Struct"]]:
        """Yield the items of all rows, or of the first `limit`, up to `PAGE_ROWS` at a time."""
        from lockstream.schemas.listings import items_of  # noqa: PLC0415

        after, rest = None, limit
        while rest is None or rest > 0:
            rows = self.rows(listings, after, PAGE_ROWS if rest is None else min(PAGE_ROWS, rest))
            if not rows:
                return
            yield items_of(self.item_class, rows, listings)
            after, rest = self.key_of(rows[-1]), None if rest is None else rest - len(rows)


def _print(deployment: "Deployment", source: _Source, limit: int | None, form: Format) -> None:
    """Print the items of all rows, or of the first `limit`, and the position that they reflect."""
    if form is Format.TABLE:
        _print_table(deployment, source, limit)
    else:
        _print_pages(deployment, source, limit, form)


def _print_table(deployment: "Deployment", source: _Source, limit: int | None) -> None:
    shown = TABLE_ROWS if limit is None else limit
    items, position = deployment.list(lambda listings: [*chain.from_iterable(source.pages(listings, shown + 1))])
    with standard_output() as output:
        output.write(table(items[:shown], source.names, source.left_out))
    if len(items) > shown:
        info(more_rows(limit))
    info(f"As of position {position}.")


def _print_pages(deployment: "Deployment", source: _Source, limit: int | None, form: Format) -> None:
    """Print pages by way of a temporary file, so that memory is bounded, and a slow output delays no transaction.

    PostgreSQL ends a transaction that is idle for long. After a lost connection, the query is repeated from its start.
    """
    with SpooledTemporaryFile(SPOOL_MEMORY_BYTES) as spool:

        def write(listings: "Listings") -> None:
            spool.seek(0)
            spool.truncate()
            spool.writelines(encode_pages(source.pages(listings, limit), source.names, form))

        position = deployment.list(write).position
        spool.seek(0)
        with standard_output() as output:
            copyfileobj(spool, output)
    info(f"As of position {position}.")


def encode_pages(pages: Iterable[Sequence["Struct"]], names: Sequence[str], form: Format) -> Iterator[bytes]:
    """Yield the header row of CSV, and then each page."""
    from lockstream.schemas.listings import encode_csv, encode_csv_rows, encode_json  # noqa: PLC0415

    if form is Format.CSV:
        yield encode_csv(names, ())
        yield from map(encode_csv_rows, pages)
    else:
        yield from (encode_json(item) + b"\n" for page in pages for item in page)


def more_rows(limit: int | None) -> str:
    """Return the sentence below a table without all rows. `limit` is the value of `--limit`."""
    return f"More rows follow. Use {'--limit N' if limit is None else 'a higher --limit'}, or --format csv."


def table(items: Sequence["Struct"], names: Sequence[str], left_out: Set[str] = frozenset()) -> bytes:
    """Return aligned columns with these `names`, without borders. A column of numbers is aligned to the right."""
    from msgspec.structs import astuple  # noqa: PLC0415

    columns = zip(names, *map(astuple, items), strict=True)
    lines = zip(*(_aligned(column) for column in columns if column[0] not in left_out), strict=True)
    return "".join("  ".join(line).rstrip() + "\n" for line in lines).encode()


def _aligned(column: tuple[str, *tuple[object, ...]]) -> list[str]:
    """Return the cells of a column, its name first, as texts of one width. None is an empty cell."""
    name, *values = column
    cells = [name, *map(_text, values)]
    width = max(map(len, cells))
    is_numeric = all(value is None or type(value) is int for value in values)
    return [cell.rjust(width) if is_numeric else cell.ljust(width) for cell in cells]


def _text(value: object) -> str:
    """Return a value as the text of a cell."""
    from lockstream.schemas.listings import plain_value  # noqa: PLC0415

    plain = plain_value(value)
    return "" if plain is None else printable(str(plain))
