"""Exposure: a server without API keys serves loopback addresses and Unix sockets only."""

import logging
from functools import lru_cache

from lockstream.core.addresses import address_of
from lockstream.core.errors import KeysRequired
from lockstream.services.running.access.access import Access
from lockstream.settings import Settings

LOCALHOST = "localhost"

REMEDY = (
    "Create the first key with `lockstream keys create admin --scope admin`. If everybody who reaches this address may "
    "read and change everything, set LOCKSTREAM_AUTH=off."
)

logger = logging.getLogger(__name__)


def require_safe_address(settings: Settings, access: Access) -> None:
    """Require that a server without keys can be reached from its own machine alone, unless LOCKSTREAM_AUTH is off.

    A warning is logged if LOCKSTREAM_AUTH is off, or if keys cross a network without TLS.

    Raises:
        KeysRequired: a network can reach the address, and there is no key.
    """
    is_local = settings.unix_socket is not None or is_loopback(settings.host)
    if not access.is_enforced:
        logger.warning(
            "LOCKSTREAM_AUTH is off. Anybody who reaches %s may read and change everything.",
            settings.unix_socket or settings.host,
            extra={"event_name": "access_off"},
        )
    elif access.is_open and not is_local:
        raise KeysRequired(
            f"The address {settings.host} can be reached from other machines, and there is no API key, so anybody "
            f"could read and report everything. {REMEDY}"
        )
    elif not is_local and settings.tls_cert is None:
        logger.warning(
            "API keys cross the network to %s in plain text. Set LOCKSTREAM_TLS_CERT and LOCKSTREAM_TLS_KEY, or listen "
            "on 127.0.0.1 behind a proxy that ends TLS.",
            settings.host,
            extra={"event_name": "keys_in_plain_text"},
        )


def is_loopback(host: str) -> bool:
    """Return whether `host` is a loopback address, or the name `localhost`."""
    return host == LOCALHOST or (address_of(host) is not None and not is_exposed(host))


@lru_cache(10_000)
def is_exposed(host: str) -> bool:
    """Return whether `host` is an address that other machines may reach. A name stands for a server in this process."""
    address = address_of(host)
    return address is not None and not address.is_loopback
