"""The commands of `lockstream keys`: create, list, show, revoke, rotate."""

import getpass
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import id_of_key_in
from lockstream.core.entities.log import present_time
from lockstream.core.errors import OutputFailed, UnknownKey
from lockstream.core.use_cases.manage_keys import KeyRequest, NewKey, Operator, create, revoke, rotate
from lockstream.core.wording import printable
from lockstream.presentation.cli.access.durations import seconds_of
from lockstream.presentation.cli.list_commands import Format, FormatOption, encode_pages, table
from lockstream.presentation.cli.options import with_deployment
from lockstream.presentation.cli.output import info, require_standard_output, standard_output
from lockstream.presentation.cli.usage import Command

if TYPE_CHECKING:
    from lockstream.core.entities.keys import Key
    from lockstream.schemas.keys import KeyItem
    from lockstream.services.deployment import Deployment

LEFT_OUT = frozenset(
    {
        *("created_by", "replaces", "requests_per_second", "events_per_second", "burst_seconds"),
        *("expires_at", "revoked_at"),
    }
)
"""Columns that a table leaves out, because a terminal is narrow. `ends_at` stands for the last two."""

commands = typer.Typer(
    help="Create, list, rotate and revoke API keys. A server may run: it picks up each change within a second.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
)

_KeyId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The public id of the key, 8 characters.",
        parser=lambda given: id_of_key_in(given) or given,  # so that no message repeats a whole key
    ),
]
_Rate = Annotated[float | None, typer.Option(metavar="N", help="The key's own limit, instead of that of the settings.")]


@commands.command("create", cls=Command)
@with_deployment
def create_(  # noqa: PLR0913, PLR0917  # an option each
    deployment: "Deployment",
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for people. Several keys may share it.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key may do. Repeat the option for several scopes.")],
    locker: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|PREFIX*", help="Bind the key to a locker, or to all with a prefix. Repeatable."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Lifetime, such as 90d. By default, the key never expires.")
    ] = None,
    requests_per_second: _Rate = None,
    events_per_second: _Rate = None,
    burst_seconds: Annotated[
        int | None, typer.Option(metavar="N", help="Seconds whose requests and events may come at once.")
    ] = None,
) -> None:
    """Create a key, and print it. This is the only time that it is shown: only its SHA-256 is kept."""
    request = KeyRequest(
        name=name,
        scopes=scope,
        lockers=locker or (),
        expires_seconds=None if expires is None else seconds_of("--expires", expires),
        requests_per_second=requests_per_second,
        events_per_second=events_per_second,
        burst_seconds=burst_seconds,
    )
    require_standard_output()
    now = present_time()
    with closing(deployment.key_store()) as store:
        made = store.change(lambda keys: create(keys, request, _operator(), now))
    _print_new(made, store.name, "was created")
    _warn_about_missing_log(deployment)


@commands.command("list", cls=Command)
@with_deployment
def list_(deployment: "Deployment", form: FormatOption = Format.TABLE) -> None:
    """List all keys, also those that were revoked or have expired. Their secrets are stored nowhere."""
    from lockstream.schemas.keys import KeyItem  # noqa: PLC0415

    items, names = _items(deployment), KeyItem.__struct_fields__
    with standard_output() as output:
        if form is Format.TABLE:
            output.write(table(items, names, LEFT_OUT))
        else:
            output.writelines(encode_pages([items], names, form))
    if not items:
        with closing(deployment.key_store()) as store:
            info(
                f"There is no key in {store.name}. Requests need no key until `lockstream keys create` makes the "
                "first one."
            )
        _warn_about_missing_log(deployment)


@commands.command(cls=Command)
@with_deployment
def show(deployment: "Deployment", key_id: _KeyId) -> None:
    """Show everything that is kept about one key."""
    from msgspec.structs import asdict  # noqa: PLC0415

    from lockstream.schemas.listings import plain_value  # noqa: PLC0415

    found = [item for item in _items(deployment) if item.key_id == key_id]
    if not found:
        raise UnknownKey(key_id)
    members = {name: value for name, value in asdict(found[0]).items() if value not in (None, [])}
    width = max(map(len, members))
    with standard_output() as output:
        for name, value in members.items():
            output.write(f"{name.ljust(width)}  {printable(str(plain_value(value)))}\n".encode())


@commands.command("revoke", cls=Command)
@with_deployment
def revoke_(deployment: "Deployment", key_id: _KeyId) -> None:
    """Revoke a key. Within a second no server accepts it, and its open streams end."""
    now = present_time()
    with closing(deployment.key_store()) as store:
        changed = store.change(lambda keys: revoke(keys, key_id, _operator(), now))
    info(f"The key {key_id} ({printable(changed.key.name)}) is revoked.")


@commands.command("rotate", cls=Command)
@with_deployment
def rotate_(
    deployment: "Deployment",
    key_id: _KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="Time for which the old key is accepted as well, such as 24h or 0s.")
    ] = "24h",
) -> None:
    """Create a key in the place of another one, which is revoked after the overlap, and print the new key.

    The new key has the name, scopes, lockers and limits of the old key, and its lifetime, counted from now.
    """
    seconds = seconds_of("--overlap", overlap)
    require_standard_output()
    now = present_time()
    with closing(deployment.key_store()) as store:
        made = store.change(lambda keys: rotate(keys, key_id, seconds, _operator(), now))
    _print_new(made, store.name, f"replaces {key_id}, which is accepted for another {overlap},")
    _warn_about_missing_log(deployment)


def _items(deployment: "Deployment") -> "list[KeyItem]":
    from lockstream.schemas.keys import KeyItem  # noqa: PLC0415

    now = present_time()
    with closing(deployment.key_store()) as store:
        keys: list[Key] = sorted(store.keys().values(), key=lambda key: key.created_at)
        used = store.last_used()
    return [KeyItem.of(key, used.get(key.key_id), now) for key in keys]


def _print_new(made: NewKey, store_name: str, done: str) -> None:
    """Print the text of a new key on standard output, and all sentences about the key on standard error.

    Raises:
        OutputFailed: the text cannot be printed. The key exists.
    """
    key = made.key
    with standard_output() as output:
        try:
            output.write(made.text.encode() + b"\n")
            output.flush()
        except OSError as error:
            raise OutputFailed(
                f"The key {key.key_id} was created, but its text could not be printed ({error.strerror}), and cannot "
                f"be shown again. Run `lockstream keys rotate {key.key_id} --overlap 0s` for another key in its place, "
                f"or `lockstream keys revoke {key.key_id}`."
            ) from error
    lockers = f"the lockers {' '.join(key.lockers)}" if key.lockers else "all lockers"
    info(f"The key {key.key_id} ({printable(key.name)}) {done} with {' '.join(key.scopes)}, for {lockers}.")
    info(f"It is kept in {store_name}.")
    info("Keep it now: it cannot be shown again. Send it with each request, as `Authorization: Bearer lsk_…`; commands")
    info("such as `lockstream follow` read it from LOCKSTREAM_API_KEY.")


def _warn_about_missing_log(deployment: "Deployment") -> None:
    """Warn that the keys may be in a wrong folder, if the log beside them does not exist."""
    if log := deployment.missing_log:
        info(f"There is no log at {log} yet. A server whose log is elsewhere does not know the keys here.")


def _operator() -> Operator:
    """Return the user who runs the command."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # the system has no name for the user id
        user = "unknown user"
    return Operator(f"the command line ({printable(user)})")
