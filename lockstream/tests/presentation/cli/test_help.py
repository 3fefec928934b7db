"""The help of each command: complete, grouped, and readable on terminals of every width."""

import re

import pytest
from typer.main import get_group

from lockstream.presentation.cli.access.keys import commands as key_commands
from lockstream.presentation.cli.main import commands
from lockstream.presentation.cli.quarantine.commands import commands as quarantine_commands
from lockstream.settings import Settings, environment_names
from lockstream.tests.support.commands import RunCommand

COMMANDS = get_group(commands).commands
QUARANTINE = get_group(quarantine_commands).commands
KEYS = get_group(key_commands).commands
WIDTHS = [80, 100, 200]

PANELS = {
    "simulate": {"Options"},
    "follow": {"Arguments", "Options"},
    "status": {"Arguments", "Options"},
    "demo": {"Options", "Address"},
    "quarantine": {"Options", "Commands"},
    "keys": {"Options", "Commands"},
}
"""Titles in the help of commands that do not work on a log of their user."""


def words(text: str) -> str:
    """Return text without Markdown, frames and line breaks."""
    return " ".join(re.sub("[`│]", " ", text).split())


def panels(output: str) -> dict[str, str]:
    """Return the content of each panel by its title."""
    found = re.findall(r"╭─ ([^─]+) ─+╮\n(.*?)╰─+╯", output, re.DOTALL)
    return {title: words(content) for title, content in found}


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def test_the_help_of_serve_explains_every_setting_in_its_group(run_command: RunCommand, width: int) -> None:
    # when
    result = run_command("serve", "--help")
    # then
    assert result.exit_code == 0
    shown = panels(result.output.decode())
    assert len(environment_names()) == len(Settings.model_fields) > 0
    for name, variable in environment_names().items():
        field = Settings.model_fields[name]
        assert isinstance(field.json_schema_extra, dict)
        panel = shown[str(field.json_schema_extra["group"])]
        default = "not set" if field.default in (None, ()) else field.default
        assert f"[{variable}; default: {default}]" in panel
        # a word that is cut off, such as a long URL, would be missing
        assert [word for word in words(str(field.description)).split() if word not in panel] == []


def test_the_help_shows_the_panels_in_the_order_of_the_settings(run_command: RunCommand, width: int) -> None:
    groups = [field.json_schema_extra for field in Settings.model_fields.values()]
    titles = list(dict.fromkeys(str(group["group"]) for group in groups if isinstance(group, dict)))
    assert list(panels(run_command("serve", "--help").output.decode())) == ["Options", *titles]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_complete_and_fits_the_terminal(
    run_command: RunCommand, width: int, command: str
) -> None:
    # when
    result = run_command(command, "--help")
    # then
    output = result.output.decode()
    assert (result.exit_code, result.errors) == (0, "")
    assert f"Usage: lockstream {command} [OPTIONS]" in output
    assert max(map(len, output.splitlines())) <= width
    assert "…" not in output
    assert "None" not in output
    assert "<bool>" not in output
    assert set(panels(output)) >= PANELS.get(command, {"Options", "The log"})
    assert [
        name for option in COMMANDS[command].params for name in option.opts if "--" in name and name not in output
    ] == []


@pytest.mark.parametrize("command", QUARANTINE)
def test_the_help_of_a_command_about_the_quarantine_is_complete(
    run_command: RunCommand, width: int, command: str
) -> None:
    result = run_command("quarantine", command, "--help")
    output = result.output.decode()
    assert (result.exit_code, result.errors) == (0, "")
    assert f"Usage: lockstream quarantine {command} [OPTIONS]" in output
    assert max(map(len, output.splitlines())) <= width
    assert "…" not in output
    assert "None" not in output
    assert set(panels(output)) == {"Arguments", "Options"}
    names = [name for option in QUARANTINE[command].params for name in option.opts if "--" in name]
    assert [name for name in names if name not in output] == []


@pytest.mark.parametrize("command", KEYS)
def test_the_help_of_a_command_about_keys_is_complete(run_command: RunCommand, width: int, command: str) -> None:
    result = run_command("keys", command, "--help")
    output = result.output.decode()
    assert (result.exit_code, result.errors) == (0, "")
    assert f"Usage: lockstream keys {command} [OPTIONS]" in output
    assert max(map(len, output.splitlines())) <= width
    assert "…" not in output
    assert "None" not in output
    assert set(panels(output)) >= {"Options", "The log"}
    names = [name for option in KEYS[command].params for name in option.opts if "--" in name]
    assert [name for name in names if name not in output] == []


def test_the_help_lists_commands_with_their_first_sentences(run_command: RunCommand, width: int) -> None:
    listed = panels(run_command("--help").output.decode())["Commands"]
    for name, command in COMMANDS.items():
        first_paragraph = str(command.help).partition("\n\n")[0]
        assert f"{name} {words(first_paragraph)}" in listed
