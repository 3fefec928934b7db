"""Remote addresses of requests, and the addresses that a server listens on."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


@lru_cache(10_000)
def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a text spells, or None. An IPv4 address mapped into IPv6 is returned as IPv4."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
