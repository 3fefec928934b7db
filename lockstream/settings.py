"""Every setting, from the environment or from options of the command line.

The bottom layer, beside the core: every other part may import it, and it imports nothing of this package.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "LOCKSTREAM_"

CLIENT_VARIABLES = (f"{PREFIX}API_KEY",)
"""Variables of commands that send requests to a server. They are not settings of a server."""

SCHEMES = ("postgresql+psycopg://", "postgresql://")
"""Schemes of a database URL."""

PATH_PREFIX = r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+"
"""Regular expression of a path prefix: segments of unreserved characters (RFC 3986, section 2.3), not `.` or `..`.

Clients are redirected to a path that begins with the prefix, so it must not lead to another host, as `//host` would.
"""


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


type _List = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


def _share_of(text: str) -> float:
    """Return the share that `on`, `off` or a number stands for. Raises ValueError for any other text."""
    share = {"on": 1.0, "off": 0.0}.get(text)
    share = float(text) if share is None else share
    if not 0 <= share <= 1:
        raise ValueError
    return share


def _require_share(value: Any) -> str:
    text = str(value).lower()
    try:
        _share_of(text)
    except ValueError as error:
        raise PydanticCustomError(
            "share", "The value is neither on nor off, nor a number from 0 to 1 such as 0.01"
        ) from error
    return text


def _setting(default: Any, group: str, *names: str, **limits: Any) -> Any:
    """Return a field of `group` in the help. `names` are its environment variables, if not derived from its name."""
    return Field(
        default=default,
        validation_alias=AliasChoices(*names) if names else None,
        json_schema_extra={"group": group},
        **limits,
    )


LOG, ADDRESS, ACCESS, CLIENTS, CONSOLE, LIMITS, QUARANTINE, OPERATION = (
    "The log",
    "Address",
    "Access",
    "Browsers and proxies",
    "Console",
    "Limits",
    "Quarantine",
    "Operation",
)


class Auth(StrEnum):
    """Whether requests need API keys."""

    ON = "on"
    OFF = "off"


class Settings(BaseSettings):
    """All settings, validated.

    Raises:
        pydantic.ValidationError: a value is not valid.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        use_attribute_docstrings=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # a database URL contains a password, and a traceback may end up in a log
    )

    event_log_path: Path = _setting(Path("event_log.jsonl"), LOG, "EVENT_LOG_PATH")
    """The log file, in an existing folder; not with `DATABASE_URL`. The projection is beside it, under its name."""

    database_url: SecretStr | None = _setting(None, LOG, "DATABASE_URL")
    """`postgresql+psycopg://USER:PASSWORD@HOST/NAME`: keep log and projection there, for any number of nodes."""

    read_url: SecretStr | None = _setting(None, LOG)
    """A read replica of the database, such as a standby. All reads go there, and may lag behind."""

    auto_migrate: bool | None = _setting(None, LOG)
    """`true`: a start upgrades old tables of a database. `false`: it creates none. Not set: it creates missing ones."""

    host: str = _setting("127.0.0.1", ADDRESS)
    """The IPv4 or IPv6 address to listen on. Without API keys, a server starts on a loopback address only."""

    port: int = _setting(8000, ADDRESS, ge=0, le=65535)
    """The TCP port to listen on; 0 takes any free port."""

    unix_socket: Path | None = _setting(None, ADDRESS)
    """A Unix socket to listen on instead of address and port, such as `/run/lockstream.sock`."""

    tls_cert: Path | None = _setting(None, ADDRESS)
    """A PEM file with the server's certificate and its chain: listen with TLS. SIGHUP loads a renewed certificate."""

    tls_key: Path | None = _setting(None, ADDRESS)
    """A PEM file with the private key of the certificate, not encrypted."""

    auth: Annotated[Auth, BeforeValidator(str.lower)] = _setting(Auth.ON, ACCESS)
    """`on`: each request needs an API key, once there is one. `off`: no key is checked, on any address."""

    open_docs: bool = _setting(False, ACCESS)
    """`true`: `/docs` and `/openapi.json` need no API key."""

    root_path: str | None = _setting(None, CLIENTS)
    """The path under which a proxy serves Lockstream, such as `/lockstream`."""

    trusted_proxies: _List = _setting((), CLIENTS)
    """Proxies with trusted `X-Forwarded-*` headers, separated by commas: addresses, networks or `unix` (a socket)."""

    cors_origins: _List = _setting((), CLIENTS)
    """Origins of browser applications that may call the API, separated by commas, such as `https://ops.example`."""

    console: bool = _setting(True, CONSOLE)
    """`false`: the server has no console at `/console`."""

    console_name: str = _setting("Lockstream", CONSOLE, max_length=40)
    """Name of this installation on each page of the console, up to 40 characters, such as `Production, Berlin`."""

    console_colour: str | None = _setting(None, CONSOLE)
    """The colour of this installation, such as `#b3261e`, so that nobody takes one installation for another."""

    max_event_bytes: int = _setting(64 * 1024, LIMITS, ge=1024)
    """Largest event, in bytes. A larger one gets 413, and 422 for its item in a batch."""

    max_batch_bytes: int = _setting(16 * 1024 * 1024, LIMITS, ge=1024)
    """Largest body of a batch, in bytes after decompression. A larger one gets 413."""

    max_header_bytes: int = _setting(32 * 1024, LIMITS, ge=1024)
    """Largest path and headers of a request together, in bytes. Larger ones get 431."""

    header_seconds: int = _setting(20, LIMITS, ge=1)
    """Seconds for the headers of a request to arrive, then 408. A connection that sends nothing is closed."""

    body_seconds: int = _setting(30, LIMITS, ge=1)
    """Seconds for each 16 KiB of a body to arrive, then 408. A client has as long to read its response."""

    queue_limit: int = _setting(20_000, LIMITS, ge=1)
    """Most events that wait for their acknowledgement. Further ones get 503."""

    stream_limit: int = _setting(1_000, LIMITS, ge=0)
    """Most streams of the feed that are open at a time, of one key at most half of them. Further ones get 503."""

    requests_per_second: float | None = _setting(None, LIMITS, ge=0.001, allow_inf_nan=False)
    """Most requests a second of each key that has no limit of its own; then 429. Not set: no limit."""

    events_per_second: float | None = _setting(None, LIMITS, ge=0.001, allow_inf_nan=False)
    """Most events a second of each key that has no limit of its own; then 429. Not set: no limit."""

    burst_seconds: int = _setting(10, LIMITS, ge=1, le=86_400)
    """Size of a burst: a key may send as many requests and events at once as its limits allow in these seconds."""

    batch_limit: int = _setting(250, LIMITS, ge=1)
    """Most events that are decided together before other requests are served; for a log in a file."""

    quarantine: bool = _setting(True, QUARANTINE)
    """`false`: events that are not accepted are not kept aside."""

    quarantine_entries: int = _setting(50_000, QUARANTINE, ge=1)
    """Most entries of the quarantine. If there are more, the address with the most bytes loses its oldest entry."""

    quarantine_bytes: int = _setting(64 * 1024 * 1024, QUARANTINE, ge=1024)
    """Largest size of all entries, in bytes: each counts its body and 300 bytes. All entries are in memory as well."""

    quarantine_days: int = _setting(30, QUARANTINE, ge=1, le=36_500)
    """Days after its last arrival until an event leaves the quarantine."""

    row_cache_rows: int = _setting(200_000, OPERATION, f"{PREFIX}ROW_CACHE_ROWS", f"{PREFIX}WORKING_SET_ROWS", ge=1)
    """Rows of the projection that are kept in memory, some 400 bytes each; for a log in a file."""

    audit_bytes: int = _setting(64 * 1024 * 1024, OPERATION, ge=16 * 1024)
    """Largest size of the refused requests in the audit log, in bytes; as much again for changes of keys."""

    min_free_bytes: int = _setting(
        100 * 1024 * 1024, OPERATION, f"{PREFIX}MIN_FREE_BYTES", f"{PREFIX}DISK_FLOOR_BYTES", ge=0
    )
    """Free space that the disk of a log file must have for an event to be accepted, in bytes."""

    metrics_port: int | None = _setting(None, OPERATION, ge=0, le=65535)
    """A TCP port that serves `/metrics` alone, by plain HTTP and without an API key. Not set: there is no such port."""

    metrics_host: str = _setting("127.0.0.1", OPERATION)
    """The address of the metrics port. Its clients see how busy the network is, but no ids."""

    overdue_days: float = _setting(3.0, OPERATION, gt=0, le=36_500, allow_inf_nan=False)
    """Days after its deposit from which a parcel counts as overdue."""

    silent_minutes: int = _setting(60, OPERATION, ge=1, le=1_000_000)
    """Fewest minutes without an event for a locker to be silent. The pause must also be unusual for that locker."""

    gone_days: int = _setting(30, OPERATION, ge=1, le=36_500)
    """Days after which a silent locker counts as gone, and no longer as silent."""

    stop_seconds: int = _setting(5, OPERATION, ge=1)
    """Seconds for open requests to finish after SIGTERM."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = _setting(
        "info", OPERATION
    )
    """Lowest level that is logged to standard error: `debug`, `info`, `warning` or `error`."""

    log_format: Annotated[Literal["text", "json"], BeforeValidator(str.lower)] = _setting("text", OPERATION)
    """`text`: the server log has lines for people. `json`: each line is a JSON object, for programs."""

    access_log: Annotated[str, BeforeValidator(_require_share)] = _setting("off", OPERATION)
    """Share of requests to log: `off`, `on` or a number such as `0.01`. Unless off, failed requests are logged, too."""

    traces: Annotated[Literal["on", "off"], BeforeValidator(str.lower)] = _setting("off", OPERATION)
    """`on`: send OpenTelemetry traces, as the variables `OTEL_*` say. Needs the packages of the extra `otel`."""

    @property
    def access_log_share(self) -> float:
        """The share of requests that are logged, from 0 to 1."""
        return _share_of(self.access_log)

    @field_validator("database_url", "read_url")
    @classmethod
    def _postgresql_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(SCHEMES):
            raise PydanticCustomError(
                "scheme",
                "The value is not the URL of a PostgreSQL database, such as "
                "postgresql+psycopg://USER:PASSWORD@HOST/NAME. Leave it out if there is no such database",
            )
        return value

    @field_validator("root_path")
    @classmethod
    def _path_prefix(cls, value: str | None) -> str | None:
        prefix = value and value.rstrip("/")
        if value and value != "/" and not (prefix and re.fullmatch(PATH_PREFIX, prefix)):
            raise PydanticCustomError(
                "root_path",
                "The value is not a path that begins with /, such as /lockstream. Use letters, digits and -._~ only",
            )
        return prefix

    @field_validator("console_colour")
    @classmethod
    def _colour(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("#[0-9A-Fa-f]{6}", value.strip()):
            raise PydanticCustomError(
                "colour",
                "{colour} is not a colour. Give # and six hexadecimal digits, such as #b3261e",
                {"colour": repr(value)},
            )
        return value and value.strip().lower()

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in set(value) - {"unix"}:
            try:
                ip_network(network)
            except ValueError as error:
                raise PydanticCustomError(
                    "network", "{reason}. Give addresses or networks such as 10.0.0.0/8", {"reason": str(error)}
                ) from error
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != "*" and (not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}"):
                raise PydanticCustomError(
                    "origin",
                    "{origin} is not an origin. Give scheme, host and port only, such as https://ops.example",
                    {"origin": repr(origin)},
                )
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        """Refuse an empty value: most often it comes from a variable that was never filled in."""
        if isinstance(value, str) and not value.strip():
            raise PydanticCustomError("empty", "The value is empty. Give one, or leave the setting out")
        return value


def environment_variable(name: str, field: FieldInfo) -> str:
    """Return the environment variable of the setting `name`."""
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{PREFIX}{name}".upper()


def environment_names() -> dict[str, str]:
    """Return the environment variable of each setting, by the setting's name."""
    return {name: environment_variable(name, field) for name, field in Settings.model_fields.items()}


def renamed_settings(variables: Iterable[str]) -> dict[str, str]:
    """Return those of `variables` that are former names of settings, with their present names."""
    former: dict[str, str] = {}
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            newest, *older = map(str, field.validation_alias.choices)
            former |= dict.fromkeys(older, newest)
    return {name: former[name.upper()] for name in sorted(variables) if name.upper() in former}


def unknown_settings(variables: Iterable[str]) -> dict[str, str | None]:
    """Return those of `variables` that begin with `LOCKSTREAM_` but are not settings, with the closest setting if any.

    Names are compared without that prefix, which would make each of them similar to every other.
    """
    variables = list(variables)
    settings = {name.removeprefix(PREFIX): name for name in environment_names().values()}
    known = {*settings.values(), *CLIENT_VARIABLES, *renamed_settings(name.upper() for name in variables)}
    unknown = [name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in known]
    return {name: _closest(name.upper().removeprefix(PREFIX), settings) for name in sorted(unknown)}


def _closest(name: str, settings: dict[str, str]) -> str | None:
    return next((settings[close] for close in get_close_matches(name, settings, n=1)), None)
