"""Entity tags (RFC 9110, section 8.8.3): a client that already has a representation gets 304 without a body."""

import re
from hashlib import sha256
from typing import Any

from starlette.requests import Request

ETAG: dict[str, Any] = {
    "description": "Names this state of the subject. Another state has another tag.",
    "required": True,
    "schema": {"type": "string"},
}
"""Declares the header of the response."""

IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of a state that the client has. If the response would show this state, it is 304.",
    "schema": {"type": "string"},
}
"""Declares the header of the request."""

NOT_MODIFIED: dict[str, Any] = {
    "description": "The client has this state.",
    "headers": {"ETag": ETAG},
}
"""Declares the response of 304."""

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def tag_of(body: bytes) -> str:
    """Return the entity tag of a response body: a digest, so equal tags mean equal bodies, even of different logs."""
    return f'"{sha256(body).hexdigest()[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client has the representation with this entity tag, by its If-None-Match headers."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or tag in _TAG.findall(given)
