"""Functions that produce the messages of docs/operations.md. Each returns the text that a command prints."""

import json
import resource
import signal
import socket
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from lockstream.core.entities.log import START
from lockstream.infrastructure.codec.log_line import encode_lines, utc_now
from lockstream.infrastructure.quarantine.journal import quarantine_path
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.support.builders import event, picked_up, registered
from lockstream.tests.support.processes import NO_SPACE, Server, command

LOG = Path("event_log.jsonl")
"""As on the page: in the working directory, which is the test's own."""

BACKUP = Path("backups/2026-11-23.jsonl")


def run(*arguments: str, under: Sequence[str] = ()) -> str:
    """Run a command, and return its standard error."""
    return command(LOG, *arguments, under=under, LOCKSTREAM_PORT="0").stderr.decode()


def start_and_stop() -> str:
    """Start a server and stop it, and return its standard error."""
    with Server(LOG).start() as server:
        assert server.stop(signal.SIGTERM) == 0
        return server.stderr


def replace_bytes(old: bytes, new: bytes) -> None:
    """Edit the log."""
    LOG.write_bytes(LOG.read_bytes().replace(old, new, 1))


def healthy() -> str:
    return start_and_stop()


def first_start() -> str:
    LOG.unlink()
    projection_path(LOG).unlink()
    return start_and_stop()


def torn() -> str:
    with LOG.open("ab") as file:
        file.write(b'{"position":11,"recorded_at":"2026-11-23T08')
    return start_and_stop()


def damaged_projection() -> str:
    projection_path(LOG).write_bytes(b"no database" * 1000)
    return start_and_stop()


def in_use() -> str:
    with Server(LOG).start():
        return run("serve")


def damaged() -> str:
    replace_bytes(b"1250", b"9999")
    return run("serve")


def lost() -> str:
    LOG.write_bytes(b"".join(LOG.read_bytes().splitlines(keepends=True)[:6]))
    return run("serve")


def missing() -> str:
    LOG.unlink()
    return run("serve")


def no_place() -> str:
    return run("serve", under=["env", "EVENT_LOG_PATH=missing/event_log.jsonl"])


def impossible() -> str:
    lines, _ = encode_lines([event(registered("c1")), event(picked_up("R-1001"))], utc_now(), START)
    LOG.write_bytes(b"".join(lines))
    projection_path(LOG).unlink()
    return run("serve")


def setting() -> str:
    return run("serve", under=["env", "LOCKSTREAM_QUEUE_LIMIT=many"])


def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        return command(LOG, "serve", LOCKSTREAM_PORT=number).stderr.decode().replace(number, "8000")


def no_space_for_a_projection() -> str:
    projection_path(LOG).unlink()
    return run("serve", under=NO_SPACE)


def no_space_for_a_torn_tail() -> str:
    with LOG.open("ab") as file:
        file.write(b"\x00" * 5000)
    return run("serve", under=NO_SPACE)


def poisoned() -> str:
    """A write fails in the middle of a line, as on a full disk."""
    with Server(LOG).start() as server:
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (LOG.stat().st_size + 10, unlimited[1]))
        assert server.post(json.dumps(registered("c9")).encode()) == 503
        return server.stderr


def too_little_free_space() -> str:
    with Server(LOG, LOCKSTREAM_MIN_FREE_BYTES=str(1 << 60)).start() as server:
        assert server.get("/health/ready")[0] == 503
        return server.stderr


def projection_behind() -> str:
    """Another program has locked the projection."""
    with Server(LOG).start() as server, closing(sqlite3.connect(projection_path(LOG))) as database:
        database.execute("BEGIN IMMEDIATE")
        assert server.post(json.dumps(registered("c9")).encode()) == 202
        while "could not be written" not in server.stderr:
            assert server.get("/lockers/locker-1")[0] == 200
        return server.stderr


def backed_up() -> str:
    return run("backup", str(BACKUP))


def refuse_event() -> None:
    """Have a server keep an event in the quarantine."""
    with Server(LOG).start() as server:
        assert server.post(json.dumps(picked_up("unknown")).encode()) == 422
        assert server.stop(signal.SIGTERM) == 0


def backed_up_with_a_quarantine() -> str:
    refuse_event()
    return run("backup", str(BACKUP))


def verified_with_a_quarantine() -> str:
    refuse_event()
    return run("verify")


def damaged_quarantine() -> str:
    refuse_event()
    quarantine_path(LOG).write_bytes(b"damaged\n")
    return run("verify")


def backup_refused() -> str:
    BACKUP.touch()
    return run("backup", str(BACKUP)) + run("backup", "missing/copy.jsonl")


def backup_failed() -> str:
    return run("backup", str(BACKUP), under=NO_SPACE)


def asked() -> str:
    replace_bytes(b"1250", b"9999")
    return run("repair")


def repaired() -> str:
    replace_bytes(b"1250", b"9999")
    return run("repair", "--yes")


def repair_of_a_whole_log() -> str:
    return run("repair")


def repair_of_a_torn_tail() -> str:
    with LOG.open("ab") as file:
        file.write(b'{"position":11,"recorded_at":"2026-11-23T08')
    return run("repair")


def repair_of_a_lost_end() -> str:
    LOG.write_bytes(b"".join(LOG.read_bytes().splitlines(keepends=True)[:6]))
    return run("repair", "--yes")


PRINTED: dict[str, Callable[[], str]] = {
    scene.__name__.replace("_", " "): scene
    for scene in (
        healthy,
        first_start,
        torn,
        damaged_projection,
        in_use,
        damaged,
        lost,
        missing,
        no_place,
        impossible,
        setting,
        port,
        no_space_for_a_projection,
        no_space_for_a_torn_tail,
        poisoned,
        projection_behind,
        backed_up,
        backed_up_with_a_quarantine,
        verified_with_a_quarantine,
        damaged_quarantine,
        backup_refused,
        backup_failed,
        asked,
        repaired,
        repair_of_a_whole_log,
        repair_of_a_torn_tail,
        too_little_free_space,
        repair_of_a_lost_end,
    )
}
