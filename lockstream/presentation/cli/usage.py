"""Classes of commands whose usage errors list the valid names, and whose help shows flags without a type."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

FLAG = ""
"""Placeholder for the value of a flag in the help: empty, because a flag has no value."""


class _NamesOptions:
    """The part that commands and groups share: an error about an unknown option lists all options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)  # type: ignore[misc,no-any-return]  # of TyperCommand or TyperGroup
        except Exception as error:
            _name_options(error, self, ctx)
            raise

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]  # as above
        if option is not None:
            option.metavar = FLAG
        return option


class Command(_NamesOptions, TyperCommand):
    """A command whose error about an unknown option lists all options."""


class CommandGroup(_NamesOptions, TyperGroup):
    """A group of commands. An error about an unknown command lists all commands, and an unknown option all options."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            if hasattr(error, "message"):
                error.message += f" The commands are {', '.join(self.list_commands(ctx))}."
            raise


def _name_options(error: Exception, command: Any, ctx: Any) -> None:
    """Add all options to the error about an unknown option, unless the error already names similar ones.

    No public module of Typer has the class of this error, so its attributes are checked.
    """
    if hasattr(error, "possibilities") and not error.possibilities:
        error.possibilities = [name for option in command.get_params(ctx) for name in option.opts if "--" in name]
