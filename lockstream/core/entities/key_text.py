"""The text of an API key: `lsk_<public id>_<secret>_<checksum>`, all of it letters and digits.

The public id has 8 characters, the secret 43 (32 random bytes in base 62), and the checksum 6 (CRC-32 in base 62). The
checksum tells a typing error from an unknown key. The fixed beginning lets secret scanners find a key.
"""

import re
import secrets
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

from lockstream.core.entities.events import KeyId

PREFIX = "lsk_"

PUBLIC_ID_LENGTH = 8
SECRET_BYTES = 32
SECRET_LENGTH = 43
CHECKSUM_LENGTH = 6

TEXT_LENGTH = len(PREFIX) + PUBLIC_ID_LENGTH + 1 + SECRET_LENGTH + 1 + CHECKSUM_LENGTH
"""Characters of a whole key."""

PUBLIC_ID = slice(len(PREFIX), len(PREFIX) + PUBLIC_ID_LENGTH)
"""Place of the public id in the text of a key."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(
    f"{PREFIX}[0-9A-Za-z]{{{PUBLIC_ID_LENGTH}}}_[0-9A-Za-z]{{{SECRET_LENGTH}}}_[0-9A-Za-z]{{{CHECKSUM_LENGTH}}}"
)
_KEY_ID = re.compile(f"[0-9A-Za-z]{{{PUBLIC_ID_LENGTH}}}")
_DIGEST = re.compile("[0-9a-f]{64}")


class KeyText(NamedTuple):
    """A new key: its public id, and the whole text, which is shown once and never stored."""

    key_id: KeyId
    text: str


def new_key_text() -> KeyText:
    """Return a new random key."""
    key_id = "".join(secrets.choice(_DIGITS) for _ in range(PUBLIC_ID_LENGTH))
    secret = _base62(int.from_bytes(secrets.token_bytes(SECRET_BYTES)), SECRET_LENGTH)
    body = f"{PREFIX}{key_id}_{secret}"
    return KeyText(KeyId(key_id), f"{body}_{_checksum(body)}")


def digest_of(text: str) -> str:
    """Return the SHA-256 of the text of a key, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def is_digest(text: str) -> bool:
    """Return whether a text has the form of a result of `digest_of`."""
    return _DIGEST.fullmatch(text) is not None


def is_key_text(text: str) -> bool:
    """Return whether a text has the form of a key, and the right checksum."""
    body, _, checksum = text.rpartition("_")
    return _FORM.fullmatch(text) is not None and _checksum(body) == checksum


def is_key_id(text: str) -> bool:
    """Return whether a text has the form of a public id."""
    return _KEY_ID.fullmatch(text) is not None


def id_of_key_in(text: str) -> str | None:
    """Return the public id of the first key, or of the first text of its form, that is somewhere in `text`."""
    found = _FORM.search(text) if PREFIX in text else None
    return found and found[0][PUBLIC_ID]


def without_keys(text: str) -> str:
    """Return `text` with only the public id left of each key, or text of its form, that is somewhere in it."""
    return _FORM.sub(lambda found: f"{PREFIX}{found[0][PUBLIC_ID]}_…", text) if PREFIX in text else text


def _checksum(body: str) -> str:
    return _base62(crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    """Return a number in base 62, with leading zeros."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
