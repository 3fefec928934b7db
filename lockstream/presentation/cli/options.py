"""An option for every setting, with the environment as its fallback."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer

from lockstream.settings import LOG, Settings, environment_variable

NAMES = {"event_log_path": "log"}
"""Names of options that are not derived from the setting's name."""

SECRETS = {"database_url", "read_url"}
"""Settings whose value must not be shown."""

type Command = Callable[..., None]


def with_settings(*groups: str) -> Callable[[Command], Command]:
    """Give a command its `settings` argument, made from an option for every setting of `groups`."""

    def add_options(command: Command) -> Command:
        def run(**arguments: Any) -> None:
            given = {name: value for name in fields if (value := arguments.pop(name)) is not None}
            command(settings=Settings(**given), **arguments)

        fields = {name: field for name, field in Settings.model_fields.items() if not groups or _group(field) in groups}
        options = [_option(name, field) for name, field in fields.items()]
        own = [one for name, one in inspect.signature(command).parameters.items() if name != "settings"]
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]  # read by typer
        run.__annotations__ = {one.name: one.annotation for one in [*own, *options]}
        return run

    return add_options


def _option(name: str, field: Any) -> inspect.Parameter:
    default = "not set" if field.default in (None, ()) else field.default
    option = typer.Option(
        f"--{NAMES.get(name, name).replace('_', '-')}",
        help=f"{field.description} [{environment_variable(name, field)}; default: {default}]",
        rich_help_panel=_group(field),
        show_default=False,
        metavar=_metavar(field),
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _group(field: Any) -> str:
    return str(field.json_schema_extra["group"])


def _metavar(field: Any) -> str:
    if field.annotation is int:
        return "N"
    return "true|false" if bool in get_args(field.annotation) else "TEXT"


of_log = with_settings(LOG)
"""For commands that need to know where the log is, and nothing else."""
