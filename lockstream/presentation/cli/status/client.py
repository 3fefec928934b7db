"""The client that reads the state of a server."""

import http.client
from typing import NamedTuple

import msgspec

from lockstream.core.errors import StatusUnknown
from lockstream.core.wording import printable
from lockstream.presentation.cli.follow import unexpected_response
from lockstream.presentation.cli.status.answers import Status
from lockstream.simulator.client import access_refusal, connection_to, key_headers, reason_of

TIMEOUT_SECONDS = 10
"""Timeout of a response."""


class _Text(msgspec.Struct, frozen=True):
    """The body of a refusal."""

    detail: str


class Answer(NamedTuple):
    """The state of a server, and the response body from which it was decoded."""

    status: Status
    content: bytes


def ask(url: str) -> Answer:
    """Return the state of the server at `url`. Each call opens a new connection, so a restart causes no failure.

    Raises:
        StatusUnknown: the server cannot be reached, refuses the request, or is not Lockstream.
    """
    try:
        connection, path = connection_to(url, TIMEOUT_SECONDS)
        headers = {"Accept": "application/json", **key_headers()}
    except ValueError as error:
        raise StatusUnknown(str(error)) from error
    try:
        connection.request("GET", f"{path}/system", headers=headers)
        response = connection.getresponse()
        status, content = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise StatusUnknown(
            f"{url} cannot be reached ({printable(reason_of(error))}). Start a server there, or name another one."
        ) from error
    finally:
        connection.close()
    if refusal := access_refusal(url, status, content):
        raise StatusUnknown(printable(refusal))
    try:
        if status == http.client.SERVICE_UNAVAILABLE:  # the server starts or stops
            raise StatusUnknown(printable(f"{url} answered 503: {msgspec.json.decode(content, type=_Text).detail}"))
        if status == http.client.OK:
            return Answer(msgspec.json.decode(content, type=Status), content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StatusUnknown(unexpected_response(url, status, content)) from error
    raise StatusUnknown(unexpected_response(url, status, content))
