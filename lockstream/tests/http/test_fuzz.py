"""Requests made up from the contract, good ones and bad ones: each answer must be one that the contract declares.

LOCKSTREAM_TEST_EXAMPLES says how many are made up for each operation, and for each kind of event.
"""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("schemathesis", reason="the development tools are not installed")

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from lockstream.infrastructure.event_codec import IDENTIFIER
from lockstream.main import app
from lockstream.presentation.app import create_app
from lockstream.services.wiring import Settings, open_lockstream
from lockstream.tests.http.conftest import serving

EXAMPLES = int(os.environ.get("LOCKSTREAM_TEST_EXAMPLES", "150"))

NAMES = "a", "b", "Paketbox 3"
"""So few that made-up events meet."""

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


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("fuzz") / "event_log.jsonl"
    with serving(create_app(lambda: open_lockstream(Settings.model_validate({"EVENT_LOG_PATH": log})))) as url:
        yield url


@contract.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_keeps_the_contract(case: Any, base_url: str) -> None:
    case.call_and_validate(
        base_url=base_url,
        excluded_checks=[positive_data_acceptance, negative_data_rejection],
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
