"""The committed contract, and whether a response keeps it."""

import re
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

import yaml
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C if possible: 0.1 s instead of 1 s

CONTRACT: dict[str, Any] = yaml.load(files("lockstream.openapi").joinpath("openapi.yaml").read_text("utf-8"), _LOADER)

_URI = "urn:lockstream:contract"
_REGISTRY: Registry[Any] = Registry().with_resource(_URI, DRAFT202012.create_resource(CONTRACT))
_PATHS = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in CONTRACT["paths"]}


class Response(Protocol):
    """The common part of a response of httpx and one of Starlette's test client."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    @property
    def request(self) -> Any: ...
    @property
    def content(self) -> bytes: ...
    def json(self) -> Any: ...


def assert_keeps_contract(response: Response, prefix: str = "") -> None:
    """Compare status, content type, headers and body with the declarations of the contract for the request.

    HEAD must be answered as GET, without a body. A method or path that the contract does not declare must be refused as
    JSON, except paths of the documentation, or for the lack of a key. `prefix` is the path under which a proxy serves
    the API.
    """
    method, path = response.request.method.lower(), response.request.url.raw_path.decode().partition("?")[0]
    path = path.removeprefix(prefix)
    templates = [template for template, pattern in _PATHS.items() if pattern.fullmatch(path)]
    template = path if path in templates else next(iter(templates), None)
    operations = CONTRACT["paths"][template] if template else {}
    declared_method = "get" if method == "head" and "get" in operations else method
    if template is not None and declared_method in operations:
        _assert_declared(response, template, declared_method)
    elif response.status_code in (401, 403):  # any other path or method needs a key as well, if there are keys
        assert "www-authenticate" in response.headers
    elif template is not None:
        assert response.status_code == 405
        allowed = [*operations, *(["head"] if "get" in operations else [])]
        assert response.headers["allow"].lower().split(", ") == allowed
    elif path not in ("", "/") and not path.startswith(("/docs", "/openapi.json")):
        assert response.status_code in (404, 405)
    if method == "head":
        assert response.content == b""
    elif response.status_code in (404, 405):
        assert response.headers["content-type"] == "application/json"
        assert isinstance(response.json()["detail"], str)


def _assert_declared(response: Response, template: str, method: str) -> None:
    status = str(response.status_code)
    declared = CONTRACT["paths"][template][method]["responses"].get(status)
    assert declared, f"{method} {template} answers {status}, which the contract does not declare"
    if "content" in declared:
        _assert_body_declared(response, template, method, declared["content"])
    else:
        assert response.content == b""
    for name, header in declared.get("headers", {}).items():
        assert name in response.headers or not header.get("required"), f"{status} lacks {name}"


def _assert_body_declared(response: Response, template: str, method: str, content: dict[str, Any]) -> None:
    media_type = response.headers["content-type"]
    assert media_type.partition(";")[0] in content
    if not media_type.endswith("json") or media_type == "application/x-ndjson":
        assert media_type in (
            *("text/csv; charset=utf-8", "text/event-stream; charset=utf-8"),
            "application/x-ndjson",
            *("text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        )
    elif response.request.method != "HEAD":
        response_validator(template, method, str(response.status_code), media_type).validate(response.json())


@cache
def response_validator(path: str, method: str, status: str, media_type: str = "application/json") -> Validator:
    """Return a validator of the body that the contract declares for a response."""
    place = "paths", path, method, "responses", status, "content", media_type, "schema"
    pointer = "/".join(step.replace("/", "~1") for step in place)
    return Draft202012Validator(
        {"$ref": f"{_URI}#/{pointer}"}, registry=_REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
