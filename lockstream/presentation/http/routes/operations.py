"""The operation of a request, by method and path. The table and the contract are made from the same routes."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import Message, Scope, Send

from lockstream.core.entities.access import Scope as AccessScope
from lockstream.presentation.http.access.gate import OTHER_PATH
from lockstream.presentation.http.access.scopes import SCOPES, require_scopes
from lockstream.presentation.http.event_stream import IS_HEAD

ASSETS = "/docs/assets"
"""Path of the files of the documentation."""

ROOT = "/"

CONSOLE_PATH = "/console"
"""Path of the operators' console. All paths below it are the console's own."""

CONSOLE_API = f"{CONSOLE_PATH}/api"
"""Beginning of the paths whose reads the console forwards to the API."""

_PAGES = "/docs", "/openapi.json"

type Endpoint = Callable[..., Awaitable[Response]]


class Operation(NamedTuple):
    """An operation of the API, with its endpoint and the access that it needs."""

    name: str
    endpoint: Endpoint
    scope: AccessScope | None
    """The scope that the operation needs. None: any key will do."""

    needs_key: bool = True


async def _refuse_path(_: Request) -> Response:
    raise HTTPException(404)


OTHER = Operation(OTHER_PATH, _refuse_path, None)
"""Stands for a request to no operation of the contract, and to no page of the documentation."""

DOCUMENTATION = Operation(OTHER_PATH, _refuse_path, None)
"""Stands for a request to the documentation, which FastAPI answers. FastAPI gets no other request: its routes match
more spellings of a path than this table, and it checks no key.
"""

CONSOLE = Operation("console", _refuse_path, None, needs_key=False)
"""Stands for a request to the console, which authenticates its users by itself."""


class Operations:
    """The operations of routes, by method and path."""

    def __init__(self, routes: Iterable[BaseRoute], root: Endpoint = _refuse_path) -> None:
        """`root` answers requests to the root of the server, which need no key."""
        self._exact = {("GET", ROOT): Operation(OTHER_PATH, root, None, needs_key=False)}
        self._methods: dict[str, list[str]] = {ROOT: ["GET"]}
        self._templates: dict[tuple[str, int], list[tuple[list[str], Operation]]] = {}
        self._template_methods: dict[str, None] = {}
        """The methods of operations whose paths have parameters, each once."""

        own = [route for route in routes if isinstance(route, APIRoute)]
        require_scopes(route.name for route in own)
        for route in own:
            needed = SCOPES[route.name]
            operation = Operation(route.name, route.endpoint, needed, needs_key=needed is not None)
            for method in route.methods or ():
                if "{" not in route.path:
                    self._exact[method, route.path] = operation
                    self._methods.setdefault(route.path, []).append(method)
                    continue
                segments = route.path.split("/")
                self._templates.setdefault((method, len(segments)), []).append((segments, operation))
                self._template_methods[method] = None

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """Return the operation of a path, with the values of the parameters in the path."""
        if operation := self._exact.get((method, path)):
            return operation, {}
        if path in self._methods:  # else `GET /events/batch` would ask for the event with the id "batch"
            return _refusal_of_method(self._methods[path]), {}
        if path in _PAGES or path.startswith(f"{ASSETS}/"):
            return DOCUMENTATION, {}
        if path == CONSOLE_PATH or path.startswith(f"{CONSOLE_PATH}/"):
            return CONSOLE, {}
        if found := self._with_parameters(method, path):
            return found
        others = [other for other in self._template_methods if self._with_parameters(other, path)]
        return (_refusal_of_method(others) if others else OTHER), {}

    def _with_parameters(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """Return the operation whose path has parameters and matches `path`, with the values of the parameters."""
        given = path.split("/")
        for segments, operation in self._templates.get((method, len(given)), ()):
            parameters = {}
            for segment, value in zip(segments, given, strict=True):
                if segment[:1] == "{" and value:
                    parameters[segment[1:-1]] = value
                elif segment != value:
                    break
            else:
                return operation, parameters
        return None


def as_get(scope: Scope, send: Send) -> tuple[Scope, Send]:
    """Return the scope of the GET that a HEAD stands for, and a `send` that sends no body."""
    return {**scope, "method": "GET", IS_HEAD: True}, _without_body(send)


def path_of(scope: Scope) -> str:
    """Return the path behind the prefix at which the application is served."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    return path[len(root_path) :] if root_path and path.startswith(f"{root_path}/") else path


def _without_body(send: Send) -> Send:
    async def send_headers(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_headers


def _refusal_of_method(allowed: Iterable[str]) -> Operation:
    return Operation(OTHER_PATH, partial(_refuse_method, list(allowed)), None)


async def _refuse_method(allowed: list[str], _: Request) -> Response:
    raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
