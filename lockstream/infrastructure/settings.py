"""Every setting."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "LOCKSTREAM_"

SCHEMES = ("postgresql+psycopg://", "postgresql://")
"""What `DATABASE_URL` may begin with."""


class Settings(BaseSettings):
    """How Lockstream runs, read from the environment.

    Raises:
        pydantic.ValidationError: a value is not of its kind.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, use_attribute_docstrings=True)

    event_log_path: Path = Field(default=Path("event_log.jsonl"), validation_alias="EVENT_LOG_PATH")
    """The log, in a folder that is there. The projection is kept beside it, in files that begin with its name."""

    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    """`postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`: log and projection are there, and any number of nodes."""

    read_url: SecretStr | None = None
    """A copy of that database that reads go to, such as a standby; what they show may be behind."""

    auto_migrate: bool | None = None
    """Whether a start changes tables of an older version (`true`), or makes none (`false`); else only missing ones."""

    host: str = "127.0.0.1"
    """The address to listen on. There is no authentication: open it only to a network that you trust."""

    port: int = Field(default=8000, ge=0, le=65535)
    """The TCP port to listen on; 0 takes any free one."""

    max_event_bytes: int = Field(default=64 * 1024, ge=1024)
    """The largest event, in bytes; a larger one is answered with 413, in a batch with an item of 422."""

    max_batch_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    """The largest body of a batch, in bytes, inflated if it came compressed; a larger one is answered with 413."""

    max_header_bytes: int = Field(default=32 * 1024, ge=1024)
    """The largest headers of a request, in bytes, with its path; larger ones are answered with 431."""

    header_seconds: int = Field(default=20, ge=1)
    """How long the headers of a request may take to come in; then 408. A connection that sends nothing is closed."""

    body_seconds: int = Field(default=30, ge=1)
    """How long a body, or each 16 KiB of a longer one, may take to come in; then 408. So long an answer waits, too."""

    queue_limit: int = Field(default=20_000, ge=1)
    """How many events may wait to be written; more are answered with 503."""

    batch_limit: int = Field(default=100, ge=1)
    """How many events of several requests are decided in one go at most; others are served before the next ones."""

    working_set_rows: int = Field(default=200_000, ge=1)
    """How many rows of the projection are kept in memory, some 400 bytes each."""

    disk_floor_bytes: int = Field(default=100 * 1024 * 1024, ge=0)
    """How many bytes must be free on the log's disk for an event to be taken in; a log that fills it up has failed."""

    stop_seconds: int = Field(default=5, ge=1)
    """How long open requests may take to finish after SIGTERM."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = "info"
    """What is told on standard error: `debug`, `info`, `warning` or `error`. Requests are not logged."""

    @field_validator("database_url", "read_url")
    @classmethod
    def _of_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(SCHEMES):
            raise PydanticCustomError(
                "scheme",
                "It is no database of PostgreSQL: postgresql+psycopg://USER:PASSWORD@HOST/DATABASE is one. Leave it "
                "out for a log in a file",
            )
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        """An empty value is mostly a variable that was to be filled in: its default would be a surprise."""
        if value == "":
            raise PydanticCustomError("empty", "An empty value is none. Give it one, or leave it out")
        return value


def environment_names() -> dict[str, str]:
    """The environment variable of each setting, by the setting's name."""
    return {
        name: str(field.validation_alias or f"{PREFIX}{name}".upper()) for name, field in Settings.model_fields.items()
    }
