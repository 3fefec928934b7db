"""`lockstream/openapi/asyncapi.yaml`: valid AsyncAPI, as the application declares it, and true of a real stream."""

import json
from collections.abc import Iterator
from itertools import islice
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


def messages_of(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the messages of an operation by name."""
    in_channel = [resolved(one["$ref"])["$ref"] for one in operation["messages"]]
    return {reference.rpartition("/")[2]: resolved(reference) for reference in in_channel}


def blocks_of(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield the blocks of a stream as they arrive: the fields of each, whose values are all JSON."""
    block: dict[str, Any] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            assert name not in block
            block[name] = json.loads(value)
        else:
            yield block
            block = {}


def validate(value: Any, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(
        {**schema, "components": DESCRIPTION["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    ).validate(value)


def validate_block(block: dict[str, Any], message: dict[str, Any]) -> None:
    """Require that a block of the stream has the headers and the data that a message describes, and nothing else."""
    validate({name: value for name, value in block.items() if name != "data"}, message["headers"])
    validate(block.get("data"), message["payload"])


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


def test_the_request_is_described_with_its_headers() -> None:
    request = DESCRIPTION["operations"]["receiveRequest"]
    assert resolved(request["channel"]["$ref"])["address"] == PATH
    assert request["bindings"]["http"]["method"] == "GET"
    [message] = messages_of(request).values()
    declared = app.openapi()["paths"][PATH]["get"]["parameters"]
    headers = {one["name"] for one in declared if one["in"] == "header"}
    assert {"Last-Event-ID", "Lockstream-Log"} <= headers
    assert set(message["headers"]["properties"]) == headers


@pytest.mark.parametrize("name", ["RecordedEvent", "CloudEvent"])
def test_every_block_of_a_stream_is_a_message_that_is_described(log_path: Path, name: str) -> None:
    # given a server with events, and a reader that has read the first one
    messages = messages_of(DESCRIPTION["operations"]["sendEvents"])
    event, cursor = messages[name], messages["Cursor"]
    [request] = messages_of(DESCRIPTION["operations"]["receiveRequest"]).values()
    with Server(log_path).start() as server:
        status, _, _ = server.request(
            "POST", "/events/batch", as_lines(*EVENTS), {"Content-Type": "application/x-ndjson"}
        )
        assert status == 200
        log = json.loads(server.get("/events?after=0")[1])["log"]
        headers = {"Last-Event-ID": "1", "Lockstream-Log": log}
        validate({"Last-Event-ID": 1, "Lockstream-Log": log}, request["headers"])
        # when it opens a stream with the headers that are described
        url = f"http://127.0.0.1:{server.port}{PATH}?after=0"
        with httpx.stream(
            "GET", url, headers={"Accept": event["contentType"], **headers}, timeout=TIMEOUT_SECONDS
        ) as response:
            blocks = blocks_of(response)
            # then the first block is a cursor, with the time after which the client connects again
            first = next(blocks)
            assert first == {"retry": first["retry"], "id": 1}
            validate_block(first, cursor)
            # and each further event is a message, with its position as the cursor
            sent = list(islice(blocks, len(EVENTS) - 1))
            assert [block["id"] for block in sent] == list(range(2, len(EVENTS) + 1))
            for block in sent:
                assert set(block) == {"id", "data"}
                validate_block(block, event)
            # and then a heartbeat is a cursor alone
            heartbeat = next(blocks)
            assert heartbeat == {"id": len(EVENTS)}
            validate_block(heartbeat, cursor)
        # and a heartbeat does not fit the message of an event, nor an event that of a cursor
        for wrong, message in ((heartbeat, event), (sent[-1], cursor)):
            with pytest.raises(jsonschema.ValidationError):
                validate_block(wrong, message)


@pytest.mark.parametrize("name", ["RecordedEvent", "CloudEvent", "Cursor"])
def test_a_block_with_an_unknown_field_is_not_a_message_that_is_described(name: str) -> None:
    message = messages_of(DESCRIPTION["operations"]["sendEvents"])[name]
    validate({"id": 1}, message["headers"])
    for wrong in {"id": 1, "event": "x"}, {"id": -1}, {}, {"id": 1, "retry": 0}:
        with pytest.raises(jsonschema.ValidationError):
            validate(wrong, message["headers"])
