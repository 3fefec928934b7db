"""API keys in the contract: the security scheme, and the refusals of each operation."""

from typing import Any

from lockstream.core.entities.access import Scope
from lockstream.core.errors import LockerNotAllowed
from lockstream.presentation.http.access.gate import KEY_IN_URL, KEYS_REQUIRED, LOCKERS_BOUND, SCOPE_MISSING
from lockstream.presentation.http.access.other_sites import CROSS_SITE, HOST_NOT_ALLOWED
from lockstream.presentation.http.access.scopes import SCOPES
from lockstream.presentation.http.media_types import JSON
from lockstream.services.running.access.live_keys import (
    KEY_EXPIRED,
    KEY_MALFORMED,
    KEY_MISSING,
    KEY_REVOKED,
    KEY_UNKNOWN,
)

SCHEME = "ApiKey"

AUTH_OFF = "auth_off"

UNAUTHENTICATED_CODES = KEY_MISSING, KEY_MALFORMED, KEY_UNKNOWN, KEY_EXPIRED, KEY_REVOKED, KEY_IN_URL
FORBIDDEN_CODES = (
    *(SCOPE_MISSING, LockerNotAllowed.code, LOCKERS_BOUND, KEYS_REQUIRED, AUTH_OFF),
    *(CROSS_SITE, HOST_NOT_ALLOWED),
)

_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "lsk_<8 characters>_<43 characters>_<6 characters>",
    "description": "An API key. A server without any key needs none, and is reachable from its own machine alone. The "
    "role names of an operation are the scopes that its key needs.",
}

_UNAUTHENTICATED: dict[str, Any] = {
    "description": "The request has no API key that is accepted.",
    "headers": {
        "WWW-Authenticate": {
            "description": "The scheme, and the error (RFC 6750, section 3).",
            "required": True,
            "schema": {"type": "string"},
        }
    },
    "content": {JSON: {"schema": {"$ref": "#/components/schemas/UnauthenticatedBody"}}},
}

_FORBIDDEN: dict[str, Any] = {
    "description": "The API key does not allow the operation. `code` and `detail` name the reason.",
    "content": {JSON: {"schema": {"$ref": "#/components/schemas/ForbiddenBody"}}},
}


def declare_access(contract: dict[str, Any]) -> None:
    """Add the security scheme to a contract, and to each operation the scope that it needs and its refusals."""
    components = contract["components"]
    components["securitySchemes"] = {SCHEME: _SECURITY_SCHEME}
    components["schemas"] |= {
        "UnauthenticatedBody": _body("The reason why the API key of a request is not accepted.", UNAUTHENTICATED_CODES),
        "ForbiddenBody": _body("The reason why a request is not allowed.", FORBIDDEN_CODES),
    }
    for operations in contract["paths"].values():
        for operation in operations.values():
            needed = SCOPES[operation["operationId"]]
            operation["security"] = [] if needed is None else [{SCHEME: [needed.value]}]
            if needed is not None:
                operation["responses"] |= _refusals(needed)
                operation["responses"] = dict(sorted(operation["responses"].items()))


def _refusals(needed: Scope) -> dict[str, Any]:
    description = f"{_FORBIDDEN['description']} This operation needs the scope `{needed}`."
    return {"401": _UNAUTHENTICATED, "403": _FORBIDDEN | {"description": description}}


def _body(description: str, codes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": {
            "detail": {"type": "string", "description": "What happened and what to do next, for people."},
            "code": {"type": "string", "enum": list(codes), "description": "The reason, for programs."},
        },
        "required": ["detail", "code"],
        "additionalProperties": False,
    }
