"""Request bodies that are a JSON object with known members."""

from codecs import BOM_UTF8
from typing import Any

import msgspec
from fastapi import Request
from msgspec import Struct

from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.bodies import Body
from lockstream.presentation.http.errors import (
    HEADERS_TOO_LARGE,
    INTERNAL,
    TOO_SLOW,
    UNSUPPORTED,
    UnsupportedMediaType,
)
from lockstream.presentation.http.media_types import JSON
from lockstream.presentation.http.routes.shared.reads import Responses
from lockstream.schemas.events import malformed
from lockstream.schemas.responses import ErrorBody, MalformedBodyErrors


def responses_with_body(unavailable: dict[str, Any], wrong: str) -> Responses:
    """Declare the failures of an operation with a JSON body. `wrong` is the other meaning of 422, in words."""
    return {
        408: TOO_SLOW,
        413: {"model": ErrorBody, "description": "The body is too large."},
        415: UNSUPPORTED,
        422: {
            "model": MalformedBodyErrors | ErrorBody,
            "description": f"The body is malformed (`detail` is a list), or {wrong}.",
        },
        431: HEADERS_TOO_LARGE,
        500: INTERNAL,
        503: unavailable,
    }


async def decoded_body[RequestT: Struct](
    request: Request, request_class: type[RequestT], *, is_optional: bool = False
) -> RequestT:
    """Return the body of a request.

    Raises:
        MalformedBody: the body does not have the form of `request_class`.
        UnsupportedMediaType: the body is not JSON.
    """
    body = Body(request, lockstream_of(request).settings.max_event_bytes, "LOCKSTREAM_MAX_EVENT_BYTES")
    text = (await body.read()).removeprefix(BOM_UTF8)
    if body.media_type != JSON:
        raise UnsupportedMediaType(request, JSON)
    try:
        return msgspec.json.decode(text or b"{}" if is_optional else text, type=request_class)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise malformed("value_error", f"The body is not as the contract describes it: {error}.") from error
