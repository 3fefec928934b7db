"""`lockstream keys` and `lockstream audit`, beside no server, and the commands that send a key."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.access import Scope
from lockstream.core.entities.key_text import is_key_text, new_key_text
from lockstream.core.entities.keys import AuditAction, AuditEntry, AuditQuery
from lockstream.infrastructure.access.key_file import keys_path
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.tests.support.clients import open_from_environment, serving
from lockstream.tests.support.commands import RunCommand, run_command
from lockstream.tests.support.databases import empty_database_url
from lockstream.tests.support.histories import files_beside
from lockstream.tests.support.keys import created, request
from lockstream.tests.support.processes import Server, command, redirected

__all__ = ["empty_database_url", "run_command"]

type Variables = dict[str, str]


@pytest.fixture(params=["file", "database"])
def variables(request: pytest.FixtureRequest) -> Variables:
    """Environment variables that name a log without keys. A database has no tables yet."""
    return {} if request.param == "file" else {"DATABASE_URL": request.getfixturevalue("empty_database_url")}


def test_a_key_is_printed_once_alone(run_command: RunCommand, variables: Variables) -> None:
    made = run_command(
        *("keys", "create", "station 7", "--scope", "events:write", "--scope", "read"),
        *("--locker", "s-7*", "--locker", "a", "--expires", "90d", "--events-per-second", "10"),
        **variables,
    )
    assert made.exit_code == 0
    text = made.output.decode().removesuffix("\n")
    assert is_key_text(text)
    assert "`Authorization: Bearer lsk_…`" in made.errors
    assert text not in made.errors
    assert "(station 7) was created with events:write read, for the lockers a s-7*." in made.errors
    [listed] = run_command("keys", "list", "--format", "json", **variables).output.decode().splitlines()
    key = json.loads(listed)
    assert key["key_id"] == text[4:12]
    assert (key["scopes"], key["lockers"]) == (["events:write", "read"], ["a", "s-7*"])
    assert (key["status"], key["events_per_second"], key["burst_seconds"]) == ("active", 10, None)
    assert key["created_by"].startswith("the command line (")
    shown = run_command("keys", "show", text[4:12], **variables)
    assert "station 7" in shown.output.decode()
    for printed in run_command("keys", "list", **variables), shown, run_command("audit", **variables):
        assert printed.exit_code == 0
        assert text.split("_")[2] not in printed.output.decode() + printed.errors


def test_a_new_key_is_kept_beside_the_log_at_an_absolute_path(log_path: Path, run_command: RunCommand) -> None:
    log_path.touch()
    made = run_command("keys", "create", "x", "--scope", "read", "--log", log_path.name)
    assert f"It is kept in {keys_path(log_path)}.\n" in made.errors
    assert "There is no log" not in made.errors


def test_a_key_beside_no_log_comes_with_a_hint(log_path: Path, run_command: RunCommand) -> None:
    hint = f"There is no log at {log_path} yet. A server whose log is elsewhere does not know the keys here.\n"
    made = run_command("keys", "create", "x", "--scope", "read", "--log", log_path.name)
    assert hint in made.errors
    key_id = made.output.decode()[4:12]
    assert hint in run_command("keys", "rotate", key_id).errors


def test_an_empty_list_of_keys_beside_no_log_comes_with_the_hint(log_path: Path, run_command: RunCommand) -> None:
    listed = run_command("keys", "list", "--log", log_path.name)
    assert f"There is no key in {keys_path(log_path)}." in listed.errors
    assert f"There is no log at {log_path} yet." in listed.errors


def test_a_key_in_a_database_comes_without_the_hint(run_command: RunCommand, empty_database_url: str) -> None:
    made = run_command("keys", "create", "x", "--scope", "read", DATABASE_URL=empty_database_url)
    assert "There is no log" not in made.errors


def test_a_key_is_rotated_and_revoked(run_command: RunCommand, variables: Variables) -> None:
    first = run_command("keys", "create", "x", "--scope", "read", "--expires", "90d", **variables)
    assert "was created with read, for all lockers." in first.errors
    old = first.output.decode()[4:12]
    new = run_command("keys", "rotate", old, "--overlap", "2h", **variables).output.decode()[4:12]
    # the list shows the end of the overlap, and the successor
    header, *rows = run_command("keys", "list", **variables).output.decode().splitlines()
    shown = {row.split()[0]: row.split() for row in rows}  # without empty cells
    assert {"ends_at", "replaced_by"} < set(header.split())
    assert new in shown[old]
    items = run_command("keys", "list", "--format", "json", **variables).output.decode().splitlines()
    ends = {item["key_id"]: item for item in map(json.loads, items)}
    assert ends[old]["ends_at"] == ends[old]["revoked_at"] < ends[old]["expires_at"]
    assert ends[new]["ends_at"] == ends[new]["expires_at"]
    assert ends[old]["ends_at"] in shown[old]
    again = run_command("keys", "rotate", old, **variables)
    assert again.exit_code == 1
    assert f"Rotate the key {new}" in again.errors
    assert run_command("keys", "revoke", new, **variables).exit_code == 0
    listed = run_command("keys", "list", "--format", "json", **variables).output.decode().splitlines()
    assert {json.loads(line)["key_id"]: json.loads(line)["status"] for line in listed} == {
        old: "active",
        new: "revoked",
    }
    entries = run_command("audit", "--json", "--limit", "2", **variables).output.decode().splitlines()
    assert [json.loads(line)["action"] for line in entries] == ["revoked", "rotated"]
    created = run_command("audit", "--json", "--action", "created", "--key", old, **variables).output.decode()
    assert json.loads(created)["key_id"] == old


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["create", "x", "--scope", "admin", "--locker", "a"], "cannot be bound to lockers"),
        (["create", "x", "--scope", "read", "--locker", "a/b"], "The locker is 'a/b'"),
        (["create", "x", "--scope", "read", "--locker", "*"], "The locker is '*'"),
        (["create", "a\tb", "--scope", "read"], "printable"),
        (["create", " ", "--scope", "read"], "printable"),
        (["create", "x" * 101, "--scope", "read"], "100"),
        (["create", "x", "--scope", "read", "--burst-seconds", "0"], "The burst is 0 seconds"),
        (["create", "x", "--scope", "read", "--events-per-second", "nan"], "from 0.001 to"),
        (["create", "x", "--scope", "read", "--expires", "0s"], "expires"),
        (["revoke", "unknown1"], "There is no key 'unknown1'"),
        (["rotate", "unknown1"], "There is no key 'unknown1'"),
        (["show", "unknown1"], "There is no key 'unknown1'"),
    ],
)
def test_a_wrong_request_is_explained(
    run_command: RunCommand, log_path: Path, arguments: list[str], error: str
) -> None:
    result = run_command("keys", *arguments)
    assert result.exit_code == 1
    assert error in result.errors
    assert not keys_path(log_path).exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "x", "--scope", "write"],
        ["create", "x"],
        ["create", "x", "--scope", "read", "--expires", "90"],
        ["create", "x", "--scope", "read", "--expires", "-1d"],
        ["rotate", "unknown1", "--overlap", "soon"],
    ],
)
def test_a_wrong_command_line_is_refused(run_command: RunCommand, log_path: Path, arguments: list[str]) -> None:
    assert run_command("keys", *arguments).exit_code == 2
    assert not keys_path(log_path).exists()


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "JSON"])
def test_an_audit_about_a_key_that_is_not_utf8_is_an_error_of_usage(
    run_command: RunCommand, variables: Variables, form: tuple[str, ...]
) -> None:
    result = run_command("audit", "--key", os.fsdecode(b"\xff"), *form, **variables)
    assert result.exit_code == 2
    assert "is not UTF-8" in result.errors


def test_no_key_is_created_if_standard_output_is_closed(log_path: Path, run_command: RunCommand) -> None:
    # given
    made = run_command("keys", "create", "a", "--scope", "read")
    key_id = made.output.decode().split("_")[1]
    before = files_beside(log_path)
    for arguments in ("create", "b", "--scope", "read"), ("rotate", key_id):
        # when
        result = command(log_path, "keys", *arguments, under=redirected(">&-"))
        # then
        assert result.returncode == 1
        assert result.stderr.decode().startswith("lockstream: Standard output is closed.")
        assert result.stderr.count(b"\n") == 1
        assert files_beside(log_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_key_that_cannot_be_printed_is_named_so_that_it_can_be_replaced(
    log_path: Path, run_command: RunCommand
) -> None:
    # when
    result = command(log_path, "keys", "create", "a", "--scope", "read", under=redirected(">/dev/full"))
    # then the error names the key, and how to replace it
    assert result.returncode == 1
    [error] = result.stderr.decode().splitlines()
    assert "No space left on device" in error
    found = re.search("`lockstream (keys rotate (.{8}) --overlap 0s)`", error)
    assert found
    # and that works
    replaced = run_command(*found[1].split())
    assert replaced.exit_code == 0
    listed = run_command("keys", "list", "--format", "json").output.decode().splitlines()
    statuses = {item["key_id"]: item["status"] for item in map(json.loads, listed)}
    assert statuses == {found[2]: "revoked", replaced.output.decode().split("_")[1]: "active"}


def test_damaged_keys_are_explained(run_command: RunCommand, log_path: Path) -> None:
    log_path.touch()
    keys_path(log_path).write_bytes(b"{")
    for arguments in ["keys", "list"], ["keys", "create", "x", "--scope", "read"], ["verify"]:
        result = run_command(*arguments)
        assert result.exit_code == 1
        assert "Restore the file from a backup" in result.errors
    served = command(log_path, "serve", "--port", "0")
    assert served.returncode == 1
    assert "Restore the file from a backup" in (errors := served.stderr.decode())
    assert "Traceback" not in errors
    assert keys_path(log_path).read_bytes() == b"{"


def test_serve_does_not_start_on_an_open_address_without_a_key(log_path: Path) -> None:
    served = command(log_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert served.returncode == 1
    [error] = served.stderr.decode().splitlines()
    assert "lockstream keys create admin --scope admin" in error
    assert "LOCKSTREAM_AUTH=off" in error


def test_no_key_is_said_so(run_command: RunCommand, variables: Variables) -> None:
    result = run_command("keys", "list", **variables)
    assert result.exit_code == 0
    assert "There is no key in " in result.errors


@pytest.fixture
def guarded(log_path: Path) -> Iterator[tuple[str, dict[Scope, str]]]:
    """The URL of a server with a key of each scope, and these keys."""
    with closing(FileKeyStore(log_path)) as store:
        keys = {scope: created(store, request(scope)).text for scope in Scope}
    with serving(create_app(open_from_environment)) as url:
        yield url, keys


COMMANDS = {
    "quarantine": (["quarantine", "list", "{}"], Scope.QUARANTINE),
    "simulate": (["simulate", "--seed", "1", "--lockers", "10", "--days", "1", "--post", "{}"], Scope.EVENTS_WRITE),
    "follow": (["follow", "{}", "--after", "0"], Scope.FEED),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_why_its_key_is_refused(
    run_command: RunCommand, guarded: tuple[str, dict[Scope, str]], name: str
) -> None:
    url, keys = guarded
    arguments, _ = COMMANDS[name]
    given = [argument.format(url) for argument in arguments]
    for key, status in ((None, 401), (new_key_text().text, 401), (keys[Scope.READ], 403)):
        result = run_command(*given, **({} if key is None else {"LOCKSTREAM_API_KEY": key}))
        assert result.exit_code == 1
        assert f"answered {status}: " in result.errors
        assert "LOCKSTREAM_API_KEY" in result.errors
        assert key is None or key not in result.errors
    broken = "lsk_not_a_key\n\x1b"
    result = run_command(*given, LOCKSTREAM_API_KEY=broken)
    assert result.exit_code == 1
    assert "does not contain an API key" in result.errors
    assert "not_a_key" not in result.errors


@pytest.mark.parametrize("name", ["quarantine", "simulate"])
def test_a_command_sends_its_key(run_command: RunCommand, guarded: tuple[str, dict[Scope, str]], name: str) -> None:
    url, keys = guarded
    arguments, scope = COMMANDS[name]
    result = run_command(*[argument.format(url) for argument in arguments], LOCKSTREAM_API_KEY=keys[scope])
    assert result.exit_code == 0, result.errors


def test_a_backup_has_keys_and_both_parts_of_the_audit_log(run_command: RunCommand, log_path: Path) -> None:
    log_path.touch()
    with closing(FileKeyStore(log_path)) as store:
        older = created(store), keys_path(log_path).read_bytes()
        later = created(store)
        store.append_audit([AuditEntry(at="2026-11-23T00:00:00.000000Z", action=AuditAction.REFUSED, code="x")])
        before, entries = store.keys(), store.audit(AuditQuery(), None, 10)
    copy = log_path.parent / "copy.jsonl"
    made = run_command("backup", str(copy))
    assert made.exit_code == 0
    assert f"The audit log is copied to {copy}.audit and {copy}.audit.refused." in made.errors
    with closing(FileKeyStore(copy)) as store:
        assert (store.keys(), store.audit(AuditQuery(), None, 10)) == (before, entries)
    assert "lacks" not in run_command("verify").errors
    # a file of keys that is older than the audit log is noticed
    keys_path(log_path).write_bytes(older[1])
    verified = run_command("verify")
    assert verified.exit_code == 0
    assert f"names 1 key that {keys_path(log_path)} lacks ({later.key.key_id})" in verified.errors


def test_a_server_that_prints_a_key_fails_its_test(log_path: Path) -> None:
    key_id, text = new_key_text()
    printing = "-c", f"import sys; sys.stderr.write('Authorization: Bearer {text}')"
    with Server(log_path, program=printing) as server:
        server.launch()
        with pytest.raises(AssertionError, match=key_id) as failed:
            server.wait()
    assert text not in str(failed.value)
