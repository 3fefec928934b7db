"""The file of the API keys: JSON with a format version and a checksum, replaced with each change.

{"format": 1, "sha256": "<SHA-256 of the bytes of the member keys>", "keys": [<one key a line>]}
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import is_digest, is_key_id
from lockstream.core.entities.keys import Key
from lockstream.core.errors import KeysDamaged
from lockstream.infrastructure.fs import sync_data, sync_directory, write_all

FORMAT = 1
"""Version of the format. A file with a higher one belongs to a newer version of Lockstream."""

PRIVATE = 0o600
"""Permissions of a file that its owner alone may read."""


class _Content(Struct):
    format: int
    sha256: str
    keys: Raw


class _Version(Struct):
    format: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Content).decode
_decode_version = msgspec.json.Decoder(_Version).decode
_decode_keys = msgspec.json.Decoder(list[Key]).decode


def keys_path(log_path: Path) -> Path:
    """Return the path of a log's API keys, beside it."""
    return Path(f"{log_path}.keys")


def encode_keys(keys: Iterable[Key]) -> bytes:
    """Return the content of a file with these keys."""
    lines = b"[\n" + b",\n".join(_encode(key) for key in keys) + b"\n]"
    return b'{"format":%d,"sha256":"%b","keys":%b}\n' % (FORMAT, sha256(lines).hexdigest().encode(), lines)


def decode_keys(content: bytes, path: Path) -> dict[str, Key]:
    """Return the keys in the content of the file `path`, by id.

    Raises:
        KeysDamaged: the content differs from what was written, or belongs to a newer version.
    """
    try:
        version = _decode_version(content).format
        if version != FORMAT:
            raise KeysDamaged(
                f"The API keys in {path} have the format {version}, and this version of Lockstream knows the format "
                f"{FORMAT}. Start the version that has written the file. Nothing was changed."
            )
        found = _decode(content)
        if sha256(found.keys).hexdigest() != found.sha256:
            raise _damaged(path, "Its checksum is wrong.")
        keys = _decode_keys(found.keys)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, f"It is not a file of keys ({error}).") from error
    for key in keys:
        if not is_key_id(key.key_id) or not is_digest(key.digest) or not set(key.scopes) <= set(Scope):
            raise _damaged(path, "One of its keys is not complete.")
    by_id = {key.key_id: key for key in keys}
    if len(by_id) != len(keys):
        raise _damaged(path, "It contains a key twice.")
    return by_id


def read_keys(path: Path) -> dict[str, Key] | None:
    """Return the keys in a file by id, or None if there is no file.

    Raises:
        KeysDamaged: the file differs from what was written.
        OSError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return decode_keys(content, path)


def write_keys(path: Path, keys: Mapping[str, Key]) -> None:
    """Write a file of these keys, and flush it to disk. A crash leaves the old file or the new one.

    Raises:
        OSError: `path` is the old file or the new one.
    """
    replace_file(path, [encode_keys(keys.values())])


def replace_file(path: Path, parts: Iterable[bytes], *, is_lasting: bool = True) -> None:
    """Replace the file at `path` by a private file of these parts, and flush it to disk if `is_lasting`.

    Raises:
        OSError: `path` is the old file or the new one.
    """
    draft = Path(f"{path}.new")
    with suppress(FileNotFoundError):
        draft.unlink()  # a crash may have left it, with other permissions
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        os.fchmod(file, PRIVATE)
        give_to_owner(file, path.parent)
        for part in parts:
            write_all(file, part)
        if is_lasting:
            sync_data(file)
    except BaseException:
        os.close(file)
        with suppress(OSError):
            draft.unlink()
        raise
    os.close(file)
    draft.rename(path)
    if is_lasting:
        sync_directory(path.parent)


def give_to_owner(file: int, folder: Path) -> None:
    """Give a file that root has created to the owner of the folder, so that the server can read it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)


def _damaged(path: Path, reason: str) -> KeysDamaged:
    return KeysDamaged(
        f"The file of the API keys {path} is damaged: {reason} Nothing was changed. Restore "
        "the file from a backup, which `lockstream backup` makes beside that of the log. Without a backup, move it and "
        "the audit log beside it away, and create new keys with `lockstream keys create`."
    )
