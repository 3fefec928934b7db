"""Keys and audit entries, on files and on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from msgspec.json import encode

from lockstream.core.entities.access import Scope
from lockstream.core.entities.keys import AuditAction, AuditEntry, AuditQuery
from lockstream.core.errors import InvalidKey, KeysMissing
from lockstream.core.key_store import KeyChange, Keys, KeyStore
from lockstream.core.use_cases.manage_keys import KeyRequest, create, revoke, rotate
from lockstream.infrastructure.postgres.access.store import PostgresKeyStore
from lockstream.infrastructure.postgres.connection import Database
from lockstream.tests.support.databases import connect, execute
from lockstream.tests.support.keys import NOW, OPERATOR, created, request
from lockstream.tests.support.processes import wait_until

EVERYTHING = AuditQuery()
SECOND = 1_000_000


def refusal(at: str, key_id: str = "", code: str = "key_missing") -> AuditEntry:
    return AuditEntry(at=at, action=AuditAction.REFUSED, key_id=key_id, address="10.0.0.1", operation="get", code=code)


def test_a_store_is_empty_at_first(store: KeyStore) -> None:
    assert store.keys() == {}
    assert store.audit(EVERYTHING, None, 10) == []
    assert store.last_used() == {}


def test_a_key_is_kept_as_it_was_created(store: KeyStore, open_store: Callable[[], KeyStore]) -> None:
    asked = KeyRequest(
        name="Größe 7",
        scopes=[Scope.FEED, Scope.READ],
        lockers=["s-7*", "a"],
        expires_seconds=60,
        requests_per_second=1.5,
        events_per_second=100,
        burst_seconds=3,
    )
    made = created(store, asked)
    with closing(open_store()) as other:
        assert other.keys() == {made.key.key_id: made.key}
    assert made.key.expires_at == NOW + 60 * SECOND
    assert made.key.scopes == (Scope.READ, Scope.FEED)
    assert made.text not in repr(made.key)


def test_every_change_has_another_version(store: KeyStore, open_store: Callable[[], KeyStore]) -> None:
    versions = [store.version()]
    made = created(store)
    versions.append(store.version())
    with closing(open_store()) as other:
        assert other.version() == versions[-1]
        other.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, NOW + 1))
    versions.append(store.version())
    assert len(set(versions)) == 3
    assert store.version() == versions[-1]


def test_a_rotated_and_a_revoked_key_are_kept(store: KeyStore) -> None:
    old = created(store).key.key_id
    new = store.change(lambda keys: rotate(keys, old, 60, OPERATOR, NOW + 1)).key.key_id
    store.change(lambda keys: revoke(keys, new, OPERATOR, NOW + 2))
    keys = store.keys()
    assert (keys[old].revoked_at, keys[old].replaced_by) == (NOW + 1 + 60 * SECOND, new)
    assert (keys[new].revoked_at, keys[new].replaces) == (NOW + 2, old)
    assert [one.entry.action for one in store.audit(EVERYTHING, None, 10)] == ["revoked", "rotated", "created"]


def test_a_change_that_is_refused_changes_nothing(store: KeyStore) -> None:
    made, version = created(store), store.version()
    with pytest.raises(InvalidKey):
        created(store, KeyRequest(name="x", scopes=[]))
    assert store.version() == version
    assert list(store.keys()) == [made.key.key_id]
    assert len(store.audit(EVERYTHING, None, 10)) == 1


def test_no_change_of_two_writers_is_lost(open_store: Callable[[], KeyStore]) -> None:
    def add(_: int) -> str:
        with closing(open_store()) as store:
            return created(store).key.key_id

    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(add, range(12)))
    with closing(open_store()) as store:
        assert set(store.keys()) == made
        assert {one.entry.key_id for one in store.audit(EVERYTHING, None, 100)} == made


def test_a_decision_sees_the_keys_of_the_moment(store: KeyStore, open_store: Callable[[], KeyStore]) -> None:
    made = created(store)
    seen: list[Keys] = []

    def look(keys: Keys) -> KeyChange:
        seen.append(dict(keys))
        return KeyChange()

    with closing(open_store()) as other:
        other.change(look)
    assert seen == [{made.key.key_id: made.key}]


def test_missing_keys_are_noticed_if_the_audit_log_names_some(store: KeyStore) -> None:
    store.append_audit([refusal("2026-11-23T00:00:00.000000Z")])
    assert store.keys() == {}
    store.append_audit([AuditEntry(at="2026-11-23T00:00:01.000000Z", action=AuditAction.CREATED, key_id="abcdefgh")])
    with pytest.raises(KeysMissing, match=r"[Rr]estore"):
        store.keys()
    with pytest.raises(KeysMissing):
        created(store)


def test_a_first_key_that_is_created_during_a_read_is_no_missing_table(database_url: str) -> None:
    made = create({}, request(), OPERATOR, NOW)
    key = made.key
    with (
        ThreadPoolExecutor(1) as threads,
        closing(PostgresKeyStore(Database(database_url))) as store,
        closing(connect(database_url)) as other,
    ):
        # given a transaction that creates the first key, and a start that reads the keys before its commit
        other.execute("BEGIN; LOCK TABLE access_audit")
        found = threads.submit(store.keys)
        wait_until(lambda: execute(database_url, "SELECT 1 FROM pg_locks WHERE NOT granted"))
        insert_audit = "INSERT INTO access_audit (at, action, key_ids, record) VALUES (%s, %s, %s, %s)"
        other.execute(insert_audit, [made.audit[0].at, "created", [key.key_id], encode(made.audit[0]).decode()])
        other.execute("INSERT INTO access_keys (key_id, record) VALUES (%s, %s)", [key.key_id, encode(key).decode()])
        other.execute("COMMIT")
        # when the start then reads the audit log, it finds the key
        assert found.result(60) == {key.key_id: key}


def test_the_audit_log_has_pages_and_filters(store: KeyStore) -> None:
    entries = [refusal(f"2026-11-23T00:00:{second:02}.000000Z", f"key{second % 2}") for second in range(30)]
    store.append_audit(entries[:20])
    store.append_audit(entries[20:])
    newest = store.audit(EVERYTHING, None, 7)
    assert [one.entry for one in newest] == entries[:22:-1]
    rest = store.audit(EVERYTHING, newest[-1].number, 100)
    assert [one.entry for one in rest] == entries[22::-1]
    of_one = store.audit(AuditQuery(key_id="key1", since="2026-11-23T00:00:10.000000Z"), None, 100)
    assert [one.entry for one in of_one] == [entry for entry in reversed(entries[10:]) if entry.key_id == "key1"]
    assert store.audit(AuditQuery(action=AuditAction.CREATED), None, 10) == []
    assert len(store.audit(AuditQuery(action=AuditAction.REFUSED), None, 100)) == 30


def test_an_entry_is_found_by_the_key_that_made_the_change(store: KeyStore) -> None:
    made = store.change(lambda keys: create(keys, request(), OPERATOR.__class__("adminkey", "10.0.0.9"), NOW))
    [found] = store.audit(AuditQuery(key_id="adminkey"), None, 10)
    assert (found.entry.key_id, found.entry.address) == (made.key.key_id, "10.0.0.9")


def test_the_last_use_only_grows(store: KeyStore, open_store: Callable[[], KeyStore]) -> None:
    one, two = created(store).key.key_id, created(store).key.key_id
    store.note_used({one: 100})
    with closing(open_store()) as other:
        other.note_used({one: 90, two: 7})
    assert store.last_used() == {one: 100, two: 7}
    version = store.version()
    store.note_used({one: 101})
    assert store.last_used()[one] == 101
    assert store.version() == version, "the last use is no change of the keys"
