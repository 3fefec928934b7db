"""The committed contract, and whether an answer keeps it."""

import re
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

import yaml
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

CONTRACT: dict[str, Any] = yaml.safe_load(files("lockstream.openapi").joinpath("openapi.yaml").read_text("utf-8"))

_URI = "urn:lockstream:contract"
_REGISTRY: Registry[Any] = Registry().with_resource(_URI, DRAFT202012.create_resource(CONTRACT))
_PATHS = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in CONTRACT["paths"]}


class Answer(Protocol):
    """What a response of httpx and one of Starlette's test client have in common."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    @property
    def request(self) -> Any: ...
    def json(self) -> Any: ...


def keeps_contract(answer: Answer) -> None:
    """Hold `answer` to what the contract declares for its request: status, content type, headers and body.

    A path or method that the contract does not know is to be refused, but for the documentation.
    """
    method, path = answer.request.method.lower(), answer.request.url.raw_path.decode().partition("?")[0]
    known = next((known for known, form in _PATHS.items() if form.fullmatch(path)), None)
    if known is None:
        assert answer.status_code in (404, 405) or path.startswith(("/docs", "/openapi.json"))
        return
    operations = CONTRACT["paths"][known]
    if method == "head" and known.startswith("/health/"):  # as GET, of which alone the contract speaks
        assert str(answer.status_code) in operations["get"]["responses"]
        return
    if method not in operations:
        assert answer.status_code == 405
        assert answer.headers["allow"].lower().split(", ") == list(operations)
        return
    status = str(answer.status_code)
    declared = operations[method]["responses"].get(status)
    assert declared, f"{method} {path} answers {status}, which the contract does not declare"
    assert answer.headers["content-type"] == "application/json"
    answer_validator(known, method, status).validate(answer.json())
    for name, header in declared.get("headers", {}).items():
        assert name in answer.headers or not header.get("required"), f"{status} lacks {name}"


@cache
def answer_validator(path: str, method: str, status: str) -> Validator:
    """What holds a body to the schema that the contract declares for it."""
    place = "paths", path, method, "responses", status, "content", "application/json", "schema"
    pointer = "/".join(step.replace("/", "~1") for step in place)
    return Draft202012Validator(
        {"$ref": f"{_URI}#/{pointer}"}, registry=_REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
