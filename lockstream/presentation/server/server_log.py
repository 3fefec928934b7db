"""The server log: messages of the process on standard error, as text for people or as JSON for programs.

The messages of all loggers go to the server log, also those of libraries, and so do uncaught exceptions. An API key in
a message is shortened to its public part.
"""

import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ClassVar, Literal, override

from pythonjsonlogger.json import JsonFormatter

from lockstream.core.entities.key_text import without_keys
from lockstream.core.wording import printable

type LogFormat = Literal["text", "json"]

logger = logging.getLogger(__name__)


def configure_server_log(level: str, log_format: LogFormat = "text") -> None:
    """Write log messages of `level` and above to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # psycopg warns about each lost connection, Lockstream once
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


class TextLines(logging.Formatter):
    """Formats a message as one line, with its traceback below, if any."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)  # else a client could add lines by a newline in a path
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return without_keys(super().format(record))


class JsonLines(JsonFormatter):
    """Formats a message as one JSON object per line, with the fields of `extra=` as members."""

    NAMES: ClassVar[dict[str, str]] = {
        "asctime": "time",
        "levelname": "level",
        "name": "logger",
        "exc_info": "traceback",
    }
    """Names of members that differ from those of Python's log records."""

    LIBRARY_FIELDS: ClassVar[list[str]] = ["color_message", "taskName", "websocket"]
    """Fields that libraries add, and that are useless to an operator."""

    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "event_name", "message"],
            rename_fields=self.NAMES,
            reserved_attrs=[*vars(logging.makeLogRecord({})), *self.LIBRARY_FIELDS],
        )

    @override
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def format(self, record: logging.LogRecord) -> str:
        return without_keys(super().format(record))


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.critical(
        "An exception was not caught, and ends the process.",
        exc_info=(kind, error, trace),
        extra={"event_name": "uncaught_exception"},
    )


def _log_uncaught_in_thread(ended: Any) -> None:
    name = ended.thread.name if ended.thread else "unknown"
    logger.critical(
        "An exception was not caught, and ends the thread %s.",
        name,
        exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback),
        extra={"event_name": "uncaught_exception"},
    )
