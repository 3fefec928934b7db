"""Keys of a running system: changes by other processes, failures of the store, last use and refusals."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Event

import pytest

from lockstream.core.entities.access import ANYONE, Scope
from lockstream.core.entities.keys import AuditAction, AuditQuery, KeyStatus
from lockstream.core.errors import KeysDamaged, KeysMissing, NotAuthenticated, StoreUnavailable, UnknownKey
from lockstream.core.key_store import KeyStore
from lockstream.core.use_cases.manage_keys import revoke, rotate
from lockstream.infrastructure.access.audit_file import audit_path
from lockstream.infrastructure.access.key_file import keys_path
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.infrastructure.postgres.access.store import PostgresKeyStore
from lockstream.infrastructure.postgres.connection import Database
from lockstream.services.running.access import access as access_module
from lockstream.services.running.access.access import Access
from lockstream.tests.support.databases import database_url, execute
from lockstream.tests.support.keys import OPERATOR, created, request
from lockstream.tests.support.processes import wait_until

__all__ = ["database_url"]

REFUSED = AuditQuery(action=AuditAction.REFUSED)


@pytest.fixture(params=["file", "postgres"])
def open_store(request: pytest.FixtureRequest, log_path: Path) -> Callable[[], KeyStore]:
    """A function that opens the same keys each time, as another process would."""
    if request.param == "file":
        return lambda: FileKeyStore(log_path)
    url: str = request.getfixturevalue("database_url")
    return lambda: PostgresKeyStore(Database(url))


@pytest.fixture
def store(open_store: Callable[[], KeyStore]) -> Iterator[KeyStore]:
    """The store of another process."""
    with closing(open_store()) as store:
        yield store


@pytest.fixture
def failing_writes(
    request: pytest.FixtureRequest, store: KeyStore, log_path: Path
) -> Callable[[], AbstractContextManager[None]]:
    """A function that lets writes of the keys fail, after those of their audit entries, for the time of a block."""
    if isinstance(store, FileKeyStore):
        return lambda: folder_in_the_way(Path(f"{keys_path(log_path)}.new"))
    return lambda: failing_trigger(request.getfixturevalue("database_url"))


@contextmanager
def folder_in_the_way(path: Path) -> Iterator[None]:
    path.mkdir()
    yield
    path.rmdir()


@contextmanager
def failing_trigger(url: str) -> Iterator[None]:
    execute(
        url,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no space'; END $$; "
        "CREATE TRIGGER fails BEFORE INSERT OR UPDATE ON access_keys EXECUTE FUNCTION fail()",
    )
    yield
    execute(url, "DROP FUNCTION fail CASCADE")


@contextmanager
def running(store: KeyStore) -> Iterator[Access]:
    with closing(Access(store)) as access:
        yield access


@pytest.fixture
def access(open_store: Callable[[], KeyStore]) -> Iterator[Access]:
    with running(open_store()) as access:
        yield access


def header(text: str) -> bytes:
    return f"Bearer {text}".encode()


def is_accepted(access: Access, text: str) -> bool:
    try:
        access.authenticate(header(text))
    except NotAuthenticated:
        return False
    return True


def now() -> int:
    return time.time_ns() // 1_000


def test_without_keys_anyone_is_the_caller(access: Access) -> None:
    assert access.is_open
    assert access.authenticate(None) is ANYONE
    assert access.authenticate(b"Bearer anything") is ANYONE


def test_the_caller_of_a_key_is_what_the_key_allows(store: KeyStore, open_store: Callable[[], KeyStore]) -> None:
    made = created(store, request(Scope.READ, Scope.FEED, lockers=["a", "s-*"]))
    with running(open_store()) as access:
        caller = access.authenticate(header(made.text))
    assert str(caller.key_id) == made.key.key_id
    assert caller.scopes == {Scope.READ, Scope.FEED}
    assert [caller.may_use(locker) for locker in ("a", "ab", "s-1", "s")] == [True, False, True, False]


def test_changes_of_another_process_are_picked_up(access: Access, store: KeyStore) -> None:
    made = created(store)
    wait_until(lambda: not access.is_open)
    assert is_accepted(access, made.text)
    store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now()))
    wait_until(lambda: not is_accepted(access, made.text))
    assert not access.is_open


def test_a_revocation_that_failed_holds_once_it_is_repeated(
    access: Access, store: KeyStore, failing_writes: Callable[[], AbstractContextManager[None]]
) -> None:
    # given a key, and a command that could not write its revocation
    made = access.create(request(), OPERATOR)
    with failing_writes(), pytest.raises(StoreUnavailable):
        store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now()))
    # when the command is repeated
    changed = store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now()))
    # then the key is revoked, as the command says, and a running server refuses it
    assert changed.key.status(now()) is KeyStatus.REVOKED
    wait_until(lambda: not is_accepted(access, made.text))


def test_a_revocation_of_the_audit_log_alone_is_picked_up(log_path: Path) -> None:
    # given a running server, and a command that could not write a revocation behind its audit entry
    with running(FileKeyStore(log_path)) as access:
        made = access.create(request(), OPERATOR)
        store = FileKeyStore(log_path)
        with folder_in_the_way(Path(f"{keys_path(log_path)}.new")), pytest.raises(StoreUnavailable):
            store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now()))
        # then the server refuses the key, as it would after a restart
        wait_until(lambda: not is_accepted(access, made.text))
        with pytest.raises(NotAuthenticated, match="was revoked"):
            access.authenticate(header(made.text))


@pytest.mark.parametrize("is_rotated", [False, True])
def test_a_revocation_by_a_machine_whose_clock_is_ahead_holds(
    access: Access, open_store: Callable[[], KeyStore], store: KeyStore, *, is_rotated: bool
) -> None:
    # given a key, perhaps one that a rotation still accepts for a day
    made = access.create(request(), OPERATOR)
    if is_rotated:
        access.rotate(made.key.key_id, 86_400, OPERATOR)
    assert is_accepted(access, made.text)
    caller = access.authenticate(header(made.text))
    # when a machine revokes it whose clock is an hour ahead
    store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now() + 3_600_000_000))
    # then a running server refuses the key, also for requests that have begun
    wait_until(lambda: not is_accepted(access, made.text))
    with pytest.raises(NotAuthenticated, match="was revoked"):
        access.require_accepted(caller)
    # and so does a server that starts, and both list the key as revoked
    with running(open_store()) as started:
        assert not is_accepted(started, made.text)
    [known] = [known.key for known in access.known_keys() if known.key.key_id == made.key.key_id]
    assert known.status(now()) is KeyStatus.REVOKED


def test_a_rotation_without_an_overlap_holds_whatever_the_clock_says(access: Access, store: KeyStore) -> None:
    made = access.create(request(), OPERATOR)
    store.change(lambda keys: rotate(keys, made.key.key_id, 0, OPERATOR, now() + 3_600_000_000))
    wait_until(lambda: not is_accepted(access, made.text))


def test_own_changes_hold_at_once(access: Access) -> None:
    made = access.create(request(Scope.ADMIN), OPERATOR)
    assert is_accepted(access, made.text)
    rotated = access.rotate(made.key.key_id, 0, OPERATOR)
    assert (is_accepted(access, made.text), is_accepted(access, rotated.text)) == (False, True)
    access.revoke(rotated.key.key_id, OPERATOR)
    assert not is_accepted(access, rotated.text)
    with pytest.raises(UnknownKey):
        access.revoke("unknown1", OPERATOR)


def test_a_key_ends_by_itself(access: Access) -> None:
    made = access.create(request(expires_seconds=1), OPERATOR)
    assert is_accepted(access, made.text)
    wait_until(lambda: not is_accepted(access, made.text))
    with pytest.raises(NotAuthenticated) as refused:
        access.authenticate(header(made.text))
    assert (refused.value.code, refused.value.key_id) == ("key_expired", made.key.key_id)


def test_open_requests_end_with_their_key(access: Access) -> None:
    ended: list[str] = []
    kept = access.create(request(), OPERATOR)
    made = access.create(request(), OPERATOR)
    short = access.create(request(expires_seconds=1), OPERATOR)
    with (
        access.open_requests.added(made.key.key_id, lambda: ended.append("revoked")),
        access.open_requests.added(short.key.key_id, lambda: ended.append("expired")),
        access.open_requests.added(kept.key.key_id, lambda: ended.append("kept")),
    ):
        access.revoke(made.key.key_id, OPERATOR)
        assert ended == ["revoked"]
        wait_until(lambda: len(ended) == 2)
    assert ended == ["revoked", "expired"]


def test_requests_without_a_key_end_when_there_is_the_first_key(access: Access, store: KeyStore) -> None:
    ended: list[str] = []
    with access.open_requests.added("", lambda: ended.append("open")):
        created(store)
        wait_until(lambda: ended)


def test_the_last_use_is_noted_without_a_write(
    access: Access, monkeypatch: pytest.MonkeyPatch, store: KeyStore
) -> None:
    made, other = access.create(request(), OPERATOR), access.create(request(), OPERATOR)
    before = now() // 60_000_000
    for _ in range(100):
        access.authenticate(header(made.text))
    used = {known.key.key_id: known.used_minute for known in access.known_keys()}
    assert before <= (used[made.key.key_id] or 0) <= now() // 60_000_000
    assert used[other.key.key_id] is None
    assert store.last_used() == {}
    monkeypatch.setattr(access_module, "USE_SECONDS", 0.1)
    wait_until(store.last_used)
    assert list(store.last_used()) == [made.key.key_id]


def test_the_last_use_is_written_when_the_server_stops(open_store: Callable[[], KeyStore], store: KeyStore) -> None:
    made = created(store)
    with running(open_store()) as access:
        access.authenticate(header(made.text))
    assert list(store.last_used()) == [made.key.key_id]


def test_equal_refusals_are_one_entry_a_minute(access: Access, store: KeyStore) -> None:
    for _ in range(50):
        access.note_refusal("", "10.0.0.1", "get_network", "key_missing")
    wait_until(lambda: store.audit(REFUSED, None, 10))
    for number in range(30):
        access.note_refusal("", "10.0.0.1", "get_network", "key_missing", count=2)
        access.note_refusal("k" * 8, f"10.0.1.{number}", "get_keys", "scope_missing")
    wait_until(lambda: len(store.audit(REFUSED, None, 10)) == 2)
    time.sleep(2 * access_module.POLL_SECONDS)
    newest, oldest = [one.entry for one in store.audit(REFUSED, None, 10)]
    assert (oldest.address, oldest.operation, oldest.code) == ("10.0.0.1", "get_network", "key_missing")
    assert oldest.count <= 50
    assert (newest.key_id, newest.code) == ("k" * 8, "scope_missing")
    access.close()
    assert sum(one.entry.count for one in store.audit(REFUSED, None, 10)) == 50 + 60 + 30


def test_damaged_keys_stop_a_start(log_path: Path) -> None:
    store = FileKeyStore(log_path)
    created(store)
    path = keys_path(log_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(KeysDamaged):
        Access(store)
    path.unlink()
    with pytest.raises(KeysMissing):
        Access(store)


@pytest.mark.parametrize("fault", ["damaged", "empty", "missing", "all gone", "a folder"])
def test_a_running_server_keeps_the_last_good_keys(
    log_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = FileKeyStore(log_path)
    made, path = created(store), keys_path(log_path)
    content = path.read_bytes()
    with caplog.at_level(logging.ERROR), running(FileKeyStore(log_path)) as access:
        match fault:
            case "damaged":
                path.write_bytes(content[:40])
            case "empty":
                path.write_bytes(b"")
            case "missing":
                path.unlink()
            case "all gone":
                path.unlink()
                audit_path(log_path).unlink()
            case _:
                path.unlink()
                path.mkdir()
        wait_until(lambda: caplog.records)
        time.sleep(3 * access_module.POLL_SECONDS)
        # then the key is accepted, others are not, and the error is logged once
        assert is_accepted(access, made.text)
        assert not access.is_open
        assert len(caplog.records) == 1
        assert "goes on with the keys that it has read before" in caplog.text
        # and once the file is back, changes are picked up again
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)
        store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now()))
        wait_until(lambda: not is_accepted(access, made.text))


def test_an_unexpected_error_does_not_end_the_search_for_changes(
    log_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FileKeyStore(log_path)
    made = created(store)
    with running(FileKeyStore(log_path)) as access:
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(FileKeyStore, "version", lambda self: 1 / 0)
            wait_until(lambda: caplog.records)
            assert "ZeroDivisionError" in caplog.text
        store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now()))
        wait_until(lambda: not is_accepted(access, made.text))


def test_a_write_that_takes_long_delays_no_revocation(
    access: Access, store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, may_end = access.create(request(), OPERATOR), Event()
    is_writing = Event()

    def append_slowly(*_: object) -> None:
        is_writing.set()
        may_end.wait()

    monkeypatch.setattr(type(store), "append_audit", append_slowly)
    access.note_refusal("", "192.0.2.1", "get_network", "key_missing")
    assert is_writing.wait(60)
    store.change(lambda keys: revoke(keys, made.key.key_id, OPERATOR, now()))
    wait_until(lambda: not is_accepted(access, made.text))
    may_end.set()


def test_a_request_that_has_begun_is_refused_once_its_key_has_ended(access: Access) -> None:
    access.require_accepted(ANYONE)
    made = access.create(request(), OPERATOR)
    caller = access.authenticate(header(made.text))
    access.require_accepted(caller)
    with pytest.raises(NotAuthenticated, match="no API key"):
        access.require_accepted(ANYONE)
    access.revoke(made.key.key_id, OPERATOR)
    with pytest.raises(NotAuthenticated, match="was revoked") as refused:
        access.require_accepted(caller)
    assert refused.value.code == "key_revoked"


def test_keys_that_are_not_enforced_are_not_read(log_path: Path) -> None:
    keys_path(log_path).write_bytes(b"damaged")
    with closing(Access(FileKeyStore(log_path), is_enforced=False)) as access:
        assert access.is_open
        assert access.authenticate(None) is ANYONE
