"""Path prefix, remote address and scheme behind a proxy, from a setting or from a trusted proxy's headers."""

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.core.addresses import address_of
from lockstream.settings import PATH_PREFIX

FORWARDED_PREFIX = b"x-forwarded-prefix"
FORWARDED_FOR = b"x-forwarded-for"
FORWARDED_PROTO = b"x-forwarded-proto"

SCHEMES = "http", "https"

UNIX = "unix"
"""Value of LOCKSTREAM_TRUSTED_PROXIES that stands for all clients of a Unix socket."""

_PREFIX = re.compile(PATH_PREFIX)


def remote_address(scope: Scope) -> str:
    """Return the remote address of a request, or an empty text for a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


class BehindProxy:
    """Passes the path prefix, the remote address and the scheme of a proxy to an application.

    The proxy may strip the prefix from the path, or keep it.

    If the prefix equals the beginning of an operation's path, such as `/events`, the proxy must keep the prefix.
    """

    def __init__(self, app: ASGIApp, root_path: str, trusted_proxies: Sequence[str]) -> None:
        self._app = app
        self._root_path = root_path
        self._trusts_unix = UNIX in trusted_proxies
        networks = [ip_network(network) for network in trusted_proxies if network != UNIX]
        self._has_trusted_address = lru_cache(10_000)(partial(_is_in, networks))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_trusted = self._is_trusted(scope.get("client"))
        if prefix := (_forwarded_prefix(scope) if is_trusted else "") or self._root_path:
            # An application in which this one is mounted has already set a root path, with the prefix or without.
            root_path = _with_prefix(prefix, scope.get("root_path", ""))
            path = scope["path"]
            if path == root_path:
                path += "/"
            elif not _is_under(root_path, path):
                path = prefix + path
            scope = {**scope, "root_path": root_path, "path": path}
        if is_trusted:
            if address := self._forwarded_for(scope):
                scope = {**scope, "client": (address, 0)}
            if (scheme := _last_value(scope, FORWARDED_PROTO).lower()) in SCHEMES:
                scope = {**scope, "scheme": scheme}
        await self._app(scope, receive, send)

    def _forwarded_for(self, scope: Scope) -> str:
        """Return the last address of `X-Forwarded-For` that does not belong to a trusted proxy, or an empty string.

        Each proxy appends the address of its client, so every address before an untrusted one may be forged.
        """
        for address in reversed(_values(scope, FORWARDED_FOR)):
            text = _without_port(address)
            if not address_of(text):
                return ""
            if not self._has_trusted_address(text):
                return text
        return ""

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        return self._has_trusted_address(client[0]) if client else self._trusts_unix


def _forwarded_prefix(scope: Scope) -> str:
    """Return the prefix that a proxy has sent, or an empty string."""
    for name, value in scope["headers"]:
        if name == FORWARDED_PREFIX:
            prefix = value.decode("latin-1").strip().rstrip("/")
            return prefix if _PREFIX.fullmatch(prefix) else ""
    return ""


def _last_value(scope: Scope, name: bytes) -> str:
    """Return the last value of a header, which the nearest proxy has sent. Earlier values may be forged."""
    return _values(scope, name)[-1]


def _values(scope: Scope, name: bytes) -> list[str]:
    """Return the values of a header that is a list. Without the header, the only value is an empty string."""
    values = [value.decode("latin-1") for found, value in scope["headers"] if found == name]
    return [value.strip() for value in ",".join(values).split(",")]


def _without_port(text: str) -> str:
    """Return an address without the port that some proxies add, such as `192.0.2.1:443` or `[2001:db8::1]:443`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _is_in(networks: Sequence[IPv4Network | IPv6Network], address: str) -> bool:
    found = address_of(address)
    return found is not None and any(found in network for network in networks)


def _with_prefix(prefix: str, path: str) -> str:
    return path if _is_under(prefix, path) else prefix + path


def _is_under(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
