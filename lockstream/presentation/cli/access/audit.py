"""The command that prints the audit log: audit."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from lockstream.core.entities.keys import AuditAction, AuditQuery
from lockstream.presentation.cli.list_commands import Format, encode_pages, instant, table, utf8
from lockstream.presentation.cli.options import with_deployment
from lockstream.presentation.cli.output import standard_output
from lockstream.presentation.cli.usage import FLAG, Command

if TYPE_CHECKING:
    from lockstream.services.deployment import Deployment

LIMIT = 100

commands = typer.Typer(rich_markup_mode="markdown")


@commands.command(cls=Command)
@with_deployment
def audit(
    deployment: "Deployment",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Most entries that are printed.")] = LIMIT,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Entries about this key, or by it.")] = None,
    action: Annotated[AuditAction | None, typer.Option(help="Entries about this action.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Entries of this time or later: RFC 3339. A sum has its last time."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", metavar=FLAG, help="One object a line.")] = False,
) -> None:
    """Print the audit log, the newest entries first: changes of keys, and refused requests.

    Equal refusals are summed up, one entry a minute at most. `at` is the time of the last one, and the first one may be
    up to a minute before.
    """
    from lockstream.schemas.instants import recorded_text  # noqa: PLC0415
    from lockstream.schemas.keys import AuditItem  # noqa: PLC0415

    query = AuditQuery(None if key is None else utf8("--key", key), action, recorded_text(instant("--since", since)))
    with closing(deployment.key_store()) as store:
        items = [AuditItem.of(one.entry) for one in store.audit(query, None, limit)]
    names = AuditItem.__struct_fields__
    with standard_output() as output:
        if as_json:
            output.writelines(encode_pages([items], names, Format.JSON))
        else:
            output.write(table(items, names))
