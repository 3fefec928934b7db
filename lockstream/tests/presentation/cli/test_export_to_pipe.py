"""`lockstream export` into a reader that goes away."""

import subprocess
import sys
from pathlib import Path

import pytest

from lockstream.tests.support.builders import registered
from lockstream.tests.support.histories import record
from lockstream.tests.support.processes import TIMEOUT_SECONDS, environment


@pytest.mark.parametrize("events", [3, 3_000])
@pytest.mark.parametrize("lines", [0, 1])
def test_a_reader_that_has_enough_makes_it_end_as_a_success(log_path: Path, events: int, lines: int) -> None:
    record(log_path, (registered(f"c{number}") for number in range(events)))
    with subprocess.Popen(
        [sys.executable, "-m", "lockstream", "export"],
        env=environment(log_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as export:
        assert export.stdout is not None
        assert export.stderr is not None
        for _ in range(lines):
            assert export.stdout.readline().startswith(b'{"event_id"')
        export.stdout.close()
        said = export.stderr.read()
        assert export.wait(TIMEOUT_SECONDS) == 0, said
        assert said == b""
