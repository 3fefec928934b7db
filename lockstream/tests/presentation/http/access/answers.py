"""The statement of an answer: status, headers and body without positions, times, chain values and ids of logs."""

import csv
import json
import re
from io import StringIO
from typing import Any

_HIDDEN_HEADERS = {
    *("lockstream-position", "lockstream-through", "lockstream-log", "etag", "content-length", "date"),
}
_HIDDEN_MEMBERS = {"chain", "lockstreamchain", "log", "lockstreamlog", "next", "through", "head", "sequence"}
_POSITION = re.compile(r"(position|position up to|up to|at is|the log) [0-9a-f,]+\b")
_TIME = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z")
_TOKEN = re.compile(r"after=[^&>]+")

type Statement = tuple[int, dict[str, str], object]


def statement_of(response: Any) -> Statement:
    """Return the statement of an answer."""
    headers = {name: _TOKEN.sub("after=#", value) for name, value in response.headers.items()}
    shown = {name: value for name, value in headers.items() if name not in _HIDDEN_HEADERS}
    return response.status_code, shown, _without_positions(body_of(response))


def body_of(response: Any) -> Any:
    """Return the values of a body: JSON, lines of JSON, or rows of CSV."""
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if "json" in media_type and "ndjson" not in media_type:
        return response.json()
    if "ndjson" in media_type:
        return [json.loads(line) for line in response.text.splitlines()]
    if media_type == "text/csv":
        return list(csv.DictReader(StringIO(response.text, newline="")))
    return response.text


def _without_positions(value: object, name: str = "") -> object:
    if isinstance(value, dict):
        return {key: _without_positions(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_positions(one) for one in value]
    if value is not None and (name in _HIDDEN_MEMBERS or "position" in name):
        return "#"
    if isinstance(value, str):
        return _TIME.sub("#", _POSITION.sub(r"\1 #", value))
    return value
