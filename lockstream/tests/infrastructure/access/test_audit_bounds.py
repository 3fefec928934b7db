"""The bounds of the audit log: the oldest entries leave, refusals displace no change of a key, and numbers stay."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.keys import AuditAction, AuditEntry, AuditQuery
from lockstream.core.errors import KeysMissing, StoreUnavailable
from lockstream.core.key_store import AuditLimits, KeyStore
from lockstream.core.use_cases.manage_keys import revoke, rotate
from lockstream.infrastructure.access import audit_file
from lockstream.infrastructure.access.audit_file import audit_path, drop_oldest, read_backwards, refusals_path
from lockstream.infrastructure.access.key_file import keys_path
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.infrastructure.postgres.access import store as postgres_store
from lockstream.infrastructure.postgres.access.store import PostgresKeyStore
from lockstream.infrastructure.postgres.connection import Database
from lockstream.tests.support.keys import NOW, OPERATOR, created

MAX_BYTES = 16 * 1024
LIMITS = AuditLimits(MAX_BYTES)
EVERYTHING = AuditQuery()
CHANGES = AuditAction.CREATED, AuditAction.ROTATED, AuditAction.REVOKED


def refusals(start: int, stop: int) -> list[AuditEntry]:
    return [
        AuditEntry(
            at=f"2026-11-23T00:00:00.{number:06}Z", action=AuditAction.REFUSED, address="10.0.0.1", code="key_missing"
        )
        for number in range(start, stop)
    ]


@pytest.fixture(params=["file", "postgres"])
def open_bounded(request: pytest.FixtureRequest, log_path: Path) -> Callable[[], KeyStore]:
    if request.param == "file":
        return lambda: FileKeyStore(log_path, LIMITS)
    url: str = request.getfixturevalue("database_url")
    return lambda: PostgresKeyStore(Database(url), LIMITS)


def test_the_oldest_refusals_leave_and_no_change_of_a_key(
    open_bounded: Callable[[], KeyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "TRIM_ENTRIES", 50)
    with closing(open_bounded()) as store:
        made = created(store)
        before = 0
        kept: list[AuditEntry] = []
        for start in range(0, 1_000, 50):
            store.append_audit(refusals(start, start + 50))
            newest = store.audit(EVERYTHING, None, 10_000)
            # the newest refusals are there without a gap, and the oldest ones are not for ever
            kept = [one.entry for one in newest if one.entry.action is AuditAction.REFUSED]
            assert kept == refusals(start + 50 - len(kept), start + 50)[::-1]
            assert len(kept) >= 25
            # and numbers grow whatever has left
            numbers = [one.number for one in newest]
            assert numbers == sorted(numbers, reverse=True)
            assert len(set(numbers)) == len(numbers)
            assert numbers[0] > before
            before = numbers[0]
        assert len(kept) < 300
        # and the change of the key is still there
        [change] = store.audit(AuditQuery(key_id=made.key.key_id), None, 10)
        assert change.entry.action is AuditAction.CREATED
        # and a page goes on where it was, after others have left
        page = store.audit(EVERYTHING, None, 5)
        store.append_audit(refusals(1_000, 1_005))
        following = store.audit(EVERYTHING, page[-1].number, 5)
        assert [one.entry for one in following] == refusals(990, 995)[::-1]


def test_a_revocation_is_read_from_the_audit_log_once(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as writer, closing(FileKeyStore(log_path)) as store:
        # given a store that has read a revocation, and an older file of keys, which has the key as active
        first, second = (created(writer).key.key_id for _ in range(2))
        older = keys_path(log_path).read_bytes()
        writer.change(lambda keys: revoke(keys, first, OPERATOR, NOW + 1))
        created(writer)
        keys_path(log_path).write_bytes(older)
        assert store.keys()[first].revoked_at == NOW + 1
        # when its line cannot be read any more, and another key is revoked
        *before, revoked, after = audit_path(log_path).read_bytes().splitlines(keepends=True)
        audit_path(log_path).write_bytes(b"".join([*before, b"x" * (len(revoked) - 1), b"\n", after]))
        writer.change(lambda keys: revoke(keys, second, OPERATOR, NOW + 2))
        keys_path(log_path).write_bytes(older)
        # then both are revoked
        assert [store.keys()[key_id].revoked_at for key_id in (first, second)] == [NOW + 1, NOW + 2]
        # and another audit log in its place is read as a whole
        audit_path(log_path).write_bytes(b"".join([*before, revoked, after]))
        assert [store.keys()[key_id].revoked_at for key_id in (first, second)] == [NOW + 1, None]


def test_changes_of_keys_have_a_bound_of_their_own(
    open_bounded: Callable[[], KeyStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_store, "TRIM_ENTRIES", 1)
    with closing(open_bounded()) as store:
        store.append_audit(refusals(0, 10))
        made = [created(store).key.key_id for _ in range(150)]
        store.append_audit(refusals(10, 11))
        found = store.audit(AuditQuery(action=AuditAction.CREATED), None, 1_000)
        assert [one.entry.key_id for one in found] == made[::-1][: len(found)]
        assert 20 < len(found) < 150
        assert len(store.audit(AuditQuery(action=AuditAction.REFUSED), None, 100)) == 11
        assert set(store.keys()) == set(made)


def test_a_file_that_could_not_be_shortened_grows_and_loses_nothing(
    log_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileKeyStore(log_path, LIMITS)

    def fail(path: Path, _: object) -> None:
        raise OSError(28, "no space", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(audit_file, "replace_file", fail)
        store.append_audit(refusals(0, 500))
        made = created(store)
    assert len(store.audit(EVERYTHING, None, 10_000)) == 501
    store.append_audit(refusals(500, 501))
    assert refusals_path(log_path).stat().st_size <= MAX_BYTES
    assert store.audit(EVERYTHING, None, 1)[0].entry == refusals(500, 501)[0]
    assert list(store.keys()) == [made.key.key_id]


def test_a_shortened_file_has_whole_lines_and_is_private(log_path: Path) -> None:
    store = FileKeyStore(log_path)
    store.append_audit(refusals(0, 1_000))
    path = refusals_path(log_path)
    before = path.read_bytes()
    drop_oldest(path, len(before))
    assert path.read_bytes() == before
    for size in range(10_000, 10_100, 7):
        drop_oldest(path, size)
        content = path.read_bytes()
        assert before.endswith(b"\n" + content)
        assert size / 2 - 200 < len(content) <= size / 2
        assert all(line.entry for line in read_backwards(path))
        path.write_bytes(before)
        path.chmod(0o600)
    drop_oldest(path, 10_000)
    assert path.stat().st_mode & 0o777 == 0o600
    drop_oldest(log_path.parent / "missing", 10)


def test_a_disk_with_too_little_space_keeps_changes_and_no_refusals(log_path: Path) -> None:
    store = FileKeyStore(log_path, AuditLimits(MAX_BYTES, shutil.disk_usage(log_path.parent).total * 2))
    with pytest.raises(StoreUnavailable, match="LOCKSTREAM_MIN_FREE_BYTES"):
        store.append_audit(refusals(0, 1))
    made = created(store)
    assert [one.entry.key_id for one in store.audit(EVERYTHING, None, 10)] == [made.key.key_id]


def test_a_line_of_before_has_its_offset_as_its_number(log_path: Path) -> None:
    """Lines of early versions have no number, and refusals stand among changes."""
    old = (
        b'{"at":"2026-11-23T00:00:00.000000Z","action":"refused","code":"key_missing"}\n'
        b'{"at":"2026-11-23T00:00:01.000000Z","action":"created","key_id":"abcdefgh"}\n'
    )
    audit_path(log_path).write_bytes(old)
    store = FileKeyStore(log_path)
    with pytest.raises(KeysMissing):
        store.keys()
    store.append_audit(refusals(0, 2))
    found = store.audit(EVERYTHING, None, 10)
    second = old.index(b"\n") + 2
    assert [one.number for one in found] == [second + 2, second + 1, second, 1]
    assert [one.entry.action for one in found] == ["refused", "refused", "created", "refused"]


def test_an_older_file_of_keys_revives_no_revoked_key(log_path: Path) -> None:
    # given a copy of the keys from before a revocation
    store = FileKeyStore(log_path)
    kept, revoked = created(store).key.key_id, created(store).key.key_id
    older = keys_path(log_path).read_bytes()
    store.change(lambda keys: revoke(keys, revoked, OPERATOR, NOW + 7))
    after = store.keys()
    # when it takes the place of the keys, beside the newer audit log
    keys_path(log_path).write_bytes(older)
    # then the revoked key stays revoked, in memory and after the next change
    assert store.keys() == after
    assert store.keys()[revoked].revoked_at == NOW + 7
    assert store.keys()[kept].revoked_at is None
    created(store)
    audit_path(log_path).unlink()
    assert store.keys()[revoked].revoked_at == NOW + 7


def test_the_end_of_an_overlap_is_not_moved_by_a_later_revocation(log_path: Path) -> None:
    store = FileKeyStore(log_path)
    old = created(store).key.key_id
    store.change(lambda keys: rotate(keys, old, 60, OPERATOR, NOW + 1))
    store.change(lambda keys: revoke(keys, old, OPERATOR, NOW + 2))
    assert store.keys()[old].revoked_at == NOW + 2
