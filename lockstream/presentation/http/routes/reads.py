"""The shared part of all reads: their declaration, and the response of a read of one subject."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from msgspec import Struct
from msgspec.json import decode
from pydantic import BaseModel

from lockstream.core.entities.subjects import Subject, absence, can_exist
from lockstream.core.ports import Reads
from lockstream.presentation.http.errors import HEADERS_TOO_LARGE, INTERNAL, UNAVAILABLE
from lockstream.presentation.http.json_response import EncodedJson, encoded_headers
from lockstream.presentation.http.media_types import JSON
from lockstream.presentation.http.min_position import MAX_POSITION, MIN_POSITION, POSITION, min_position_of
from lockstream.presentation.http.query_parameters import QueryParameters
from lockstream.schemas.listings import encode_json
from lockstream.schemas.responses import ErrorBody
from lockstream.services.running.group_commit import HasLockerId
from lockstream.services.running.lockstream import Lockstream

type Responses = dict[int | str, dict[str, Any]]
"""Declarations of responses by status."""

_POSITION: dict[str, Any] = {
    "description": "The response reflects the log up to this position, or further.",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}

RESPONSES: Responses = {
    200: {"headers": {POSITION: _POSITION}},
    404: {
        "model": ErrorBody,
        "description": "No accepted event has named it. An unknown path has no position.",
        "headers": {POSITION: _POSITION | {"required": False}},
    },
    422: {"model": ErrorBody, "description": f"{MIN_POSITION} is not a position."},
    431: HEADERS_TOO_LARGE,
    500: INTERNAL,
    503: UNAVAILABLE | {"description": "The state that was acknowledged, or demanded, cannot be shown now; try later."},
}
"""Declares the responses of a read."""

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
    subject: Subject,
    query: Callable[[Reads], ValueT | None],
    model: Callable[[ValueT], BaseModel | Struct],
) -> Response:
    """Answer a read of `subject` as `answer_read` does."""
    return await answer_read(
        request, lambda reads: query(reads) if can_exist(subject) else None, model, absence(subject)
    )


async def answer_read[ValueT: HasLockerId](
    request: Request,
    query: Callable[[Reads], ValueT | None],
    model: Callable[[ValueT], BaseModel | Struct],
    missing: str,
) -> Response:
    """Answer a read with the `model` of its value, or with 404 and the sentence `missing`."""
    lockstream: Lockstream = request.app.lockstream
    value, position = await lockstream.read(query, min_position_of(request))
    if value is None:
        return not_found(missing, position)
    body = model(value)
    text = encode_json(body) if isinstance(body, Struct) else body.model_dump_json().encode()
    return EncodedJson(text, headers=encoded_headers({POSITION: str(position)}))


def not_found(missing: str, position: int) -> Response:
    """Return the response of 404 with the sentence `missing`, which is true at `position`."""
    return JSONResponse({"detail": missing}, 404, {POSITION: str(position)})


def parameters_of(parameters: QueryParameters) -> dict[str, Any]:
    """Declare query parameters and the min position header."""
    return {"parameters": [*parameters.declarations(), *PARAMETERS["parameters"]]}


def responses_of(example: Struct, description: str, more: Responses | None = None) -> Responses:
    """Declare the responses of a read, of which `example` is one. `more` adds or replaces some."""
    ok = {
        "description": description,
        "headers": dict(RESPONSES[200]["headers"]),
        "content": {
            JSON: {
                "schema": {"$ref": f"#/components/schemas/{type(example).__name__}"},
                "example": decode(encode_json(example)),
            }
        },
    }
    wrong = {
        "model": ErrorBody,
        "description": f"A query parameter or {MIN_POSITION} is wrong. `detail` names it, and what is allowed.",
    }
    failures: Responses = {status: RESPONSES[status] for status in (431, 500, 503)}
    return {200: ok, **(more or {}), 422: wrong, **failures} | (more or {})
