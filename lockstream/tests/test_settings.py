"""Settings from the environment: names, former names, misspelled names, and values."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr, ValidationError

from lockstream.core.use_cases.manage_keys import MAX_BURST_SECONDS, MIN_RATE
from lockstream.settings import (
    SCHEMES,
    Settings,
    environment_names,
    renamed_settings,
    unknown_settings,
)

FORMER_NAMES = {
    "LOCKSTREAM_WORKING_SET_ROWS": "LOCKSTREAM_ROW_CACHE_ROWS",
    "LOCKSTREAM_DISK_FLOOR_BYTES": "LOCKSTREAM_MIN_FREE_BYTES",
}

LOWEST = {
    "port": 0,
    "max_event_bytes": 1024,
    "max_batch_bytes": 1024,
    "max_header_bytes": 1024,
    "header_seconds": 1,
    "body_seconds": 1,
    "queue_limit": 1,
    "stream_limit": 0,
    "batch_limit": 1,
    "burst_seconds": 1,
    "quarantine_entries": 1,
    "quarantine_bytes": 1024,
    "quarantine_days": 1,
    "row_cache_rows": 1,
    "audit_bytes": 16 * 1024,
    "min_free_bytes": 0,
    "silent_minutes": 1,
    "gone_days": 1,
    "stop_seconds": 1,
}
"""The lowest value of each setting that is a number."""


def problems(**variables: str) -> list[str]:
    """Return the messages about invalid settings. The variables are in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            Settings()
        except ValidationError as invalid:
            return [error["msg"] for error in invalid.errors()]
    return []


def test_every_setting_has_a_description_a_group_and_a_name_of_its_own() -> None:
    names = environment_names()
    assert names.keys() == Settings.model_fields.keys()
    assert len(set(names.values())) == len(names)
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert isinstance(field.json_schema_extra, dict)
        assert field.json_schema_extra["group"], name


def test_all_names_begin_with_the_prefix_but_the_two_that_are_customary() -> None:
    others = {name for name in environment_names().values() if not name.startswith("LOCKSTREAM_")}
    assert others == {"EVENT_LOG_PATH", "DATABASE_URL"}


def test_settings_without_an_environment_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENT_LOG_PATH")
    settings = Settings()
    for name, field in Settings.model_fields.items():
        assert getattr(settings, name) == field.default, name


def test_names_may_be_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENT_LOG_PATH")
    monkeypatch.setenv("event_log_path", "log.jsonl")
    monkeypatch.setenv("lockstream_port", "80")
    settings = Settings()
    assert (settings.event_log_path, settings.port) == (Path("log.jsonl"), 80)


@pytest.mark.parametrize("name", ["PORT", "HOST", "ROW_CACHE_ROWS", "LOG_LEVEL", "READ_URL"])
def test_a_name_without_the_prefix_is_not_a_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "nonsense")
    assert Settings() == Settings.model_construct(event_log_path=Settings().event_log_path)


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_a_former_name_works_unless_the_present_one_is_set(monkeypatch: pytest.MonkeyPatch, former: str) -> None:
    present = FORMER_NAMES[former]
    [name] = [name for name, variable in environment_names().items() if variable == present]
    monkeypatch.setenv(former, "123")
    assert getattr(Settings(), name) == 123
    monkeypatch.setenv(present, "456")
    assert getattr(Settings(), name) == 456


def test_former_names_are_recognized_in_upper_and_lower_case() -> None:
    assert renamed_settings(["LOCKSTREAM_PORT", "PATH", *FORMER_NAMES]) == FORMER_NAMES
    assert renamed_settings(["lockstream_working_set_rows"]) == {
        "lockstream_working_set_rows": "LOCKSTREAM_ROW_CACHE_ROWS"
    }


@pytest.mark.parametrize(
    ("variable", "closest"),
    [
        ("LOCKSTREAM_PROT", "LOCKSTREAM_PORT"),
        ("LOCKSTREAM_LOGLEVEL", "LOCKSTREAM_LOG_LEVEL"),
        ("LOCKSTREAM_MAX_EVENT_BYTE", "LOCKSTREAM_MAX_EVENT_BYTES"),
        ("LOCKSTREAM_EVENT_LOG_PATH", "EVENT_LOG_PATH"),
        ("LOCKSTREAM_DATABASE_URL", "DATABASE_URL"),
        ("lockstream_hots", "LOCKSTREAM_HOST"),
        ("LOCKSTREAM_Q", None),
        ("LOCKSTREAM_", None),
    ],
)
def test_an_unknown_name_is_found_with_the_closest_setting(variable: str, closest: str | None) -> None:
    assert unknown_settings([variable, "LOCKSTREAM_PORT", "PATH"]) == {variable: closest}


def test_known_and_former_names_are_not_unknown() -> None:
    known = [*environment_names().values(), *FORMER_NAMES]
    assert unknown_settings([*known, *map(str.lower, known)]) == {}


