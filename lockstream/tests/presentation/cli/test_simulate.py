"""`lockstream simulate`, into files and into real servers."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lockstream.core.entities.access import Scope
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.tests.presentation.cli.running_command import running
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.keys import created, request
from lockstream.tests.support.log_audit import audited
from lockstream.tests.support.processes import Server, command, file_size_limit, wait_until

SMALL = ("--lockers", "5", "--days", "4")

COUNTS = re.compile(r"([\d,]+) events posted: ([\d,]+) accepted, ([\d,]+) duplicate, ([\d,]+) refused\.")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The path of the file to write."""
    return tmp_path / "events.ndjson"


@pytest.fixture
def server(log_path: Path) -> Iterator[Server]:
    """A server on this test's log."""
    with Server(log_path) as server:
        yield server.start()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def counts(text: str) -> tuple[int, ...]:
    """Return the numbers of posted, accepted, duplicate and refused events."""
    found = COUNTS.search(text)
    assert found, text
    return tuple(int(number.replace(",", "")) for number in found.groups())


def times(file: Path) -> list[datetime]:
    return [datetime.fromisoformat(json.loads(line)["occurred_at"]) for line in file.read_bytes().splitlines()]


def test_the_same_seed_writes_the_same_bytes(run_command: RunCommand, out: Path) -> None:
    first, again, other = (out.with_name(name) for name in ("first", "again", "other"))
    for file, seed in ((first, 1), (again, 1), (other, 2)):
        result = run_command("simulate", *SMALL, "--seed", seed, "--out", file)
        events = file.read_bytes().count(b"\n")
        assert re.fullmatch(
            rf"{events:,} events of 5 lockers with \d+ compartments written to {file}\.\n", result.errors
        )
        assert (result.exit_code, result.output) == (0, b"")
    assert first.read_bytes() == again.read_bytes()
    assert set(first.read_bytes().splitlines()).isdisjoint(other.read_bytes().splitlines())


def test_written_events_can_be_imported(run_command: RunCommand, log_path: Path, out: Path) -> None:
    run_command("simulate", *SMALL, "--out", out)
    result = run_command("import", out)
    assert result.exit_code in (0, 3)
    report = out.with_name(f"{out.name}.refused.jsonl").read_text().splitlines()
    assert "malformed" not in {json.loads(line)["code"] for line in report}
    lines = out.read_bytes().splitlines()
    assert len(audited(log_path)) == len(set(lines)) - len(report) > 0.98 * len(lines)


def test_the_events_go_to_standard_output_for_a_dash(run_command: RunCommand, out: Path) -> None:
    run_command("simulate", *SMALL, "--out", out)
    result = run_command("simulate", *SMALL, "--out", "-")
    assert result.output == out.read_bytes()
    assert "written to standard output." in result.errors


def test_a_file_begins_at_a_fixed_day_unless_a_start_is_given(run_command: RunCommand, out: Path) -> None:
    run_command("simulate", *SMALL, "--out", out)
    assert timedelta() <= min(times(out)) - datetime(2026, 1, 5, tzinfo=UTC) < timedelta(hours=1)
    for number, (start, expected) in enumerate(
        {
            "2024-02-29": datetime(2024, 2, 29, tzinfo=UTC),
            "2024-02-29T12:00:00+02:00": datetime(2024, 2, 29, 10, tzinfo=UTC),
            "1970-01-01T00:00:00Z": datetime(1970, 1, 1, tzinfo=UTC),
        }.items()
    ):
        file = out.with_name(f"started {number}")
        run_command("simulate", *SMALL, "--start", start, "--out", file)
        found = times(file)
        assert timedelta() <= min(found) - expected < timedelta(hours=1)
        assert timedelta(days=3) < max(found) - expected < timedelta(days=4)


def test_an_existing_file_is_not_overwritten(run_command: RunCommand, out: Path) -> None:
    out.write_bytes(b"a shopping list")
    run_command("simulate", *SMALL, "--out", out).assert_is_error(
        f"{out} exists, and a simulation overwrites nothing. Name a file that does not exist."
    )
    assert out.read_bytes() == b"a shopping list"


def test_a_file_in_a_missing_folder_is_an_error(run_command: RunCommand, tmp_path: Path) -> None:
    result = run_command("simulate", *SMALL, "--out", tmp_path / "missing" / "file")
    result.assert_is_error("missing/file cannot be created (No such file or directory). Name a file in an existing")


def test_a_file_that_cannot_be_written_is_removed(run_command: RunCommand, out: Path) -> None:
    with file_size_limit(10_000):
        result = run_command("simulate", *SMALL, "--out", out)
    result.assert_is_error(f"{out} could not be written (File too large), and was removed. Make sure")
    assert not out.exists()


def test_ctrl_c_removes_the_file(log_path: Path, out: Path) -> None:
    with running(log_path, "simulate", "--days", "10000", "--out", str(out)) as command:
        wait_until(lambda: out.exists() and out.stat().st_size)
        assert command.stop(signal.SIGINT) == 130
        assert command.errors == f"{out} was not complete, and was removed.\n"
    assert not out.exists()


