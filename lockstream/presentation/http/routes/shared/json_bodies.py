"""Bodies of requests that are a JSON object of a known form."""

from codecs import BOM_UTF8

import msgspec
from fastapi import Request
from msgspec import Struct

from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.bodies import Body
from lockstream.presentation.http.errors import UnsupportedMediaType
from lockstream.presentation.http.media_types import JSON
from lockstream.schemas.events import malformed


async def decoded_body[RequestT: Struct](
    request: Request, request_class: type[RequestT], *, is_optional: bool = False
) -> RequestT:
    """Return the body of a request.

    Raises:
        MalformedBody: the body is not one of `request_class`.
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
