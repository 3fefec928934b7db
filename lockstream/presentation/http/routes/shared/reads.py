"""The shared part of all reads: their declaration, and the response of a read of one subject, now or in the past."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from msgspec import Struct
from msgspec.json import decode
from pydantic import BaseModel

from lockstream.core.entities.subjects import Subject, absence, can_exist
from lockstream.core.ports import Listings, ReadResult, Reads, SubjectReads
from lockstream.core.use_cases.time_travel import PastReads
from lockstream.presentation.http.access.views import lockstream_of
from lockstream.presentation.http.entity_tags import is_known, tag_of
from lockstream.presentation.http.errors import HEADERS_TOO_LARGE, INTERNAL, UNAVAILABLE
from lockstream.presentation.http.json_response import EncodedJson, encoded_headers
from lockstream.presentation.http.media_types import JSON
from lockstream.presentation.http.min_position import MAX_POSITION, MIN_POSITION, POSITION, min_position_of
from lockstream.presentation.http.query_parameters import InvalidQuery, QueryParameters, position_or_instant
from lockstream.schemas.instants import Instant, position_of
from lockstream.schemas.listings import encode_json
from lockstream.schemas.responses import ErrorBody
from lockstream.services.running.group_commit import HasLockerId

type Responses = dict[int | str, dict[str, Any]]
"""Declarations of responses by status."""

_AT = position_or_instant(
    "at",
    "A position in the log, or a time: the response shows the subject as it was then. A time stands for the position "
    "of the last event that was accepted at that time or before. By default, the response shows the present.",
)
AT = QueryParameters(_AT)
"""The query parameters of a read of one subject."""

AT_AND_OTHERS = QueryParameters(_AT, ignores_others=True)
"""The query parameters of the three reads of the first version, which ignore unknown parameters."""


def _responses(position: str, missing: str, wrong: str) -> Responses:
    header = {"description": position, "required": True, "schema": {"type": "integer", "minimum": 0}}
    return {
        200: {"headers": {POSITION: header}},
        404: {
            "model": ErrorBody,
            "description": f"{missing} An unknown path has no position.",
            "headers": {POSITION: header | {"required": False}},
        },
        422: {"model": ErrorBody, "description": wrong},
        431: HEADERS_TOO_LARGE,
        500: INTERNAL,
        503: UNAVAILABLE | {"description": "The acknowledged or demanded state cannot be read now; try again later."},
    }


_REFLECTED = "the response reflects the log up to this position, or further."

RESPONSES = _responses(
    f"T{_REFLECTED[1:]}", "No accepted event has named the subject.", f"{MIN_POSITION} is not a position."
)
"""Declares the responses of a read."""

RESPONSES_AT = _responses(
    f"The position that `at` stands for. Without `at`, {_REFLECTED}",
    "No accepted event has named the subject, or none up to `at`.",
    f"`at` or {MIN_POSITION} is wrong. `detail` names it and the allowed values.",
)
"""Declares the responses of a read of one subject, now or in the past."""

WRONG_QUERY = {"model": ErrorBody, "description": "A query parameter is wrong. `detail` names the allowed values."}
"""Declares a response of 422."""


def responses_without_position(unavailable: dict[str, Any]) -> Responses:
    """Declare the responses of a read without a position in the log, such as a list of the quarantine."""
    return {200: {"headers": {}}, 431: HEADERS_TOO_LARGE, 500: INTERNAL, 503: unavailable}


PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": MIN_POSITION,
            "in": "header",
            "required": False,
            "description": "The position, as in the response to an event, that the read must reflect. The server waits "
            "for it up to a second, then answers 503.",
            "schema": {"type": "integer", "minimum": 0, "maximum": MAX_POSITION},
        }
    ]
}
"""Declares the min position header."""


async def answer_subject[ValueT: HasLockerId](
    request: Request,
    parameters: QueryParameters,
    subject: Subject,
    query: Callable[[SubjectReads], ValueT | None],
    model: Callable[[ValueT], BaseModel | Struct],
    *,
    has_tag: bool = False,
) -> Response:
    """Answer with the `model` of a subject's value, now or as `at` says, or with 404.

    With `has_tag`, the response has an entity tag, and its status is 304 if the client has this state.
    """

    def query_possible(reads: SubjectReads) -> ValueT | None:
        return query(reads) if can_exist(subject) else None

    at = parameters.parse(request)[_AT]
    if at is None:
        value, position = await lockstream_of(request).read(query_possible, min_position_of(request))
    else:
        value, position = await _read_past(request, query_possible, at)
    if value is None:
        return not_found(absence(subject, None if at is None else position), position)
    return _response(request, model(value), position, has_tag=has_tag)


async def answer_read[ValueT: HasLockerId](
    request: Request,
    query: Callable[[Reads], ValueT | None],
    model: Callable[[ValueT], BaseModel | Struct],
    missing: str,
) -> Response:
    """Answer a read of the present with the `model` of its value, or with 404 and the error text `missing`."""
    value, position = await lockstream_of(request).read(query, min_position_of(request))
    if value is None:
        return not_found(missing, position)
    return _response(request, model(value), position)


def not_found(missing: str, position: int) -> Response:
    """Return a response of 404 with the error text `missing`, which holds at `position`."""
    return JSONResponse({"detail": missing}, 404, {POSITION: str(position)})


def parameters_of(parameters: QueryParameters, *headers: dict[str, Any]) -> dict[str, Any]:
    """Declare query parameters, the min position header and other headers."""
    return {"parameters": [*parameters.declarations(), *PARAMETERS["parameters"], *headers]}


def responses_of(
    example: Struct, description: str, more: Responses | None = None, declared: Responses = RESPONSES
) -> Responses:
    """Declare the responses of a read with a body like `example`. `more` adds to `declared`, or replaces some."""
    ok = {
        "description": description,
        "headers": dict(declared[200]["headers"]),
        "content": {
            JSON: {
                "schema": {"$ref": f"#/components/schemas/{type(example).__name__}"},
                "example": decode(encode_json(example)),
            }
        },
    }
    wrong = {
        "model": ErrorBody,
        "description": f"A query parameter or {MIN_POSITION} is wrong. `detail` names it and the allowed values.",
    }
    failures: Responses = {status: declared[status] for status in (431, 500, 503)}
    return {200: ok, **(more or {}), 422: wrong, **failures} | (more or {})


async def _read_past[ValueT](
    request: Request, query: Callable[[SubjectReads], ValueT | None], at: int | Instant
) -> ReadResult[ValueT | None]:
    """Return the value of `query` at the position that `at` stands for, and this position.

    Raises:
        InvalidQuery: the log ends before the position.
    """

    def read(listings: Listings) -> ReadResult[ValueT | None]:
        position = position_of(listings, at)
        if position > listings.position:
            raise InvalidQuery(
                f"The newest position is {listings.position}, and the query parameter at is {position}. Send a "
                f"position up to {listings.position}, or a time with an offset."
            )
        return ReadResult(query(PastReads(listings, position)), position)

    needed = at if isinstance(at, int) else None
    return (await lockstream_of(request).list(read, min_position_of(request), needed)).value


def _response(request: Request, body: BaseModel | Struct, position: int, *, has_tag: bool = False) -> Response:
    text = encode_json(body) if isinstance(body, Struct) else body.model_dump_json().encode()
    headers = {POSITION: str(position)}
    if has_tag:
        headers["ETag"] = tag = tag_of(text)
        if is_known(request, tag):
            return Response(status_code=304, headers=headers)
    return EncodedJson(text, headers=encoded_headers(headers))
