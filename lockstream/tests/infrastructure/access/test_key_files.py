"""The files of API keys and of the audit log: permissions, damage, crashes and foreign formats."""

import os
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from lockstream.core.entities.keys import AuditAction, AuditEntry, AuditQuery, Key
from lockstream.core.errors import KeysDamaged, KeysMissing, StoreUnavailable
from lockstream.core.use_cases.manage_keys import NewKey, revoke
from lockstream.infrastructure.access import key_file
from lockstream.infrastructure.access.audit_file import (
    BLOCK_BYTES,
    audit_path,
    read_backwards,
    refusals_path,
)
from lockstream.infrastructure.access.key_file import decode_keys, encode_keys, keys_path, read_keys
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.tests.support.keys import NOW, OPERATOR, created

EVERYTHING = AuditQuery()


@pytest.fixture
def store(log_path: Path) -> FileKeyStore:
    return FileKeyStore(log_path)


def entry(number: int) -> AuditEntry:
    return AuditEntry(at=f"2026-11-23T00:00:00.{number:06}Z", action=AuditAction.REFUSED, code="key_missing")


def test_all_files_are_private_whatever_the_umask(store: FileKeyStore, log_path: Path) -> None:
    before = os.umask(0)
    try:
        created(store)
        store.note_used({"abcdefgh": 1})
    finally:
        os.umask(before)
    files = [path for path in log_path.parent.iterdir() if path != log_path]
    assert {path.name for path in files} == {
        f"{log_path.name}{suffix}" for suffix in (".keys", ".keys.lock", ".keys.used", ".audit")
    }
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_file_that_somebody_opened_to_others_is_private_after_the_next_change(
    store: FileKeyStore, log_path: Path
) -> None:
    created(store)
    for path in keys_path(log_path), audit_path(log_path):
        path.chmod(0o644)
    created(store)
    assert {path.stat().st_mode & 0o777 for path in (keys_path(log_path), audit_path(log_path))} == {0o600}


def test_no_file_contains_a_secret(store: FileKeyStore, log_path: Path) -> None:
    made = created(store)
    secret = made.text.split("_")[2]
    for path in log_path.parent.iterdir():
        assert secret.encode() not in path.read_bytes()


def test_any_change_of_a_byte_is_noticed(store: FileKeyStore, log_path: Path) -> None:
    created(store)
    path = keys_path(log_path)
    content = path.read_bytes()
    keys = decode_keys(content, path)
    for place in range(len(content)):
        damaged = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        try:
            found = decode_keys(damaged, path)
        except KeysDamaged:
            continue
        assert found == keys, f"the damage at byte {place} changed the keys"


@pytest.mark.parametrize("size", [0, 1, 10, 200, -2])
def test_a_file_that_was_cut_is_damaged(store: FileKeyStore, log_path: Path, size: int) -> None:
    created(store)
    path = keys_path(log_path)
    path.write_bytes(path.read_bytes()[:size])
    for attempt in (store.keys, lambda: created(store)):
        with pytest.raises(KeysDamaged, match="Restore the file from a backup"):
            attempt()
    assert not path.read_bytes()[abs(size) + 1_000 :], "nothing was written"


@pytest.mark.parametrize("content", [b"null", b"[]", b"{}", b"\x00" * 4096, b'{"format":1}', b"[" * 100_000])
def test_any_other_content_is_damaged(store: FileKeyStore, log_path: Path, content: bytes) -> None:
    keys_path(log_path).write_bytes(content)
    with pytest.raises(KeysDamaged):
        store.keys()


def test_a_newer_format_names_its_version(store: FileKeyStore, log_path: Path) -> None:
    created(store)
    path = keys_path(log_path)
    path.write_bytes(path.read_bytes().replace(b'{"format":1', b'{"format":2'))
    with pytest.raises(KeysDamaged, match="format 2"):
        store.keys()


def test_a_key_with_an_unknown_member_is_not_read_without_it(store: FileKeyStore, log_path: Path) -> None:
    key = created(store).key
    text = encode_keys([key])
    lines = text[text.index(b"[") : text.rindex(b"]") + 1].replace(b'"name"', b'"hours":[9,17],"name"')
    digest = sha256(lines).hexdigest()
    with pytest.raises(KeysDamaged, match="hours"):
        decode_keys(b'{"format":1,"sha256":"%b","keys":%b}' % (digest.encode(), lines), keys_path(log_path))


def test_a_file_that_vanished_is_noticed(store: FileKeyStore, log_path: Path) -> None:
    created(store)
    keys_path(log_path).unlink()
    with pytest.raises(KeysMissing, match="move the audit log away"):
        store.keys()
    audit_path(log_path).unlink()
    assert store.keys() == {}


