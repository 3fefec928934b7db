"""Media types, and the choice of one that a request accepts (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence

from starlette.requests import Request

from lockstream.core.wording import quoted

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
CLOUD_EVENT, CLOUD_EVENT_BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
EVENT_STREAM = "text/event-stream"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"({_WORD})/({_WORD})")
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_QUOTED = r'"(?:[^"\\]|\\.?)*+(?:"|$)'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})++')
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})++')


class NotAcceptable(Exception):
    """Raised when a request accepts none of the media types that an operation has."""

    def __init__(self, accept: str, available: Sequence[str]) -> None:
        super().__init__(f"Accept is {quoted(accept)}. Send {' or '.join(available)}, or omit Accept.")


def negotiate(request: Request, available: Sequence[str]) -> str:
    """Return the media type of `available` that the request prefers, on a tie the first one.

    Parameters of media types other than `q` are ignored, and so are malformed elements of the header.

    Raises:
        NotAcceptable: the request accepts none of the media types.
    """
    accept = _accept(request)
    ranges = _ranges(accept)
    if not ranges:
        return available[0]
    preferred = max(available, key=lambda media_type: _quality(media_type, ranges))
    if not _quality(preferred, ranges):
        raise NotAcceptable(accept, available)
    return preferred


def accepts_by_name(request: Request, media_type: str) -> bool:
    """Return whether a request accepts a media type by its name, and not only by a range of types."""
    return _ranges(_accept(request)).get(media_type, 0.0) > 0.0


def _accept(request: Request) -> str:
    return ", ".join(request.headers.getlist("accept"))


def _ranges(accept: str) -> dict[str, float]:
    """Return the qualities of the media ranges of an Accept header, by range in lower case."""
    ranges = {}
    for element in _ELEMENT.findall(accept):
        media_range, *parameters = [part.strip().lower() for part in _PART.findall(element)] or [""]
        texts = [text.strip() for name, _, text in (part.partition("=") for part in parameters) if name.strip() == "q"]
        if _RANGE.fullmatch(media_range) and all(map(_QUALITY.fullmatch, texts)):
            ranges[media_range] = float(texts[0]) if texts else 1.0
    return ranges


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    """Return the quality of the most specific range that has a media type, or 0 if no range has it."""
    main_type = media_type.partition("/")[0]
    for media_range in media_type, f"{main_type}/*", "*/*":
        if media_range in ranges:
            return ranges[media_range]
    return 0.0
