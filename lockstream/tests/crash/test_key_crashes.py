"""Kills and power cuts while API keys are written: the old keys or the new ones are there afterwards, never none."""

import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.keys import AuditAction, AuditQuery
from lockstream.core.key_store import Keys
from lockstream.core.use_cases.manage_keys import revoke, rotate
from lockstream.infrastructure.access.key_file import keys_path
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.tests.crash.disk_image import LOG
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.crash.lossy_fs.mount import lossy_disk, needs_lossy_disk
from lockstream.tests.support.keys import NOW, OPERATOR, created
from lockstream.tests.support.processes import environment

ROUNDS = 20 if FULL else 4
KILLS = 30 if FULL else 5

CREATE_FOR_EVER = """
import sys
from pathlib import Path
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.tests.support.keys import created
store = FileKeyStore(Path(sys.argv[1]))
while True:
    print(created(store).key.key_id, flush=True)
    store.note_used({"abcdefgh": 1})
"""

EVERYTHING = AuditQuery()


def change_keys(log: Path) -> list[Keys]:
    """Create two keys, rotate one and revoke the other; return the keys after each of these changes."""
    states: list[Keys] = [{}]
    with closing(FileKeyStore(log)) as store:
        first = created(store).key.key_id
        states.append(store.keys())
        second = created(store).key.key_id
        states.append(store.keys())
        store.change(lambda keys: rotate(keys, first, 60, OPERATOR, NOW + 1))
        states.append(store.keys())
        store.change(lambda keys: revoke(keys, second, OPERATOR, NOW + 2))
        states.append(store.keys())
    return states


def assert_audit_names_each_key(store: FileKeyStore) -> None:
    named = [one.entry for one in store.audit(EVERYTHING, None, 10_000)]
    known = {entry.key_id for entry in named} | {entry.replaced_by for entry in named}
    assert set(store.keys()) <= known


@needs_lossy_disk
@pytest.mark.parametrize("number", range(1, ROUNDS + 1))
def test_a_power_cut_after_any_step_leaves_the_old_keys_or_the_new_ones(number: int, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"{seed=}")  # pytest shows it if the test fails
    with lossy_disk(tmp_path / "disk") as disk, disk.power_cut_after_each_change(tmp_path, seed) as images:
        states = change_keys(disk.folder / LOG)
    assert len(images) > len(states)
    reached = 0
    for image in images:
        store = FileKeyStore(image / LOG)
        # the keys are those of a moment, and those of later cuts are never older: an acknowledged change stays
        found = states.index(store.keys())
        assert reached <= found <= reached + 1
        reached = found
        assert_audit_names_each_key(store)
        # and the keys can be changed afterwards
        made = created(store)
        assert set(store.keys()) == {*states[found], made.key.key_id}
    assert reached == len(states) - 1


@pytest.mark.parametrize("number", range(1, KILLS + 1))
def test_a_kill_leaves_every_key_that_was_printed(number: int, log_path: Path) -> None:
    # given a process that is killed while it creates keys, and another one beside it
    printed: list[str] = []
    arguments = [sys.executable, "-c", CREATE_FOR_EVER, str(log_path)]
    with subprocess.Popen(arguments, env=environment(log_path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed.append(process.stdout.readline().decode().strip())
        own = created(FileKeyStore(log_path)).key.key_id
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        lines = process.stdout.read().decode().split("\n")
        printed += lines[:-1]
    # then all keys that it has named are there, and further changes are possible
    store = FileKeyStore(log_path)
    assert {*printed, own} <= set(store.keys())
    assert len(store.keys()) <= len(printed) + 2
    assert_audit_names_each_key(store)
    later = created(store).key.key_id
    assert later in set(store.keys())
    newest = store.audit(AuditQuery(action=AuditAction.CREATED), None, 1)
    assert [one.entry.key_id for one in newest] == [later]
    assert keys_path(log_path).stat().st_mode & 0o777 == 0o600