def test_the_days_before_now_are_posted_to_a_server(run_command: RunCommand, log_path: Path, server: Server) -> None:
    before = datetime.now(UTC)
    result = run_command("simulate", *SMALL, "--post", url(server))
    assert result.exit_code == 0
    posted, accepted, duplicate, refused = counts(result.errors)
    assert posted == accepted + duplicate + refused
    assert accepted == len(audited(log_path)) > 0.98 * posted
    occurred = [datetime.fromisoformat(record["occurred_at"]) for record in audited(log_path)]
    assert timedelta(seconds=-1) <= min(occurred) - (before - timedelta(days=4)) < timedelta(hours=1)
    assert max(occurred) <= datetime.now(UTC)


def test_a_simulation_with_the_same_start_continues(run_command: RunCommand, log_path: Path, server: Server) -> None:
    # given a part of the days
    first = run_command("simulate", "--lockers", 5, "--days", 2, "--start", "2026-03-02", "--post", url(server))
    _, accepted, *_ = counts(first.errors)
    # when all of them are posted
    second = run_command("simulate", *SMALL, "--start", "2026-03-02", "--post", url(server))
    # then the first part counts once
    _, more, duplicate, _ = counts(second.errors)
    assert more > 0
    assert duplicate >= accepted
    assert accepted + more == len(audited(log_path))


def test_a_speed_paces_the_events(log_path: Path, server: Server) -> None:
    """At this speed, the first hours take a moment, and all days would take weeks."""
    arguments = ("--lockers", "5", "--days", "9000", "--start", "2026-03-02", "--speed", "5000")
    with running(log_path, "simulate", *arguments, "--post", url(server)) as command:
        wait_until(lambda: len(log_path.read_bytes().splitlines()) > 100)
        assert command.stop(signal.SIGINT) == 130
        posted, accepted, *_ = counts(command.errors)
        assert "To go on, repeat the command with `--start 2026-03-02T00:00:00Z`." in command.errors
    assert posted >= accepted > 0
    assert len(audited(log_path)) >= accepted


def test_live_events_follow_in_real_time(log_path: Path, server: Server) -> None:
    # given a network in its first minutes, when many lockers open
    arguments = ("--lockers", "1500", "--days", "0.01", "--live")
    started = datetime.now(UTC).replace(microsecond=0)  # events have whole seconds
    with running(log_path, "simulate", *arguments, "--post", url(server)) as command:
        # when the past is posted
        command.wait_for("New events follow in real time. Press Ctrl-C to end.")
        before = counts(command.errors)[0]
        # then new events arrive, of which the first batches are counted
        known = len(log_path.read_bytes().splitlines())
        wait_until(lambda: len(log_path.read_bytes().splitlines()) > known + 20)
        live = [json.loads(line)["occurred_at"] for line in log_path.read_bytes().splitlines()[known:]]
        assert max(map(datetime.fromisoformat, live)) >= started
        # and Ctrl-C is their usual end
        assert command.stop(signal.SIGINT) == 0
        assert counts(command.errors.splitlines()[-1])[0] > before
    # and the command that goes on leaves out --days, which --live refuses beside --start
    again = re.search(r"repeat the command with `--start (\S+)` instead of `--days`\.\n$", command.errors)
    assert again
    assert datetime.fromisoformat(again[1]) < started
    # and it continues
    again_live = ("--lockers", "1500", "--live", "--start", again[1])
    with running(log_path, "simulate", *again_live, "--post", url(server)) as command:
        command.wait_for("New events follow in real time. Press Ctrl-C to end.")
        assert counts(command.errors.splitlines()[-1])[2] >= known


def test_a_server_may_restart_meanwhile(run_command: RunCommand, log_path: Path, out: Path) -> None:
    arguments = ("--lockers", "60", "--days", "10", "--start", "2026-03-02")
    with Server(log_path) as server:
        server.start()
        # given a simulation on its way
        with running(log_path, "simulate", *arguments, "--post", url(server)) as command:
            wait_until(lambda: log_path.stat().st_size)
            # when the server is killed and started again
            server.kill()
            command.wait_for("cannot be reached")
            with Server(log_path, LOCKSTREAM_PORT=str(server.port)) as restarted:
                restarted.start()
                assert command.wait() == 0
        assert command.errors.count("The events are sent again.") <= 3
    # then the log holds what it would hold without the restart
    run_command("simulate", *arguments, "--out", out)
    other = log_path.with_name("other.jsonl")
    run_command("import", out, "--log", other)
    assert [record["event_id"] for record in audited(log_path)] == [record["event_id"] for record in audited(other)]


