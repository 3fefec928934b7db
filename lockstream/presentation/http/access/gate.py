"""The gate: admits a request with a key that allows its operation, and refuses any other."""

from time import monotonic

from starlette.types import Scope as ASGIScope

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import PREFIX, contains_key
from lockstream.core.errors import AccessRefused, NotAllowed, NotAuthenticated
from lockstream.presentation.http.access.callers import set_caller
from lockstream.presentation.http.proxies import remote_address
from lockstream.services.running.access.access import Access
from lockstream.services.running.access.exposure import REMEDY, is_exposed
from lockstream.services.running.access.live_keys import HOW_TO_SEND, KEY_MALFORMED

AUTHORIZATION = b"authorization"

OTHER_PATH = "other"
"""Names all requests that are not to an operation of the contract, for the audit log."""

SCOPE_MISSING, KEYS_REQUIRED, KEY_IN_URL = "scope_missing", "keys_required", "key_in_url"

_KEY_BEGINNING = PREFIX.encode()


def admit(access: Access, request: ASGIScope, operation: str, needed: Scope | None) -> None:
    """Let a request pass, and note its caller. `needed` is the scope of its operation; None means any key.

    Raises:
        NotAuthenticated: the request has no key that is accepted.
        NotAllowed: the key lacks this scope, or the server needs keys and has none.
        TooManyRequests: too many requests without such a key came from the remote address.
    """
    try:
        if access.is_open:
            _require_no_exposure(access, request)
            return
        if _KEY_BEGINNING in request["query_string"]:
            _require_no_key_in(request["query_string"])
        caller = access.authenticate(_authorization(request))
        if needed is not None and needed not in caller.scopes:
            raise NotAllowed(
                f"The key {caller.key_id} lacks the scope {needed}, which this operation needs. Use a key that has "
                "it; `lockstream keys list` shows the scopes of each key.",
                SCOPE_MISSING,
                caller.key_id,
                needed,
            )
    except AccessRefused as refused:
        address = remote_address(request)
        if isinstance(refused, NotAuthenticated):
            access.failure_limits.note(address, monotonic())
        access.note_refusal(refused.key_id, address, operation, refused.code)
        raise
    set_caller(request, caller)


def _authorization(request: ASGIScope) -> bytes | None:
    """Return the value of the header `Authorization`. Raises NotAuthenticated if there are several."""
    found: bytes | None = None
    for name, value in request["headers"]:
        if name == AUTHORIZATION:
            if found is not None:
                raise NotAuthenticated(f"The header Authorization is repeated. {HOW_TO_SEND}", KEY_MALFORMED)
            found = value
    return found


def _require_no_exposure(access: Access, request: ASGIScope) -> None:
    """Require that a server without keys was reached from its own machine, unless keys are not enforced.

    `lockstream serve` does not start on any other address. This holds for other ASGI servers.
    """
    server = request.get("server")
    if access.is_enforced and server and server[1] is not None and is_exposed(server[0]):
        raise NotAllowed(
            f"This server has no API key, and its address {server[0]} can be reached from other machines. {REMEDY}",
            KEYS_REQUIRED,
        )


def _require_no_key_in(query: bytes) -> None:
    if contains_key(query.decode("latin-1")):
        raise NotAuthenticated(
            f"The URL contains an API key, and URLs are kept in logs. Rotate this key. {HOW_TO_SEND}", KEY_IN_URL
        )
