"""The header `Lockstream-Log`: the log id of a page of the feed, or of the pages that a reader has read before."""

import re

from starlette.requests import Request

from lockstream.core.entities.feed import LOG_ID_LENGTH
from lockstream.core.wording import quoted

LOG = "Lockstream-Log"

_LOG_ID = re.compile(f"[0-9a-f]{{{LOG_ID_LENGTH}}}")

SCHEMA = {"type": "string", "pattern": f"^{_LOG_ID.pattern}$"}

PARAMETER = {
    "name": LOG,
    "in": "header",
    "required": False,
    "description": "The log that the reader has read before. A server with another log answers 409.",
    "schema": SCHEMA,
}
"""Declares the request header."""


class InvalidLogId(Exception):
    """Raised when the header is present and is not the id of a log."""

    def __init__(self, value: str) -> None:
        super().__init__(
            f"{LOG} is {quoted(value)}, which is not the id of a log. Send the `log` of the page before, or omit it."
        )


def log_id_of(request: Request) -> str | None:
    """Return the id of the log that the reader has read before, or None if the request names none.

    Raises:
        InvalidLogId: the header is present and is not the id of a log.
    """
    given = request.headers.get(LOG)
    if given is not None and not _LOG_ID.fullmatch(given):
        raise InvalidLogId(given)
    return given
