"""Cross-site requests: sent by a browser for a page of another site, to a server without API keys.

Such a page may run in a browser on the server's own machine. The page can send an event without reading the response.
By DNS rebinding, which gives the name of its own site the address 127.0.0.1, the page can also read everything.
"""

from collections.abc import Collection
from functools import lru_cache

from starlette.types import Scope

from lockstream.core.addresses import address_of
from lockstream.core.errors import NotAllowed
from lockstream.core.wording import quoted
from lockstream.services.running.access.exposure import is_loopback

CROSS_SITE, HOST_NOT_ALLOWED = "cross_site", "host_not_allowed"

ANY_ORIGIN = "*"

_HOST, _ORIGIN, _SITE = b"host", b"origin", b"sec-fetch-site"
_NAMES = frozenset((_HOST, _ORIGIN, _SITE))
_OTHER_SITES = b"cross-site", b"same-site"
"""Values of `Sec-Fetch-Site` for a page of another origin (W3C Fetch Metadata, 2.3). Pages cannot forge the header."""

_READING_METHODS = "GET", "HEAD", "OPTIONS"


def require_no_other_site(request: Scope, origins: Collection[str], *, is_enforced: bool) -> None:
    """Require that a request to a server without keys does not come from a page of another site.

    A request that changes something must not come from another origin, except for those of `origins`. If keys are
    enforced, each request to a loopback address must also name a loopback host.

    Raises:
        NotAllowed: a page of another site has sent the request, or may have sent it.
    """
    host = origin = site = b""
    for name, value in request["headers"]:
        if name in _NAMES:
            if name == _HOST:
                host = value
            elif name == _ORIGIN:
                origin = value
            else:
                site = value
    if is_enforced and host and not _is_loopback_host(host) and _is_on_loopback(request):
        raise NotAllowed(
            f"The request names the host {quoted(host.decode('latin-1'))}. A server without API keys serves its own "
            "machine alone, so that no page of another site reads it by DNS rebinding. Use localhost or 127.0.0.1 in "
            "the URL, or create a key with `lockstream keys create`.",
            HOST_NOT_ALLOWED,
        )
    if (origin or site) and request["method"] not in _READING_METHODS:
        _require_own_origin(origin, site, host, origins)


def _require_own_origin(origin: bytes, site: bytes, host: bytes, origins: Collection[str]) -> None:
    named = origin.decode("latin-1")
    if named in origins or ANY_ORIGIN in origins:
        return
    if site in _OTHER_SITES or (not site and origin.partition(b"://")[2] != host):
        raise NotAllowed(
            f"A page of another site ({quoted(named or site.decode('latin-1'))}) has sent this request, and this "
            "server asks for no API key. Add the origin of the page to LOCKSTREAM_CORS_ORIGINS if it may change "
            "everything.",
            CROSS_SITE,
        )


@lru_cache(1_000)
def _is_loopback_host(host: bytes) -> bool:
    """Return whether the value of a header `Host` is a loopback address or a name of this machine (RFC 6761)."""
    name = host.decode("latin-1").lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return is_loopback(name) or name.endswith(".localhost")


def _is_on_loopback(request: Scope) -> bool:
    """Return whether a request came to a loopback address. No browser reaches a Unix socket."""
    server = request.get("server")
    address = address_of(server[0]) if server and server[1] is not None else None
    return address is not None and address.is_loopback