def test_a_server_that_does_not_run_is_an_error(run_command: RunCommand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    result = run_command("simulate", *SMALL, "--post", address)
    assert result.exit_code == 1
    assert result.errors.splitlines()[-1] == (
        f"lockstream: {address} cannot be reached (Connection refused). Start a server there, or name another with "
        "--post."
    )


WRONG = [
    ([], "Events go to a file, a log or a server. Give one of --out, --log and --post."),
    (["--out", "a", "--post", "http://b"], "Give one of --out, --log and --post."),
    (["--out", "a", "--speed", "5"], "A file has no pace. Leave out --speed and --live"),
    (["--out", "a", "--live"], "A file has no pace. Leave out --speed and --live"),
    (["--post", "http://a", "--live", "--speed", "5"], "--live goes on in real time. Leave out --speed."),
    (["--post", "http://a", "--live", "--start", "2026-01-05", "--days", "3"], "Leave out --days or --start."),
    (["--post", "http://a", "--live", "--start", "2999-01-05"], "which is not in the past. With --live"),
    *(
        (["--post", "http://a", "--speed", speed], f"--speed is '{speed}', and no speed. Give a number above 0")
        for speed in ("0", "-1", "nan", "inf", "fast", "")
    ),
    *(
        (["--out", "a", "--start", start], f"--start is '{start}', which is not a time from 1970 to 2999.")
        for start in ("", "tomorrow", "2026-02-29", "2026-01-05T08:00:00", "20260105", "1969-12-31", "3000-01-01")
    ),
    *((["--out", "a", "--days", days], "Invalid value for '--days'") for days in ("0", "nan", "10001", "many")),
    *((["--out", "a", "--lockers", number], "Invalid value for '--lockers'") for number in ("0", "1.5", "")),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_wrong_arguments_are_errors_of_usage(run_command: RunCommand, arguments: list[str], sentence: str) -> None:
    result = run_command("simulate", *arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(re.sub("[│╭╮╰╯─]", " ", result.errors).split())
    assert not Path("a").exists()


def test_a_log_of_the_past_has_the_times_of_arrival(run_command: RunCommand, out: Path) -> None:
    # given the events of a simulation in the order of their arrival
    events = out.with_name("same.ndjson")
    assert run_command("simulate", *SMALL, "--start", "2026-02-02", "--out", events).exit_code == 0
    # when the same simulation is recorded as a log
    log = out.with_suffix(".jsonl")
    result = run_command("simulate", *SMALL, "--start", "2026-02-02", "--log", log)
    # then the log is valid, and each accepted event is in it once
    assert result.exit_code == 0, result.errors
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    arrived = [json.loads(line)["event_id"] for line in events.read_bytes().splitlines()]
    accepted = [line["event_id"] for line in lines]
    assert len(set(accepted)) == len(accepted) > 100
    assert [event_id for event_id in dict.fromkeys(arrived) if event_id in set(accepted)] == accepted
    audited(log)
    # and its recorded times are those of the simulated days, never before the event itself, and never go back
    recorded = [datetime.fromisoformat(line["recorded_at"]) for line in lines]
    occurred = [datetime.fromisoformat(line["occurred_at"]) for line in lines]
    assert recorded == sorted(recorded)
    assert all(one >= other for one, other in zip(recorded, occurred, strict=True))
    assert recorded[-1] <= datetime(2026, 2, 6, tzinfo=UTC)
    assert re.search(r"Left out: \d+ duplicate, \d+ refused\.", result.errors)


def test_a_log_of_the_past_overwrites_nothing(run_command: RunCommand, log_path: Path) -> None:
    log_path.write_bytes(b"precious")
    result = run_command("simulate", *SMALL, "--log", log_path)
    assert (result.exit_code, log_path.read_bytes()) == (1, b"precious")
    assert "overwrites nothing" in result.errors


def test_a_log_of_the_past_that_cannot_be_written_is_removed(run_command: RunCommand, log_path: Path) -> None:
    # given a disk that fills up
    with file_size_limit(100_000):
        result = run_command("simulate", *SMALL, "--log", log_path)
    # then half a log is not left, and the next attempt succeeds
    result.assert_is_error("File too large")
    assert not log_path.exists()
    assert run_command("simulate", *SMALL, "--log", log_path).exit_code == 0
    audited(log_path)


def test_ctrl_c_removes_a_log_of_the_past(log_path: Path) -> None:
    with running(log_path, "simulate", "--days", "10000", "--log", str(log_path)) as command:
        wait_until(lambda: log_path.exists() and log_path.stat().st_size)
        assert command.stop(signal.SIGINT) == 130
        assert command.errors == f"{log_path} was not complete, and was removed.\n"
    assert not log_path.exists()


def test_a_bound_key_is_the_reason_of_refusals(log_path: Path) -> None:
    with closing(FileKeyStore(log_path)) as store:
        key = created(store, request(Scope.EVENTS_WRITE, lockers=["another"]))
    with Server(log_path).listen() as server:
        ended = command(log_path, "simulate", *SMALL, "--post", url(server), LOCKSTREAM_API_KEY=key.text)
    assert ended.returncode == 0
    [summary] = re.findall(r"[0-9,]+ events? posted: .*", ended.stderr.decode())
    assert re.fullmatch(
        r"([0-9,]+) events posted: 0 accepted, 0 duplicate, \1 refused\. \1 events refused because the key in "
        r"LOCKSTREAM_API_KEY is bound to other lockers \(locker_not_allowed\)\. Use a key that is not bound\.",
        summary,
    )
