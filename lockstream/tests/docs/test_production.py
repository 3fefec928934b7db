"""docs/production.md: the commands of an upgrade run, and the page names only commands and settings that exist."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from typer.main import get_group

from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.presentation.cli.main import commands
from lockstream.settings import environment_names
from lockstream.tests.support.histories import hashes_after_replay, hashes_after_start, history, record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, environment

PAGE = (Path(__file__).parents[3] / "docs/production.md").read_text()
RUN = dict(re.findall(r"<!-- run: ([a-z ]+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL))
LOG = Path("event_log.jsonl")


def test_every_command_and_setting_that_the_page_names_exists() -> None:
    named = set(re.findall(r"(?:^|`|jsonl |bin/)lockstream ([a-z]+)", PAGE, re.MULTILINE))
    assert {"serve", "keys", "backup", "verify", "rebuild", "import"} <= named
    assert named <= set(get_group(commands).commands)
    settings = set(re.findall(r"\b(LOCKSTREAM_[A-Z_]+|EVENT_LOG_PATH)\b", PAGE))
    assert settings <= set(environment_names().values())


def test_a_projection_that_was_built_for_a_copy_spares_the_start_a_rebuild(log_path: Path) -> None:
    # given a log whose projection belongs to another version, and events after the copy
    assert log_path == LOG.absolute()
    record(LOG, history()[:6])
    make, place = RUN["upgrade with a copy"].split("# Stop the older version here.\n")
    run(make)
    record(LOG, history("station-7")[:4])
    projection_path(LOG).write_bytes(b"another version")
    # when the projection of the copy takes its place
    run(place)
    # then a start applies the later events to it
    with Server(LOG).start() as server:
        assert server.stop(signal.SIGTERM) == 0
        assert "rebuilt" not in server.stderr
    assert hashes_after_start(LOG) == hashes_after_replay(LOG)


def run(script: str) -> None:
    """Run a part of the page's commands in the working directory, which is the test's own."""
    lockstream = f'lockstream() {{ {shlex.quote(sys.executable)} -m lockstream "$@"; }}\n'
    subprocess.run(["bash", "-euc", lockstream + script], env=environment(LOG), check=True, timeout=TIMEOUT_SECONDS)
