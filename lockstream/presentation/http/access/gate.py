"""The gate: admits a request with a key that allows its operation, and refuses any other."""

from collections.abc import Collection
from time import monotonic
from urllib.parse import unquote_to_bytes

from starlette.types import Scope as ASGIScope

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import PREFIX, id_of_key_in
from lockstream.core.errors import AccessRefused, NotAllowed, NotAuthenticated
from lockstream.presentation.http.access.callers import caller_of, set_caller
from lockstream.presentation.http.access.other_sites import require_no_other_site
from lockstream.presentation.http.access.scopes import WHOLE_NETWORK
from lockstream.presentation.http.proxies import remote_address
from lockstream.services.running.access.access import Access
from lockstream.services.running.access.exposure import REMEDY, is_exposed
from lockstream.services.running.access.live_keys import HOW_TO_SEND, KEY_MALFORMED, KEY_MISSING

AUTHORIZATION = b"authorization"

OTHER_PATH = "other"
"""Name of the operation, in the audit log, for requests to paths outside the contract."""

SCOPE_MISSING, KEYS_REQUIRED, KEY_IN_URL = "scope_missing", "keys_required", "key_in_url"
LOCKERS_BOUND = "lockers_bound"

HOW_TO_OPEN_DOCS = "Or set LOCKSTREAM_OPEN_DOCS=true on the server, because a browser sends no key."


def identify(
    access: Access, request: ASGIScope, operation: str, origins: Collection[str] = (), remedy: str = ""
) -> None:
    """Authenticate a request, and note its caller. Pages of `origins` may call a server without keys.

    If the request has no key, the error ends with the sentence `remedy`.

    Raises:
        NotAuthenticated: the request has no key that is accepted.
        NotAllowed: the server needs keys and has none, or a page of another site has sent the request.
        TooManyRequests: too many requests without such a key came from the remote address.
    """
    try:
        if access.is_open:
            if access.is_enforced:
                _require_no_exposure(request)
            require_no_other_site(request, origins, is_enforced=access.is_enforced)
            return
        if key_id := id_of_key_in_url(request):
            raise NotAuthenticated(
                f"The URL contains the API key {key_id}, and URLs are kept in logs. Rotate this key. {HOW_TO_SEND}",
                KEY_IN_URL,
            )
        caller = access.authenticate(_authorization(request))
    except AccessRefused as refused:
        address = remote_address(request)
        if isinstance(refused, NotAuthenticated):
            access.failure_limits.note(address, monotonic())
        access.note_refusal(refused.key_id, address, operation, refused.code)
        if remedy and refused.code == KEY_MISSING:
            raise NotAuthenticated(f"{refused} {remedy}", KEY_MISSING) from refused
        raise
    set_caller(request, caller)


def require_scope(access: Access, request: ASGIScope, operation: str, needed: Scope | None) -> None:
    """Require that the key of a request has the scope that its operation needs. If `needed` is None, any key will do.

    Raises:
        NotAllowed: the key lacks this scope, or is bound to lockers and the operation shows the whole network.
    """
    caller = caller_of(request)
    if needed is None or needed in caller.scopes:
        if caller.lockers is not None and operation in WHOLE_NETWORK:
            access.note_refusal(caller.key_id, remote_address(request), operation, LOCKERS_BOUND)
            raise NotAllowed(
                f"The key {caller.key_id} is bound to lockers, and this operation shows the whole network. Use a key "
                "that is not bound to lockers, or ask an administrator for one.",
                LOCKERS_BOUND,
                caller.key_id,
            )
        return
    access.note_refusal(caller.key_id, remote_address(request), operation, SCOPE_MISSING)
    raise NotAllowed(
        f"The key {caller.key_id} lacks the scope {needed}, which this operation needs. Use a key that has it, "
        "or ask an administrator for one.",
        SCOPE_MISSING,
        caller.key_id,
        needed,
    )


def id_of_key_in_url(request: ASGIScope) -> str | None:
    """Return the public part of an API key that the URL of a request contains, or None."""
    query, path = request["query_string"], request["path"]
    found = id_of_key_in(unquote_to_bytes(query).decode("latin-1")) if query else None
    return found or (id_of_key_in(path) if PREFIX in path else None)


def _authorization(request: ASGIScope) -> bytes | None:
    """Return the value of the header `Authorization`. Raises NotAuthenticated if there are several."""
    found: bytes | None = None
    for name, value in request["headers"]:
        if name == AUTHORIZATION:
            if found is not None:
                raise NotAuthenticated(f"The header Authorization is repeated. {HOW_TO_SEND}", KEY_MALFORMED)
            found = value
    return found


def _require_no_exposure(request: ASGIScope) -> None:
    """Require that a request to a server without keys comes from its own machine.

    `lockstream serve` does not start on the address of a network without keys. This check is for other ASGI servers,
    and for the clients of a trusted proxy on the same machine.
    """
    server, client = request.get("server"), remote_address(request)
    exposed = ""
    if server and server[1] is not None and is_exposed(server[0]):
        exposed = server[0]
    elif is_exposed(client):
        exposed = client
    if exposed:
        raise NotAllowed(
            f"This server has no API key, and the address {exposed} belongs to a network, so that other machines "
            f"can reach it. {REMEDY}",
            KEYS_REQUIRED,
        )
