"""What docs/operations.md speaks of, made to happen: each scene returns what was printed."""

import json
import resource
import signal
import socket
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.tests.services.commands.test_verify import write
from lockstream.tests.support.builders import picked_up, registered
from lockstream.tests.support.processes import NO_SPACE, Server, command

LOG = Path("event_log.jsonl")
"""As in the page: in the working directory, which is the test's own."""

BACKUP = Path("backups/2026-11-23.jsonl")


def said(*arguments: str, under: Sequence[str] = ()) -> str:
    return command(LOG, *arguments, under=under, LOCKSTREAM_PORT="0").stderr.decode()


def served() -> str:
    with Server(LOG).start() as server:
        assert server.stop(signal.SIGTERM) == 0
        return server.stderr


def edit(old: bytes, new: bytes) -> None:
    LOG.write_bytes(LOG.read_bytes().replace(old, new, 1))


def healthy() -> str:
    return served()


def first_start() -> str:
    LOG.unlink()
    projection_path(LOG).unlink()
    return served()


def torn() -> str:
    with LOG.open("ab") as file:
        file.write(b'{"position":11,"recorded_at":"2026-11-23T08')
    return served()


def damaged_projection() -> str:
    projection_path(LOG).write_bytes(b"no database" * 1000)
    return served()


def in_use() -> str:
    with Server(LOG).start():
        return said("serve")


def damaged() -> str:
    edit(b"1250", b"9999")
    return said("serve")


def lost() -> str:
    LOG.write_bytes(b"".join(LOG.read_bytes().splitlines(keepends=True)[:6]))
    return said("serve")


def no_place() -> str:
    return said("serve", under=["env", "EVENT_LOG_PATH=missing/event_log.jsonl"])


def impossible() -> str:
    write(LOG, [registered("c1"), picked_up("R-1001")])
    projection_path(LOG).unlink()
    return said("serve")


def setting() -> str:
    return said("serve", under=["env", "LOCKSTREAM_QUEUE_LIMIT=many"])


def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        return command(LOG, "serve", LOCKSTREAM_PORT=number).stderr.decode().replace(number, "8000")


def no_room_for_a_projection() -> str:
    projection_path(LOG).unlink()
    return said("serve", under=NO_SPACE)


def no_room_for_what_is_torn() -> str:
    with LOG.open("ab") as file:
        file.write(b"\x00" * 5000)
    return said("serve", under=NO_SPACE)


def poisoned() -> str:
    """A write fails in the middle of a line, as on a full disk."""
    with Server(LOG).start() as server:
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (LOG.stat().st_size + 10, unlimited[1]))
        assert server.post(json.dumps(registered("c9")).encode()) == 503
        return server.stderr


def disk_below_its_floor() -> str:
    with Server(LOG, LOCKSTREAM_MIN_FREE_BYTES=str(1 << 60)).start() as server:
        assert server.get("/health/ready")[0] == 503
        return server.stderr


def projection_behind() -> str:
    """Somebody has locked it, and it cannot be written to."""
    with Server(LOG).start() as server, closing(sqlite3.connect(projection_path(LOG))) as database:
        database.execute("BEGIN IMMEDIATE")
        assert server.post(json.dumps(registered("c9")).encode()) == 202
        while "could not be written" not in server.stderr:
            assert server.get("/lockers/locker-1")[0] == 200
        return server.stderr


def backed_up() -> str:
    return said("backup", str(BACKUP))


def backup_refused() -> str:
    BACKUP.touch()
    return said("backup", str(BACKUP)) + said("backup", "missing/copy.jsonl")


def backup_failed() -> str:
    return said("backup", str(BACKUP), under=NO_SPACE)


def asked() -> str:
    edit(b"1250", b"9999")
    return said("repair")


def repaired() -> str:
    edit(b"1250", b"9999")
    return said("repair", "--yes")


def repaired_without_a_need() -> str:
    return said("repair")


def repair_before_a_start() -> str:
    with LOG.open("ab") as file:
        file.write(b'{"position":11,"recorded_at":"2026-11-23T08')
    return said("repair")


def repair_of_a_lost_end() -> str:
    LOG.write_bytes(b"".join(LOG.read_bytes().splitlines(keepends=True)[:6]))
    return said("repair", "--yes")


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
        no_place,
        impossible,
        setting,
        port,
        no_room_for_a_projection,
        no_room_for_what_is_torn,
        poisoned,
        projection_behind,
        backed_up,
        backup_refused,
        backup_failed,
        asked,
        repaired,
        repaired_without_a_need,
        repair_before_a_start,
        disk_below_its_floor,
        repair_of_a_lost_end,
    )
}