@pytest.mark.parametrize("variable", [*environment_names().values(), *FORMER_NAMES])
@pytest.mark.parametrize("value", ["", " ", "\t"], ids=["nothing", "a blank", "a tab"])
def test_an_empty_value_is_invalid(variable: str, value: str) -> None:
    assert problems(**{variable: value}) == ["The value is empty. Give one, or leave the setting out"]


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("LOCKSTREAM_PORT", "http", "valid integer"),
        ("LOCKSTREAM_PORT", "65536", "less than or equal to 65535"),
        ("LOCKSTREAM_PORT", "-1", "greater than or equal to 0"),
        ("LOCKSTREAM_BATCH_LIMIT", "1.5", "valid integer"),
        ("LOCKSTREAM_AUTO_MIGRATE", "perhaps", "valid boolean"),
        ("LOCKSTREAM_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOCKSTREAM_LOG_FORMAT", "xml", "'text' or 'json'"),
        ("LOCKSTREAM_TRACES", "perhaps", "'on' or 'off'"),
        *(
            ("LOCKSTREAM_ACCESS_LOG", value, "neither on nor off, nor a number from 0 to 1")
            for value in ("all", "1.01", "-0.1", "nan", "inf")
        ),
        ("LOCKSTREAM_ROOT_PATH", "lockstream", "not a path that begins with /"),
        ("LOCKSTREAM_TRUSTED_PROXIES", "10.0.0.0/8,proxy", "'proxy' does not appear to be an IPv4 or IPv6 network"),
        ("LOCKSTREAM_TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.1/8 has host bits set. Give addresses or networks"),
        ("LOCKSTREAM_CORS_ORIGINS", "https://ops.example/", "'https://ops.example/' is not an origin"),
        ("LOCKSTREAM_CORS_ORIGINS", "ops.example", "'ops.example' is not an origin"),
        ("DATABASE_URL", "mysql://host/name", "not the URL of a PostgreSQL database"),
        ("LOCKSTREAM_READ_URL", "host/name", "not the URL of a PostgreSQL database"),
    ],
)
def test_an_invalid_value_is_explained(variable: str, value: str, problem: str) -> None:
    [message] = problems(**{variable: value})
    assert problem in message


@pytest.mark.parametrize(("name", "lowest"), LOWEST.items())
def test_a_number_has_a_lowest_value(name: str, lowest: int) -> None:
    variable = environment_names()[name]
    assert problems(**{variable: str(lowest)}) == []
    assert problems(**{variable: str(lowest - 1)}) == [f"Input should be greater than or equal to {lowest}"]


def test_every_setting_that_is_a_number_has_a_lowest_value() -> None:
    assert LOWEST.keys() == {name for name, field in Settings.model_fields.items() if field.annotation is int}


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("LOCKSTREAM_ROOT_PATH", "/lockstream/", "root_path", "/lockstream"),
        ("LOCKSTREAM_TRUSTED_PROXIES", "10.0.0.0/8, ::1 ,unix", "trusted_proxies", ("10.0.0.0/8", "::1", "unix")),
        ("LOCKSTREAM_CORS_ORIGINS", "*", "cors_origins", ("*",)),
        ("LOCKSTREAM_CORS_ORIGINS", "http://a:80,https://b", "cors_origins", ("http://a:80", "https://b")),
        ("LOCKSTREAM_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("LOCKSTREAM_AUTO_MIGRATE", "TRUE", "auto_migrate", True),
        ("LOCKSTREAM_AUTO_MIGRATE", "0", "auto_migrate", False),
    ],
)
def test_a_value_is_read_in_every_customary_form(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_database_url_is_kept_and_not_shown(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    url = f"{scheme}somebody:correct-horse@host/name"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("LOCKSTREAM_READ_URL", url)
    settings = Settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url
    assert "correct-horse" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize("variable", ["DATABASE_URL", "LOCKSTREAM_READ_URL"])
def test_a_traceback_does_not_show_an_invalid_database_url(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """An ASGI server that loads `lockstream.main` prints the traceback."""
    monkeypatch.setenv(variable, "mysql://somebody:correct-horse@host/name")
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert "correct-horse" not in f"{raised.value} {raised.value!r}"


def test_the_two_urls_are_the_only_secrets() -> None:
    secrets = {name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)}
    assert secrets == {"database_url", "read_url"}


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


@pytest.mark.parametrize(
    ("value", "share"), [("on", 1), ("OFF", 0), ("0.25", 0.25), ("1", 1), ("0", 0), ("1e-3", 0.001)]
)
def test_the_access_log_is_on_off_or_a_share(value: str, share: float) -> None:
    assert Settings(access_log=value).access_log_share == share
    assert Settings().access_log_share == 0


def test_the_limits_of_all_keys_have_the_bounds_of_those_of_one_key() -> None:
    """Settings import nothing of the core, so both name the bounds."""
    lowest, longest = str(MIN_RATE), str(MAX_BURST_SECONDS)
    assert problems(LOCKSTREAM_REQUESTS_PER_SECOND=lowest, LOCKSTREAM_EVENTS_PER_SECOND=lowest) == []
    assert problems(LOCKSTREAM_BURST_SECONDS=longest) == []
    for name in "LOCKSTREAM_REQUESTS_PER_SECOND", "LOCKSTREAM_EVENTS_PER_SECOND":
        assert problems(**{name: str(MIN_RATE / 2)}) == [f"Input should be greater than or equal to {MIN_RATE}"]
    assert problems(LOCKSTREAM_BURST_SECONDS=str(MAX_BURST_SECONDS + 1)) != []
