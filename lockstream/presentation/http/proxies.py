"""The path prefix under which a proxy serves Lockstream, from a setting or from a trusted proxy's header."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

FORWARDED_PREFIX = b"x-forwarded-prefix"

UNIX = "unix"
"""Names the clients of a Unix socket among the trusted proxies."""


class PathPrefix:
    """An ASGI application in front of another. It tells it the prefix, whether or not the proxy strips it."""

    def __init__(self, app: ASGIApp, root_path: str, trusted_proxies: Sequence[str]) -> None:
        self._app = app
        self._root_path = root_path
        self._trusts_unix = UNIX in trusted_proxies
        self._networks = [ip_network(network) for network in trusted_proxies if network != UNIX]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = scope.get("root_path", "") + (self._forwarded_prefix(scope) or self._root_path)
        if prefix:
            path = scope["path"]
            inner = path if path.startswith(f"{prefix}/") else prefix + path
            scope = {**scope, "root_path": prefix, "path": inner}
        await self._app(scope, receive, send)

    def _forwarded_prefix(self, scope: Scope) -> str:
        """Return the prefix that a trusted proxy has sent, or an empty string."""
        for name, value in scope["headers"]:
            if name == FORWARDED_PREFIX and self._is_trusted(scope["client"]):
                prefix = value.decode("latin-1").rstrip("/")
                return prefix if prefix.startswith("/") else ""
        return ""

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        if not client:
            return self._trusts_unix
        try:
            address = ip_address(client[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)
