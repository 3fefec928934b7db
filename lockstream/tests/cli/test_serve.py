"""`lockstream serve`, before it serves; what it does then is in `tests/crash` and `tests/http`."""

import subprocess
import sys
from pathlib import Path

import pytest

import lockstream
from lockstream.services.wiring import Settings, environment_names
from lockstream.tests.cli.conftest import Run
from lockstream.tests.crash.history import on_disk
from lockstream.tests.crash.server import PATIENCE_SECONDS, Server, environment

COMMANDS = ["serve", "verify", "rebuild", "import", "export", "backup", "repair"]


def test_the_help_lists_every_setting_with_its_default(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    ended = run("serve", "--help")
    assert ended.code == 0
    shown = ended.out.decode()
    assert len(environment_names()) == len(Settings.model_fields) > 0
    for name, variable in environment_names().items():
        assert variable in shown
        assert str(Settings.model_fields[name].default) in shown
        assert str(Settings.model_fields[name].description).split(".")[0].split("`")[0] in " ".join(shown.split())


def test_the_help_lists_every_command(run: Run) -> None:
    shown = run("--help").out.decode()
    assert [name for name in COMMANDS if name not in shown] == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOCKSTREAM_PORT", "http"),
        ("LOCKSTREAM_PORT", "65536"),
        ("LOCKSTREAM_QUEUE_LIMIT", "0"),
        ("LOCKSTREAM_BATCH_LIMIT", "1.5"),
        ("LOCKSTREAM_WORKING_SET_ROWS", "-1"),
        ("LOCKSTREAM_MAX_EVENT_BYTES", "1"),
        ("LOCKSTREAM_STOP_SECONDS", "soon"),
        ("LOCKSTREAM_LOG_LEVEL", "loud"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    log_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    for command in ("serve", "verify", "rebuild", "export", "repair"):
        run(command).in_a_sentence(variable)
    assert on_disk(log_path) == {}


def test_each_setting_that_cannot_be_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_PORT", "http")
    monkeypatch.setenv("LOCKSTREAM_LOG_LEVEL", "loud")
    ended = run("serve")
    assert ended.code == 1
    assert [line.split(":")[1].strip() for line in ended.said.splitlines()] == [
        "LOCKSTREAM_PORT",
        "LOCKSTREAM_LOG_LEVEL",
    ]


@pytest.mark.parametrize("place", [".", "missing/log.jsonl", "/sys/log.jsonl"])
@pytest.mark.parametrize("command", ["verify", "rebuild", "export"])
def test_a_place_where_no_log_can_be_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, place: str
) -> None:
    monkeypatch.setenv("EVENT_LOG_PATH", place)
    run(command).in_a_sentence(place)


def test_run_py_is_lockstream_serve(log_path: Path) -> None:
    script = Path(lockstream.__file__).parents[1] / "run.py"
    with Server(log_path, program=[str(script)]) as server:
        server.start()
        assert server.get("/openapi.json")[0] == 200
    helped = [
        subprocess.run(
            [sys.executable, *start, "--help"],
            env=environment(log_path),
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
        .stdout.partition(b"serve ")[2]
        .split()
        for start in ([str(script)], ["-m", "lockstream", "serve"])
    ]
    assert helped[0] == helped[1] != []
