"""An option for every setting, with the environment as its fallback."""

import inspect
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic import SecretStr, ValidationError

from lockstream.presentation.cli.output import error
from lockstream.settings import LOG, Settings, environment_names, environment_variable, renamed_settings

if TYPE_CHECKING:
    from lockstream.services.deployment import Deployment

NAMES = {"event_log_path": "log"}
"""Names of options that differ from the names of their settings."""

METAVARS = {int: "N", Path: "PATH", SecretStr: "URL", bool: "BOOL"}
"""Placeholders of values in the help, by type. Other types have TEXT."""

LINE_BREAK = "  \n"
"""A line break in Markdown."""

type CommandFunction = Callable[..., None]


def with_settings(command: CommandFunction) -> CommandFunction:
    """Give a command its `settings` argument, made from an option for every setting."""
    return _with_options(command, "settings", lambda settings: settings, Settings.model_fields)


def with_deployment(command: CommandFunction) -> CommandFunction:
    """Give a command its `deployment` argument, made from the options about the log."""
    return _with_options(
        command,
        "deployment",
        _deployment_of,
        {name: field for name, field in Settings.model_fields.items() if _group(field) == LOG},
    )


def with_address(command: CommandFunction) -> CommandFunction:
    """Give a command its `settings` argument, made from the options about the address to listen on."""
    address = {name: field for name, field in Settings.model_fields.items() if name in ("host", "port")}
    return _with_options(command, "settings", lambda settings: settings, address)


def _with_options(
    command: CommandFunction, argument: str, made_from: Callable[[Settings], object], fields: dict[str, Any]
) -> CommandFunction:
    def run(**arguments: Any) -> None:
        given = {name: value for name in fields if (value := arguments.pop(name)) is not None}
        command(**{argument: made_from(_settings(given))}, **arguments)

    own = [one for name, one in inspect.signature(command).parameters.items() if name != argument]
    options = [_option(name, field) for name, field in fields.items()]
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]  # read by typer
    run.__annotations__ = {one.name: one.annotation for one in [*own, *options]}
    return run


def _deployment_of(settings: Settings) -> "Deployment":
    from lockstream.services.deployment import deployment_of  # noqa: PLC0415  # loads SQLAlchemy, not needed for --help

    return deployment_of(settings)


def _settings(given: dict[str, str]) -> Settings:
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic converts the text of an option
    except ValidationError as invalid:
        for line in _explain(invalid, given):
            error(line)
        raise typer.Exit(1) from invalid


def _explain(invalid: ValidationError, given: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each invalid setting, with its value unless it is secret.

    A setting in `given` came from an option, any other from an environment variable.
    """
    variables = environment_names()
    settings = {variable: name for name, variable in variables.items()}
    for found in invalid.errors():
        place = str(found["loc"][0])
        name = settings.get(place, place)
        origin = f"{_option_name(name)} ({variables[name]})" if name in given else _variable_in_use(variables[name])
        is_secret = SecretStr in get_args(Settings.model_fields[name].annotation)
        value = "" if is_secret and found["input"] else f" (the value is {found['input']!r})"
        yield f"{origin}: {found['msg']}{value}."


def _variable_in_use(variable: str) -> str:
    """Return `variable`, or its former name if the environment has only that one."""
    if variable in map(str.upper, os.environ):
        return variable
    former = renamed_settings(os.environ)
    return next((name for name, present in former.items() if present == variable), variable)


def _option(name: str, field: Any) -> inspect.Parameter:
    default = "not set" if field.default in (None, ()) else field.default
    option = typer.Option(
        _option_name(name),
        help=f"{field.description}{LINE_BREAK}[{environment_variable(name, field)}; default: {default}]",
        rich_help_panel=_group(field),
        show_default=False,
        metavar=_metavar(field),
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _option_name(name: str) -> str:
    return f"--{NAMES.get(name, name).replace('_', '-')}"


def _group(field: Any) -> str:
    return str(field.json_schema_extra["group"])


def _metavar(field: Any) -> str:
    kinds = {field.annotation, *get_args(field.annotation)}
    return next((metavar for kind, metavar in METAVARS.items() if kind in kinds), "TEXT")
