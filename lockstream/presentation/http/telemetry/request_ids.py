"""Request ids and trace contexts: read from a request, and returned with its response.

`X-Request-ID` has no standard; `traceparent` is W3C Trace Context, section 3.2. If access log and traces are off, only
the form of both headers is checked, and the response to a request without both headers bears neither.
"""

import re
import secrets
from collections.abc import Sequence
from operator import itemgetter

from starlette.types import Message, Scope, Send

from lockstream.core.entities.key_text import id_of_key_in

REQUEST_ID, TRACE_PARENT = "X-Request-ID", "traceparent"

type Headers = Sequence[tuple[bytes, bytes]]

_NAMES = frozenset([REQUEST_ID.lower().encode(), TRACE_PARENT.encode()])
_REQUEST_ID_NAME, _TRACE_PARENT_NAME = REQUEST_ID.lower().encode(), TRACE_PARENT.encode()
_NAME_OF = itemgetter(0)
_KEY = "lockstream.request_id"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_TRACE_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def has_request_id_headers(headers: Headers) -> bool:
    """Return whether a request has a request id or a trace context."""
    return not _NAMES.isdisjoint(map(_NAME_OF, headers))


def request_id_of(scope: Scope) -> tuple[str, bool]:
    """Return the id of a request, and whether this call has created the id.

    The id is the client's, if the request has an id that is well formed and contains no API key.
    """
    if known := scope.get(_KEY):
        return known, False
    given = _only(scope["headers"], _REQUEST_ID_NAME, _REQUEST_ID)
    is_usable = given is not None and not id_of_key_in(given)
    request_id = given if given is not None and is_usable else secrets.token_hex(16)
    scope[_KEY] = request_id
    return request_id, not is_usable


def trace_parent_of(headers: Headers) -> str | None:
    """Return the trace context that a client has sent, or None if it is missing, repeated or malformed."""
    return _only(headers, _TRACE_PARENT_NAME, _TRACE_PARENT)


def send_with_request_id(send: Send, scope: Scope, trace_parent: str | None = None) -> Send:
    """Return a `send` that adds the id of the request, and its trace context if there is one.

    The trace context is that of the client, unless another one is given.
    """
    request_id, _ = request_id_of(scope)
    added = [(_REQUEST_ID_NAME, request_id.encode())]
    if trace_parent := trace_parent or trace_parent_of(scope["headers"]):
        added.append((_TRACE_PARENT_NAME, trace_parent.encode()))

    async def send_identified(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_identified


def _only(headers: Headers, name: bytes, form: re.Pattern[bytes]) -> str | None:
    """Return the value of a header that occurs once and is well formed."""
    values = [value for given, value in headers if given == name]
    return values[0].decode() if len(values) == 1 and form.fullmatch(values[0]) else None