def test_a_first_key_that_is_created_during_a_read_is_no_missing_file(
    store: FileKeyStore, log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[NewKey] = []

    def read_before_the_first_key(path: Path) -> dict[str, Key] | None:
        monkeypatch.undo()
        found = read_keys(path)
        made.append(created(FileKeyStore(log_path)))
        return found

    # given a command that creates the first key after a start has looked for the file
    monkeypatch.setattr("lockstream.infrastructure.access.store.read_keys", read_before_the_first_key)
    # when the start then reads the audit log, it finds the key
    assert store.keys() == {made[0].key.key_id: made[0].key}


def test_a_crash_between_audit_and_keys_leaves_a_store_that_opens(
    store: FileKeyStore, log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a first key whose file could not be written after its audit entry
    def fail(path: Path, keys: object) -> None:
        if keys:
            raise OSError(5, "an error of the disk", str(path))
        real(path, {})

    real = key_file.write_keys
    monkeypatch.setattr("lockstream.infrastructure.access.store.write_keys", fail)
    with pytest.raises(StoreUnavailable, match="an error of the disk"):
        created(store)
    monkeypatch.undo()
    # then there is no key, and one can be created
    assert store.keys() == {}
    made = created(store)
    assert list(store.keys()) == [made.key.key_id]


def test_a_revocation_that_was_half_written_is_written_by_the_next_attempt(store: FileKeyStore, log_path: Path) -> None:
    # given a revocation whose audit entry is on disk, and that the file of the keys lacks
    key_id = created(store).key.key_id
    version = store.version()
    draft = Path(f"{keys_path(log_path)}.new")
    draft.mkdir()
    with pytest.raises(StoreUnavailable, match=r"\.keys\.new"):
        store.change(lambda keys: revoke(keys, key_id, OPERATOR, NOW + 1))
    draft.rmdir()
    # then a server notices it
    assert store.version() != version
    # when the key is revoked again
    version = store.version()
    store.change(lambda keys: revoke(keys, key_id, OPERATOR, NOW + 2))
    # then the file has the revocation of the first attempt, and a server notices that as well
    assert decode_keys(keys_path(log_path).read_bytes(), keys_path(log_path))[key_id].revoked_at == NOW + 1
    assert store.version() != version
    # and a third attempt writes nothing
    version = store.version()
    store.change(lambda keys: revoke(keys, key_id, OPERATOR, NOW + 3))
    assert store.version() == version


def test_a_key_is_not_kept_if_its_audit_entry_is_not(store: FileKeyStore, log_path: Path) -> None:
    audit_path(log_path).mkdir()
    with pytest.raises(StoreUnavailable, match="Is a directory"):
        created(store)
    audit_path(log_path).rmdir()
    assert store.keys() == {}


def test_a_draft_of_a_crash_is_replaced(store: FileKeyStore, log_path: Path) -> None:
    draft = Path(f"{keys_path(log_path)}.new")
    draft.write_bytes(b"rest")
    draft.chmod(0o666)
    made = created(store)
    assert not draft.exists()
    assert list(store.keys()) == [made.key.key_id]


def test_a_link_in_the_place_of_the_audit_log_is_not_followed(store: FileKeyStore, log_path: Path) -> None:
    target = log_path.parent / "target"
    target.touch()
    audit_path(log_path).symlink_to(target)
    with pytest.raises(StoreUnavailable):
        created(store)
    assert target.read_bytes() == b""


def test_a_torn_line_of_the_audit_log_stays_alone(store: FileKeyStore, log_path: Path) -> None:
    store.append_audit([entry(1), entry(2)])
    path = refusals_path(log_path)
    for torn in (b'{"at":"2026', b"\x00" * 100, b'{"at":"2026-11-23T00:00:00.000009Z","action":"refused"}'):
        path.write_bytes(path.read_bytes() + torn)
        before = [one.entry for one in store.audit(EVERYTHING, None, 100)]
        assert entry(9).at not in [one.at for one in before], "a line without its end was not flushed"
        store.append_audit([entry(3)])
        assert next(one.entry for one in store.audit(EVERYTHING, None, 100)) == entry(3)
    assert [one.entry for one in store.audit(EVERYTHING, None, 100)][-2:] == [entry(2), entry(1)]


def test_a_long_audit_log_is_read_from_its_end(store: FileKeyStore, log_path: Path) -> None:
    entries = [entry(number) for number in range(2 * BLOCK_BYTES // 50)]
    store.append_audit(entries)
    content = refusals_path(log_path).read_bytes()
    assert len(content) > 2 * BLOCK_BYTES
    found = list(read_backwards(refusals_path(log_path)))
    assert [line.entry for line in found] == entries[::-1]
    assert [line.number for line in found] == list(range(len(entries), 0, -1))
    for start, *_ in found[::500]:
        assert content[start - 1 : start] in (b"", b"\n")
        assert msgspec.json.decode(content[start : content.index(b"\n", start)])


def test_the_last_use_may_be_lost(store: FileKeyStore, log_path: Path) -> None:
    made = created(store)
    store.note_used({made.key.key_id: 5})
    Path(f"{keys_path(log_path)}.used").write_bytes(b"\x00\x00")
    assert store.last_used() == {}
    store.note_used({made.key.key_id: 6})
    assert store.last_used() == {made.key.key_id: 6}


def test_a_file_that_cannot_be_read_is_named(store: FileKeyStore, log_path: Path) -> None:
    keys_path(log_path).mkdir()
    with pytest.raises(StoreUnavailable, match=r"\.keys"):
        store.keys()


@pytest.mark.parametrize(
    "changed", [{"digest": "z" * 64}, {"digest": "AB" * 32}, {"key_id": "a/b"}, {"scopes": ["root"]}]
)
def test_a_key_that_no_version_has_written_is_damage(
    store: FileKeyStore, log_path: Path, changed: dict[str, object]
) -> None:
    key = msgspec.to_builtins(created(store).key) | changed
    lines = msgspec.json.encode([key])
    content = b'{"format":1,"sha256":"%b","keys":%b}' % (sha256(lines).hexdigest().encode(), lines)
    with pytest.raises(KeysDamaged):
        decode_keys(content, keys_path(log_path))
