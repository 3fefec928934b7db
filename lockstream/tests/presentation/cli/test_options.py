"""The settings as options of the commands: which value wins, and how an invalid one is explained."""

from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import SecretStr
from typer.main import get_group

from lockstream.presentation.cli.main import commands
from lockstream.presentation.cli.options import with_settings
from lockstream.settings import LOG, Auth, Settings, environment_names
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.histories import files_beside, history, record

LOG_COMMANDS = ["verify", "rebuild", "migrate", "import", "export", "backup", "repair"]
"""Commands that have only the options about the log, and their own."""

NUMBERS = 2000, 3000
"""Valid values of a setting that counts something: one for the environment and one for the option."""

TEXTS = {
    "event_log_path": ("a.jsonl", "b.jsonl"),
    "database_url": ("postgresql://a/a", "postgresql://b/b"),
    "read_url": ("postgresql://a/a", "postgresql+psycopg://b/b"),
    "auto_migrate": ("true", "false"),
    "quarantine": ("false", "true"),
    "auth": ("OFF", "on"),
    "open_docs": ("true", "false"),
    "host": ("::1", "::"),
    "metrics_host": ("::1", "127.0.0.2"),
    "port": ("1", "65535"),
    "unix_socket": ("a.sock", "b.sock"),
    "tls_cert": ("a.pem", "b.pem"),
    "tls_key": ("a.key", "b.key"),
    "root_path": ("/a", "/b"),
    "trusted_proxies": ("10.0.0.0/8", "unix,::1"),
    "cors_origins": ("https://a.example", "https://b.example, http://b.example:8080"),
    "console": ("false", "true"),
    "console_name": ("North", "South"),
    "console_colour": ("#B3261E", "#00ff00"),
    "audit_bytes": ("20000", "30000"),
    "log_level": ("debug", "error"),
    "log_format": ("JSON", "text"),
    "access_log": ("on", "0.25"),
    "traces": ("on", "off"),
}
"""Valid values of the other settings, as text."""

VALUES: dict[str, tuple[Any, Any]] = {
    **TEXTS,
    "event_log_path": (Path("a.jsonl"), Path("b.jsonl")),
    "database_url": (SecretStr("postgresql://a/a"), SecretStr("postgresql://b/b")),
    "read_url": (SecretStr("postgresql://a/a"), SecretStr("postgresql+psycopg://b/b")),
    "auto_migrate": (True, False),
    "quarantine": (False, True),
    "auth": (Auth.OFF, Auth.ON),
    "open_docs": (True, False),
    "port": (1, 65535),
    "unix_socket": (Path("a.sock"), Path("b.sock")),
    "tls_cert": (Path("a.pem"), Path("b.pem")),
    "tls_key": (Path("a.key"), Path("b.key")),
    "trusted_proxies": (("10.0.0.0/8",), ("unix", "::1")),
    "cors_origins": (("https://a.example",), ("https://b.example", "http://b.example:8080")),
    "console": (False, True),
    "console_colour": ("#b3261e", "#00ff00"),
    "audit_bytes": (20_000, 30_000),
    "log_format": ("json", "text"),
}
"""The values that these texts stand for."""

PASSWORD = "correct-horse"


def option_name(setting: str) -> str:
    return "--log" if setting == "event_log_path" else f"--{setting.replace('_', '-')}"


def settings_given(*arguments: str) -> Settings:
    """Return the settings of a command that is run with `arguments`."""
    found: list[Settings] = []
    application = typer.Typer()

    @application.command()
    @with_settings
    def keep(settings: Settings) -> None:
        found.append(settings)

    application(arguments, standalone_mode=False)
    return found[0]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_option_wins_over_the_environment_and_the_environment_over_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable = environment_names()[name]
    in_environment, in_option = TEXTS.get(name, tuple(map(str, NUMBERS)))
    value_of_environment, value_of_option = VALUES.get(name, NUMBERS)
    # given neither, the default counts
    monkeypatch.delenv(variable, raising=False)
    assert getattr(settings_given(), name) == Settings.model_fields[name].default
    # given an environment variable, it counts
    monkeypatch.setenv(variable, in_environment)
    assert getattr(settings_given(), name) == value_of_environment
    # given an option too, the option counts
    assert getattr(settings_given(option_name(name), in_option), name) == value_of_option


def test_an_option_wins_over_the_former_name_of_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_WORKING_SET_ROWS", "1000")
    assert settings_given().row_cache_rows == 1000
    assert settings_given("--row-cache-rows", "2000").row_cache_rows == 2000


def test_an_option_wins_over_an_invalid_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_PORT", "http")
    assert settings_given("--port", "80").port == 80


def test_serve_has_an_option_for_every_setting() -> None:
    names = {name for option in get_group(commands).commands["serve"].params for name in option.opts}
    assert names == {option_name(setting) for setting in Settings.model_fields}


@pytest.mark.parametrize("command", LOG_COMMANDS)
def test_a_command_about_the_log_has_the_options_that_say_where_the_log_is(command: str) -> None:
    own = {
        "import": {"file", "--report", "--full"},
        "export": {"--from", "--locker", "--full"},
        "backup": {"destination"},
        "repair": {"--yes"},
    }
    of_log = {
        option_name(setting)
        for setting, field in Settings.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["group"] == LOG
    }
    names = {name for option in get_group(commands).commands[command].params for name in option.opts}
    assert of_log == {"--log", "--database-url", "--read-url", "--auto-migrate"}
    assert names == of_log | own.get(command, set())


