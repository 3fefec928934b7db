"""Malformed bodies of reported events are noted in the quarantine."""

from starlette.requests import Request

from lockstream.presentation.http.proxies import remote_address
from lockstream.schemas.events import MalformedBody
from lockstream.services.running.lockstream import Lockstream


def noted(request: Request, error: MalformedBody, body: bytes) -> MalformedBody:
    """Note a malformed body, or as much of it as was read, and return its error."""
    lockstream: Lockstream = request.app.lockstream
    first = error.errors[0]
    lockstream.note_malformed(first["type"], first["msg"], body, remote_address(request.scope))
    return error
