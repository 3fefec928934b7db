"""`lockstream/openapi/asyncapi.yaml`: valid AsyncAPI, as the application declares it, and true of a real stream."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

yaml = pytest.importorskip("yaml", reason="the development tools are not installed")
jsonschema = pytest.importorskip("jsonschema", reason="the development tools are not installed")
pydantic_asyncapi = pytest.importorskip("pydantic_asyncapi", reason="the development tools are not installed")

from lockstream.main import app  # noqa: E402
from lockstream.openapi.streams import PATH, describe_stream  # noqa: E402
from lockstream.tests.presentation.http.routes.network import DAYS  # noqa: E402
from lockstream.tests.support.builders import as_lines  # noqa: E402
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server  # noqa: E402

DESCRIPTION: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "openapi/asyncapi.yaml").read_text(encoding="utf-8")
)
EVENTS = [body for bodies in DAYS.values() for body in bodies]


def resolved(reference: str) -> Any:
    value: Any = DESCRIPTION
    for step in reference.removeprefix("#/").split("/"):
        value = value[step]
    return value


def references(value: Any) -> list[str]:
    """Return all references in a part of the document."""
    if isinstance(value, list):
        return [found for one in value for found in references(one)]
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for one in value.values() for found in references(one)]
    return []


def test_the_committed_description_is_that_of_the_application() -> None:
    """If this fails, run `make openapi`."""
    assert describe_stream(app.openapi()) == DESCRIPTION


def test_the_description_is_valid_and_has_no_member_that_asyncapi_does_not_know() -> None:
    document = pydantic_asyncapi.AsyncAPI.model_validate(DESCRIPTION)
    known = document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert known == json.loads(json.dumps(DESCRIPTION), parse_int=float)  # the library reads numbers as floats


def test_every_reference_leads_somewhere() -> None:
    found = references(DESCRIPTION)
    assert len(found) > 5
    for reference in found:
        assert resolved(reference)


def test_a_stream_sends_the_messages_that_are_described(log_path: Path) -> None:
    [operation] = DESCRIPTION["operations"].values()
    messages = [resolved(resolved(one["$ref"])["$ref"]) for one in operation["messages"]]
    by_media_type = {one["contentType"]: one for one in messages if "contentType" in one}
    assert set(by_media_type) == {"application/json", "application/cloudevents+json"}
    assert resolved(operation["channel"]["$ref"])["address"] == PATH
    with Server(log_path).start() as server:
        status, _, _ = server.request(
            "POST", "/events/batch", as_lines(*EVENTS), {"Content-Type": "application/x-ndjson"}
        )
        assert status == 200
        for media_type, message in by_media_type.items():
            schema = {**message["payload"], "components": DESCRIPTION["components"]}
            validator = jsonschema.Draft202012Validator(
                schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
            )
            url = f"http://127.0.0.1:{server.port}{PATH}?after=0"
            with httpx.stream("GET", url, headers={"Accept": media_type}, timeout=TIMEOUT_SECONDS) as response:
                lines = response.iter_lines()
                data = [next(line for line in lines if line.startswith("data: ")) for _ in EVENTS]
            for text in data:
                validator.validate(json.loads(text.removeprefix("data: ")))
