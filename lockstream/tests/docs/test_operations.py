"""docs/operations.md: every quoted message is printed, and every command runs."""

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from lockstream.infrastructure.quarantine.journal import quarantine_path
from lockstream.presentation.cli.main import commands
from lockstream.tests.docs.scenes import BACKUP, LOG, PRINTED, refuse_event, replace_bytes
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, environment

PAGE = (Path(__file__).parents[3] / "docs/operations.md").read_text()
QUOTED = re.findall(r"<!-- printed: ([a-z ]+) -->\n```text\n(.*?)```", PAGE, re.DOTALL)
RUN = dict(re.findall(r"<!-- run: ([a-z ]+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def log(log_path: Path) -> Path:
    """A log of six events, and a folder for a backup."""
    assert log_path == LOG.absolute()
    record(LOG, history()[:6])
    BACKUP.parent.mkdir()
    return log_path


@pytest.mark.parametrize(("scene", "quoted"), QUOTED, ids=[scene for scene, _ in QUOTED])
def test_every_quoted_message_is_printed(log: Path, scene: str, quoted: str) -> None:
    # given ten events
    record(LOG, history("station-7")[:4])
    # when the scene happens
    printed = PRINTED[scene]().splitlines()
    # then every quoted line is printed, in this order; … stands for any text
    for line in quoted.splitlines():
        pattern = re.compile(re.escape(line).replace("…", ".*"))
        while printed and not pattern.fullmatch(printed[0]):
            printed.pop(0)
        assert printed, line
        printed.pop(0)


def test_every_scene_is_quoted() -> None:
    assert {scene for scene, _ in QUOTED} == set(PRINTED)
    assert len(re.findall("```text", PAGE)) == len(QUOTED)


def test_every_command_that_the_page_names_exists() -> None:
    named = set(re.findall(r"(?:^|`|\| )lockstream\s([a-z]+)", PAGE, re.MULTILINE))
    assert {"serve", "verify", "rebuild", "backup", "repair"} <= named
    assert named <= set(get_group(commands).commands)


def run_from_the_page(name: str) -> None:
    script = f'lockstream() {{ {shlex.quote(sys.executable)} -m lockstream "$@"; }}\n{RUN[name]}'
    subprocess.run(["bash", "-euc", script], env=environment(LOG), check=True, timeout=TIMEOUT_SECONDS)


def test_the_commands_of_the_page_back_up_and_restore_a_log(log: Path) -> None:
    # given a backup made beside a server, events after it, and damage
    with Server(LOG).start() as server:
        run_from_the_page("backup")
        (made,) = BACKUP.parent.iterdir()
        made.rename(BACKUP)
        for body in history("station-7")[:4]:
            assert server.post(json.dumps(body).encode()) == 202
        assert server.stop(signal.SIGTERM) == 0
    replace_bytes(b"1250", b"9999")
    damaged = LOG.read_bytes()
    # when the backup is restored
    run_from_the_page("restore")
    # then the six events of the backup are there, and the damaged log is kept
    assert hashes_after_start(LOG) == hashes_after_replay(LOG)
    assert len(audited(LOG)) == 6
    assert LOG.with_name("event_log.jsonl.damaged").read_bytes() == damaged


def test_the_commands_of_the_page_restore_a_quarantine(log: Path) -> None:
    # given a backup with a quarantine, and an event that is refused after it
    refuse_event()
    run_from_the_page("backup")
    saved = quarantine_path(LOG).read_bytes()
    for made in sorted(BACKUP.parent.iterdir()):
        made.rename(BACKUP if made.suffix == ".jsonl" else quarantine_path(BACKUP))
    refuse_event()
    later = quarantine_path(LOG).read_bytes()
    # when the backup is restored
    run_from_the_page("restore")
    run_from_the_page("restore the quarantine")
    # then the quarantine is that of the backup, and the later one is kept
    assert quarantine_path(LOG).read_bytes() == saved
    assert Path(f"{quarantine_path(LOG)}.older").read_bytes() == later


def test_the_commands_of_the_page_mend_a_log_from_a_backup_without_a_loss(log: Path) -> None:
    # given damage in the part that a backup contains, and events after it
    run_from_the_page("backup")
    (made,) = BACKUP.parent.iterdir()
    made.rename(BACKUP)
    record(LOG, history("station-7")[:4])
    whole = LOG.read_bytes()
    replace_bytes(b"1250", b"9999")
    # when the log is mended from the backup
    run_from_the_page("mend from a backup")
    # then nothing is lost
    assert LOG.read_bytes() == whole
    assert hashes_after_start(LOG) == hashes_after_replay(LOG)
