"""`lockstream serve`, before it serves; what it does then is in `tests/crash` and `tests/http`."""

import subprocess
import sys
from pathlib import Path

import pytest

import lockstream
from lockstream.settings import Settings, environment_names
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.histories import files_beside
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, command, environment

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
        ("LOCKSTREAM_ROW_CACHE_ROWS", "-1"),
        ("LOCKSTREAM_MAX_EVENT_BYTES", "1"),
        ("LOCKSTREAM_STOP_SECONDS", "soon"),
        ("LOCKSTREAM_LOG_LEVEL", "loud"),
        ("LOCKSTREAM_MAX_HEADER_BYTES", "many"),
        ("LOCKSTREAM_HEADER_SECONDS", "0"),
        ("LOCKSTREAM_BODY_SECONDS", "-5"),
        *((variable, "") for variable in environment_names().values()),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_value(
    log_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    for name in ("serve", "verify", "rebuild", "export", "repair"):
        run(name).in_a_sentence(f" {variable}: ", f"(it is {value!r})")
    assert files_beside(log_path) == {}


def test_each_setting_that_cannot_be_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTREAM_PORT", "http")
    monkeypatch.setenv("LOCKSTREAM_LOG_LEVEL", "loud")
    ended = run("serve")
    assert ended.code == 1
    assert [line.split(":")[1].strip() for line in ended.said.splitlines()] == [
        "LOCKSTREAM_PORT",
        "LOCKSTREAM_LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("LOCKSTREAM_PROT", "The closest one is LOCKSTREAM_PORT."),
        ("LOCKSTREAM_MAX_EVENT_BYTE", "The closest one is LOCKSTREAM_MAX_EVENT_BYTES."),
        ("LOCKSTREAM_EVENT_LOG_PATH", "The closest one is EVENT_LOG_PATH."),
        ("LOCKSTREAM_Q", "`lockstream serve --help` lists them."),
    ],
)
def test_an_unknown_setting_is_warned_of_and_ignored(log_path: Path, variable: str, hint: str) -> None:
    with Server(log_path, **{variable: "1", "lockstream_stop_seconds": "1"}).start() as server:
        warnings = [line for line in server.stderr.splitlines() if " WARNING " in line]
    assert [line.partition(": ")[2] for line in warnings] == [
        f"{variable} is no setting of Lockstream, and is ignored. {hint}"
    ]


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_an_address_that_nothing_can_listen_on_is_named(log_path: Path, host: str) -> None:
    ended = command(log_path, "serve", LOCKSTREAM_HOST=host, LOCKSTREAM_PORT="0")
    assert ended.returncode == 1
    assert "Traceback" not in (said := ended.stderr.decode())
    assert said.splitlines()[-1] == (
        f"lockstream: nothing can listen on {host}:0; LOCKSTREAM_HOST and LOCKSTREAM_PORT say where to."
    )


def test_it_says_which_version_it_is(run: Run) -> None:
    ended = run("--version")
    assert (ended.code, ended.out.decode()) == (0, f"lockstream {lockstream.__version__}\n")


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
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
        .stdout.partition(b"serve ")[2]
        .split()
        for start in ([str(script)], ["-m", "lockstream", "serve"])
    ]
    assert helped[0] == helped[1] != []
