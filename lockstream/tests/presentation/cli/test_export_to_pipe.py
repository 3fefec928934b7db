"""`lockstream export` into a pipe whose reader closes it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lockstream.tests.support.builders import registered
from lockstream.tests.support.histories import record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, environment


@pytest.mark.parametrize("events", [3, 3_000])
@pytest.mark.parametrize("lines", [0, 1])
def test_an_export_succeeds_if_its_reader_closes_the_pipe(log_path: Path, events: int, lines: int) -> None:
    record(log_path, (registered(f"c{number}") for number in range(events)))
    with subprocess.Popen(
        [sys.executable, "-m", "lockstream", "export"],
        env=environment(log_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as export:
        # given a reader that has read some lines
        assert export.stdout is not None
        assert export.stderr is not None
        for _ in range(lines):
            assert export.stdout.readline().startswith(b'{"event_id"')
        # when the reader closes the pipe
        export.stdout.close()
        errors = export.stderr.read()
        # then the export succeeds and prints nothing
        assert export.wait(TIMEOUT_SECONDS) == 0, errors
        assert errors == b""


def test_an_export_prints_nothing_if_head_has_read_enough(log_path: Path) -> None:
    record(log_path, (registered(f"c{number}") for number in range(2_000)))
    export = shlex.join([sys.executable, "-m", "lockstream", "export"])
    piped = subprocess.run(
        ["/bin/sh", "-c", f"{export} | head -n 1"],
        env=environment(log_path),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    assert piped.stdout.count(b"\n") == 1
    assert piped.stderr == b""
