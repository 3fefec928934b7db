"""Requests that schemathesis generates from the contract, good and bad ones, and the checks of their responses.

LOCKSTREAM_TEST_EXAMPLES sets how many are generated for each operation.
"""

import json
import re
from typing import Any

import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from lockstream.core.entities.fields import IDENTIFIER, IDENTIFIER_MAX
from lockstream.main import app
from lockstream.presentation.http.min_position import MIN_POSITION
from lockstream.presentation.http.routes.feed import MAX_WAIT_SECONDS
from lockstream.tests.support.budgets import examples

EXAMPLES = examples(75)

NAMES = "a", "b", "Paketbox 3"
"""Identifiers: so few that generated events concern the same subjects."""

UNFORESEEN = (
    "The query parameter after ",
    "The feed needs one start.",
    "The query parameter partition is ",
    "The query parameter sort is 'id', and ",
    "The query parameter compartment_id needs ",
    "The newest position is ",
    *("A key with the scope admin ", "The locker is ", "The name is "),
)
"""Beginnings of the errors of values that are good one by one, or would be in a longer log, or that no schema tells."""

REPLACED_CHECKS = [positive_data_acceptance, negative_data_rejection]


def _without_security(document: dict[str, Any]) -> dict[str, Any]:
    """Return a contract that says nothing of keys: else schemathesis makes up keys, and sends them instead of ours."""
    paths = {
        path: {method: {**operation, "security": []} for method, operation in operations.items()}
        for path, operations in document["paths"].items()
    }
    components = {name: value for name, value in document["components"].items() if name != "securitySchemes"}
    return {**document, "paths": paths, "components": components}


contract = schemathesis.openapi.from_dict(_without_security(app.openapi())).exclude(path="/events/stream")
"""Every operation, except the one whose response has no end."""


@schemathesis.serializer("application/x-ndjson")
def serialize_lines(context: Any, value: Any) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


@contract.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    return _with_few_names(path_parameters) if path_parameters else path_parameters


@contract.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    return _with_few_names(query) if query else query


@contract.hook
def map_body(context: Any, body: Any) -> Any:
    if isinstance(body, list):
        return [map_body(context, item) for item in body]
    return _with_few_names(body) if isinstance(body, dict) else body


def assert_keeps_contract(response: Any, case: Any) -> None:
    """Hold a response to the contract."""
    if response.status_code == 503 and MIN_POSITION in (case.headers or {}):
        # most generated min positions are beyond the end of the log
        case.validate_response(response, excluded_checks=[not_a_server_error, *REPLACED_CHECKS])
        assert "the request demands" in response.json()["detail"]
        return
    case.validate_response(
        response,
        excluded_checks=REPLACED_CHECKS,
        additional_checks=[good_data_is_accepted_or_unresolved, bad_data_is_rejected],
    )


def good_data_is_accepted_or_unresolved(context: Any, response: Any, case: Any) -> bool | None:
    """Like schemathesis's own check, but for a 422 that no schema can foresee.

    One with a code is a well-formed event whose subject is unresolved. The others are page tokens that were made up,
    parameters that exclude or need each other, partitions beyond their number, and positions that the log has not
    reached.
    """
    if response.status_code == 422:
        answer = response.json()
        if "code" in answer or str(answer["detail"]).startswith(UNFORESEEN):
            return None
    return positive_data_acceptance(context, response, case)


def bad_data_is_rejected(context: Any, response: Any, case: Any) -> bool | None:
    """Like schemathesis's own check, but of a batch only the malformed item is rejected."""
    if case.path == "/events/batch":
        if response.status_code == 413:
            return None
        if response.status_code == 200 and "malformed" in {item.get("code") for item in response.json()}:
            return None
    return negative_data_rejection(context, response, case)


def _with_few_names(members: dict[str, Any]) -> dict[str, Any]:
    """Replace each identifier by one of a few. A value that is not an identifier stays wrong."""
    return {name: _replaced(name, value) for name, value in members.items()}


def _replaced(name: str, value: Any) -> Any:
    if name in ("payload", "data") and isinstance(value, dict):
        return _with_few_names(value)
    if name in ("locker_id", "compartment_id", "reservation_id") and isinstance(value, str) and _is_identifier(value):
        return NAMES[len(value) % len(NAMES)]
    if (
        name in ("severity", "limit", "expires_seconds", "overlap_seconds", "burst_seconds")
        and isinstance(value, float)
        and value.is_integer()
    ):
        return int(value)  # 3.0 is an integer by JSON Schema, but not by docs/rules.md, and no schema can say so
    if name == "wait" and isinstance(value, int) and 0 < value <= MAX_WAIT_SECONDS:
        return 1
    return value


def _is_identifier(text: str) -> bool:
    return len(text) <= IDENTIFIER_MAX and re.fullmatch(IDENTIFIER, text) is not None