def test_the_log_option_of_a_command_wins_over_the_environment(log_path: Path, run_command: RunCommand) -> None:
    other = log_path.with_name("other.jsonl")
    record(other, history())
    assert run_command("verify", "--log", other).errors == "OK: 10 events and 1 locker verified.\n"
    assert run_command("verify").exit_code == 1


@pytest.mark.parametrize("command", LOG_COMMANDS)
def test_the_database_option_of_a_command_wins_over_the_log_option(
    log_path: Path, run_command: RunCommand, command: str
) -> None:
    """Nothing listens on the port of this database."""
    # given
    source = log_path.with_name("source.jsonl")
    source.touch()
    record(log_path, history())
    own: dict[str, list[object]] = {"import": [source], "backup": ["copy.jsonl"], "repair": ["--yes"]}
    url = f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/parcels"
    # when
    result = run_command(command, *own.get(command, []), "--log", log_path, "--database-url", url)
    # then
    result.assert_is_error("database")
    assert PASSWORD not in result.errors


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOCKSTREAM_PORT", "http"),
        ("LOCKSTREAM_PORT", "65536"),
        ("LOCKSTREAM_QUEUE_LIMIT", "0"),
        ("LOCKSTREAM_BATCH_LIMIT", "1.5"),
        ("LOCKSTREAM_ROW_CACHE_ROWS", "-1"),
        ("LOCKSTREAM_MAX_EVENT_BYTES", "1"),
        ("LOCKSTREAM_STOP_SECONDS", "soon"),
        ("LOCKSTREAM_LOG_LEVEL", "loud"),
        ("LOCKSTREAM_MAX_HEADER_BYTES", "many"),
        ("LOCKSTREAM_HEADER_SECONDS", "0"),
        ("LOCKSTREAM_BODY_SECONDS", "-5"),
        ("LOCKSTREAM_AUTO_MIGRATE", "perhaps"),
        ("LOCKSTREAM_ROOT_PATH", "lockstream"),
        ("LOCKSTREAM_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("LOCKSTREAM_CORS_ORIGINS", "https://ops.example/path"),
        ("LOCKSTREAM_WORKING_SET_ROWS", "few"),
        ("lockstream_disk_floor_bytes", "-1"),
        *((variable, "") for variable in environment_names().values()),
    ],
)
def test_every_command_names_an_invalid_environment_variable_and_its_value(
    log_path: Path, run_command: RunCommand, variable: str, value: str
) -> None:
    for command in ("serve", "verify", "rebuild", "export", "repair"):
        result = run_command(command, **{variable: value})
        result.assert_is_error(f"lockstream: {variable}: ", f"(the value is {value!r})")
    assert files_beside(log_path) == {}


def test_the_error_says_what_a_number_should_be(run_command: RunCommand) -> None:
    assert run_command("serve", LOCKSTREAM_PORT="http").errors == (
        "lockstream: LOCKSTREAM_PORT: Input should be a valid integer, unable to parse string as an integer (the value "
        "is 'http').\n"
    )


@pytest.mark.parametrize("value", ["", " "], ids=["nothing", "a blank"])
def test_an_invalid_option_is_named_with_its_environment_variable(run_command: RunCommand, value: str) -> None:
    result = run_command("serve", "--port", "http", "--log", value, LOCKSTREAM_QUEUE_LIMIT="none")
    assert result.exit_code == 1
    assert result.errors.splitlines() == [
        f"lockstream: --log (EVENT_LOG_PATH): The value is empty. Give one, or leave the setting out (the value is "
        f"{value!r}).",
        "lockstream: --port (LOCKSTREAM_PORT): Input should be a valid integer, unable to parse string as an integer "
        "(the value is 'http').",
        "lockstream: LOCKSTREAM_QUEUE_LIMIT: Input should be a valid integer, unable to parse string as an integer "
        "(the value is 'none').",
    ]


@pytest.mark.parametrize("variable", ["DATABASE_URL", "LOCKSTREAM_READ_URL"])
def test_an_invalid_database_url_is_not_shown(run_command: RunCommand, variable: str) -> None:
    url = f"mysql://somebody:{PASSWORD}@127.0.0.1/parcels"
    option = {"DATABASE_URL": "--database-url", "LOCKSTREAM_READ_URL": "--read-url"}[variable]
    for result in (run_command("verify", **{variable: url}), run_command("serve", option, url)):
        result.assert_is_error(variable, "not the URL of a PostgreSQL database", "postgresql+psycopg://")
        assert PASSWORD not in result.errors


def test_a_read_replica_without_a_database_is_an_error(run_command: RunCommand) -> None:
    result = run_command("verify", "--read-url", f"postgresql://somebody:{PASSWORD}@127.0.0.1/parcels")
    result.assert_is_error("LOCKSTREAM_READ_URL", "DATABASE_URL")
    assert PASSWORD not in result.errors
