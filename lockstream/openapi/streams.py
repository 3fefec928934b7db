"""The description of the stream of the feed in AsyncAPI 3, made of the parameters and schemas of the contract."""

import json
from typing import Any

from lockstream.presentation.http.event_stream import RETRY_MILLISECONDS
from lockstream.presentation.http.media_types import CLOUD_EVENT, JSON

PATH = "/events/stream"

_SCHEMAS = "#/components/schemas/"
_MESSAGES = {
    "RecordedEvent": (
        "An accepted event, as its line of the log.",
        "Sent unless `Accept` names `application/cloudevents+json`.",
        JSON,
    ),
    "CloudEvent": (
        "An accepted event, as a CloudEvent 1.0.",
        "Sent if `Accept` names `application/cloudevents+json`.",
        CLOUD_EVENT,
    ),
}
_CURSOR: dict[str, Any] = {
    "description": "The `id` line of the block: everything that the request asks for, up to this position, was sent.",
    "type": "object",
    "properties": {"id": {"type": "integer", "minimum": 0}},
    "required": ["id"],
    "additionalProperties": False,
}
_RETRY = {
    "description": "The `retry` line of the first block: milliseconds until the client connects again.",
    "type": "integer",
    "minimum": RETRY_MILLISECONDS[0],
    "maximum": RETRY_MILLISECONDS[1],
}


def describe_stream(contract: dict[str, Any]) -> dict[str, Any]:
    """Return the AsyncAPI document of the stream that the OpenAPI `contract` declares at `PATH`."""
    operation = contract["paths"][PATH]["get"]
    channel = {"$ref": "#/channels/eventStream"}
    names = [*_MESSAGES, "Cursor"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"{contract['info']['title']}: the stream of accepted events",
            "version": contract["info"]["version"],
            "description": "Server-sent events over HTTP. The request and its other responses are in `openapi.yaml`.",
        },
        "defaultContentType": JSON,
        "servers": {"local": {"host": "127.0.0.1:8000", "protocol": "http"}},
        "channels": {
            "eventStream": {
                "address": PATH,
                "description": operation["description"],
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in ["Request", *names]},
            }
        },
        "operations": {
            "receiveRequest": {
                "action": "receive",
                "channel": channel,
                "summary": "The request of a client, which opens the stream.",
                "messages": [{"$ref": "#/channels/eventStream/messages/Request"}],
                "bindings": {"http": _http_binding(operation["parameters"])},
            },
            "sendEvents": {
                "action": "send",
                "channel": channel,
                "summary": operation["responses"]["200"]["description"],
                "messages": [{"$ref": f"#/channels/eventStream/messages/{name}"} for name in names],
            },
        },
        "components": {
            "messages": {
                "Request": {
                    "title": "A request for the stream, whose headers are those of HTTP.",
                    "headers": {"type": "object", "properties": _parameters(operation["parameters"], "header")},
                    "payload": {"type": "null", "description": "The request has no body."},
                },
                **{
                    name: {
                        "title": title,
                        "summary": condition,
                        "contentType": media_type,
                        "headers": _CURSOR,
                        "payload": {"$ref": f"{_SCHEMAS}{name}"},
                    }
                    for name, (title, condition, media_type) in _MESSAGES.items()
                },
                "Cursor": {
                    "title": "A block without data, which only moves the cursor of the client.",
                    "summary": "The first block of a stream, which also has a `retry` line, and heartbeats.",
                    "headers": _CURSOR | {"properties": _CURSOR["properties"] | {"retry": _RETRY}},
                    "payload": {"type": "null", "description": "The block has no `data` line."},
                },
            },
            "schemas": _schemas(contract["components"]["schemas"], list(_MESSAGES)),
        },
    }


def _http_binding(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the HTTP binding of an operation with the query parameters among those of an OpenAPI operation."""
    query = _parameters(parameters, "query")
    return {"method": "GET", "query": {"type": "object", "properties": query}, "bindingVersion": "0.3.0"}


def _parameters(parameters: list[dict[str, Any]], place: str) -> dict[str, Any]:
    """Return the schemas of those parameters of an OpenAPI operation that are in `place`: `query` or `header`."""
    return {
        parameter["name"]: {**parameter["schema"], "description": parameter["description"]}
        for parameter in parameters
        if parameter["in"] == place
    }


def _schemas(all_schemas: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the schemas of these names, and those that they refer to."""
    found: dict[str, Any] = {}
    while names:
        name = names.pop(0)
        found[name] = all_schemas[name]
        text = json.dumps(found[name])
        names += [other for other in all_schemas if other not in found and f'"{_SCHEMAS}{other}"' in text]
    return found
