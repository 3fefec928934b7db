"""Page tokens: the key of the last item of a page, bound to the filters and the order of its list.

A client sends the token back as it is. Its first byte is a version, so that its form may change.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import sha256

import msgspec

from lockstream.core.entities.fields import is_identifier
from lockstream.core.entities.listings import CountKey
from lockstream.presentation.http.min_position import MAX_POSITION
from lockstream.presentation.http.query_parameters import InvalidQuery

VERSION = b"\x01"

MAX_COUNT = 2**31 - 1
"""Highest count of a locker's compartments, as a database holds it."""

BINDING_BYTES = 6
"""Length of the digest that binds a token to its filters and order. The digest detects mistakes, not forgery."""


type PageKey = int | str | CountKey
"""The key of an item in the order of its list."""

_encode_key = msgspec.msgpack.Encoder().encode
_decode_key = msgspec.msgpack.Decoder(PageKey).decode


def binding_of(*parts: object) -> bytes:
    """Return the digest of the `parts` that a token is bound to: list, filters and order."""
    return sha256(msgspec.json.encode(parts)).digest()[:BINDING_BYTES]


def encode_token(key: PageKey, binding: bytes) -> str:
    """Return the token for the page behind the item with this key."""
    return urlsafe_b64encode(VERSION + binding + _encode_key(key)).rstrip(b"=").decode()


def decode_token[KeyT: (int, str, CountKey)](token: str, binding: bytes, key_class: type[KeyT]) -> KeyT:
    """Return the key in a token.

    Raises:
        InvalidQuery: the text is not a token, or its list has other filters or another order.
    """
    try:
        content = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        version, found, packed = content[:1], content[1 : 1 + BINDING_BYTES], content[1 + BINDING_BYTES :]
        key = _decode_key(packed)
    except (UnicodeError, Error, msgspec.MsgspecError) as error:
        raise _unusable(token) from error
    if version != VERSION or encode_token(key, found) != token:
        raise _unusable(token)
    if found != binding:
        raise InvalidQuery(
            "The query parameter after belongs to a list with other filters or another order. Repeat the filters and "
            "the order of the page before, or omit after to begin anew."
        )
    if not isinstance(key, key_class) or not _is_key(key):
        raise _unusable(token)
    return key


def _is_key(key: PageKey) -> bool:
    """Return whether a row can have this key. A database may raise an error for other keys."""
    match key:
        case str():
            return is_identifier(key)
        case int():
            return 0 < key <= MAX_POSITION
        case CountKey(count, locker_id):
            return 0 <= count <= MAX_COUNT and is_identifier(locker_id)


def _unusable(token: str) -> InvalidQuery:
    return InvalidQuery.of("after", token, "the `next` of the page before as it is, or omit after to begin anew")
