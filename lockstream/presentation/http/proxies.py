"""Path prefix and remote address behind a proxy, from a setting or from a trusted proxy's headers."""

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from lockstream.core.addresses import address_of
from lockstream.settings import PATH_PREFIX

FORWARDED_PREFIX = b"x-forwarded-prefix"
FORWARDED_FOR = b"x-forwarded-for"

UNIX = "unix"
"""Names the clients of a Unix socket among the trusted proxies."""

_PREFIX = re.compile(PATH_PREFIX)


def remote_address(scope: Scope) -> str:
    """Return the remote address of a request, or an empty text for a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


class BehindProxy:
    """Passes path prefix and remote address to the application behind it, whether or not the proxy strips the prefix.

    A prefix that equals the beginning of an operation's path, such as `/events`, works only if the proxy keeps it.
    """

    def __init__(self, app: ASGIApp, root_path: str, trusted_proxies: Sequence[str]) -> None:
        self._app = app
        self._root_path = root_path
        self._trusts_unix = UNIX in trusted_proxies
        networks = [ip_network(network) for network in trusted_proxies if network != UNIX]
        self._has_trusted_address = lru_cache(10_000)(partial(_is_in, networks))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if prefix := self._forwarded_prefix(scope) or self._root_path:
            # An application in which this one is mounted has already set a root path, with the prefix or without.
            root_path = _with_prefix(prefix, scope.get("root_path", ""))
            path = scope["path"]
            if path == root_path:
                path += "/"
            elif not _is_under(root_path, path):
                path = prefix + path
            scope = {**scope, "root_path": root_path, "path": path}
        if address := self._forwarded_for(scope):
            scope = {**scope, "client": (address, 0)}
        await self._app(scope, receive, send)

    def _forwarded_prefix(self, scope: Scope) -> str:
        """Return the prefix that a trusted proxy has sent, or an empty string."""
        for name, value in scope["headers"]:
            if name == FORWARDED_PREFIX and self._is_trusted(scope.get("client")):
                prefix = value.decode("latin-1").strip().rstrip("/")
                return prefix if _PREFIX.fullmatch(prefix) else ""
        return ""

    def _forwarded_for(self, scope: Scope) -> str:
        """Return the last address of `X-Forwarded-For` that does not belong to a trusted proxy, or an empty string.

        Each proxy appends the address of its client, so any address before an untrusted one may be made up.
        """
        if not self._is_trusted(scope.get("client")):
            return ""
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == FORWARDED_FOR]
        for address in reversed(",".join(values).split(",")):
            text = _without_port(address.strip())
            if not address_of(text):
                return ""
            if not self._has_trusted_address(text):
                return text
        return ""

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        return self._has_trusted_address(client[0]) if client else self._trusts_unix


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
