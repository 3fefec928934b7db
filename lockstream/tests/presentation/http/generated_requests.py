"""Requests made up from the contract, good ones and bad ones, and what is to be said of their answers.

LOCKSTREAM_TEST_EXAMPLES says how many are made up for each operation, and for each kind of event.
"""

import json
import re
from typing import Any

import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from lockstream.infrastructure.codec.event_json import IDENTIFIER
from lockstream.main import app
from lockstream.presentation.http.min_position import MIN_POSITION
from lockstream.tests.support.budgets import examples

EXAMPLES = examples(150)

NAMES = "a", "b", "Paketbox 3"
"""So few that made-up events meet."""

OURS_INSTEAD = [positive_data_acceptance, negative_data_rejection]

contract = schemathesis.openapi.from_dict(app.openapi())


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


@contract.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    return known(path_parameters) if path_parameters else path_parameters


@contract.hook
def map_body(context: Any, body: Any) -> Any:
    if isinstance(body, list):
        return [map_body(context, item) for item in body]
    return known(body) if isinstance(body, dict) else body


def known(members: dict[str, Any]) -> dict[str, Any]:
    """The same with each identifier replaced by one of few; what is no identifier stays, and stays wrong."""
    return {name: _known(name, value) for name, value in members.items()}


def _known(name: str, value: Any) -> Any:
    if name == "payload" and isinstance(value, dict):
        return known(value)
    if name in ("locker_id", "compartment_id", "reservation_id") and isinstance(value, str) and is_identifier(value):
        return NAMES[len(value) % len(NAMES)]
    if name == "severity" and isinstance(value, float) and value.is_integer():
        return int(value)  # JSON Schema takes 3.0 for an integer; RULES does not, and no schema can say so
    return value


def is_identifier(text: str) -> bool:
    return len(text) <= 128 and re.fullmatch(IDENTIFIER, text) is not None


def assert_keeps_contract(response: Any, case: Any) -> None:
    """Hold an answer to what the contract says of it."""
    if response.status_code == 503 and MIN_POSITION in (case.headers or {}):
        # made-up positions are mostly ahead of the log
        case.validate_response(response, excluded_checks=[not_a_server_error, *OURS_INSTEAD])
        assert "was asked for" in response.json()["detail"]
        return
    case.validate_response(
        response,
        excluded_checks=OURS_INSTEAD,
        additional_checks=[good_data_is_accepted_or_unresolved, bad_data_is_rejected],
    )


def good_data_is_accepted_or_unresolved(context: Any, response: Any, case: Any) -> bool | None:
    """Schemathesis's own check takes each 422 for a rejected form. RULES has a second one: a well-formed event whose
    subject cannot be resolved, which bears a code.
    """
    if response.status_code == 422 and "code" in response.json():
        return None
    return positive_data_acceptance(context, response, case)


def bad_data_is_rejected(context: Any, response: Any, case: Any) -> bool | None:
    """Schemathesis's own check wants the whole request to be rejected. Of a batch, what is malformed is alone."""
    if case.path == "/events/batch":
        if response.status_code == 413:
            return None
        if response.status_code == 200 and "malformed" in {outcome.get("code") for outcome in response.json()}:
            return None
    return negative_data_rejection(context, response, case)
