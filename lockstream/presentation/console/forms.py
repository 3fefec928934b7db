"""The body of a form that a browser sends."""

from urllib.parse import parse_qsl

from fastapi import Request

from lockstream.core.errors import LockstreamError

MAX_BYTES = 256 * 1024
"""Largest body of a form, enough for 1,000 selected event ids."""

MAX_FIELDS = 4_000

FORM = "application/x-www-form-urlencoded"

type Form = dict[str, list[str]]
"""The values of each field."""


class MalformedForm(LockstreamError):
    """Raised when a body is not one that a form of the console sends."""

    status = 422


async def form_of(request: Request) -> Form:
    """Return the fields of a form.

    Raises:
        MalformedForm: the body is too large, or of another media type.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise MalformedForm("The request has no form of the console. Open the page again, and send its form.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise MalformedForm(f"The form has more than {MAX_BYTES:,} bytes. Select fewer entries.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise MalformedForm("The form cannot be read. Open the page again, and send its form.") from error
    form: Form = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form
