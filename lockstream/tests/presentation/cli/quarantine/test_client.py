"""Everything that can go wrong between `lockstream quarantine` and a server is one sentence, and never a traceback."""

import json
from pathlib import Path

import pytest

from lockstream.presentation.cli.quarantine import commands
from lockstream.presentation.cli.quarantine.client import PAGE_ITEMS
from lockstream.tests.presentation.cli.quarantine.conftest import RunQuarantine
from lockstream.tests.support.builders import picked_up
from lockstream.tests.support.commands import CommandResult, RunCommand
from lockstream.tests.support.processes import Server, command
from lockstream.tests.support.scripted_server import response, scripted_server

UNKNOWN = "0190a5e0-0000-4000-8000-000000000004"
TOTALS = '{"open":{},"discarded":0,"dropped":0,"unchecked_duplicates":0,"malformed":{}}'

ENTRY = (
    '{"event_id":"1","kind":"waiting","status":"new","code":"c","detail":"d","locker_id":"l","type":"New",'
    '"occurred_at":"t","first_at":"t","last_at":"t","count":1,"address":null,"discarded_at":null,'
    '"discard_reason":null,"body":{"a":\n1},"further":1}'
)
"""An entry of a newer server."""

COMMANDS = [
    ["list"],
    ["list", "--format", "csv"],
    ["show", UNKNOWN],
    ["resubmit", UNKNOWN],
    ["resubmit", "--all"],
    ["discard", UNKNOWN, "--reason", "text"],
    ["malformed"],
]
each_command = pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)


def run_on(run_command: RunCommand, url: str, arguments: list[str]) -> CommandResult:
    return run_command("quarantine", arguments[0], url, *arguments[1:])


@each_command
def test_a_server_that_cannot_be_reached_is_named(run_command: RunCommand, arguments: list[str]) -> None:
    run_on(run_command, "http://127.0.0.1:1", arguments).assert_is_error(
        "http://127.0.0.1:1 cannot be reached (Connection refused). Start a server there, or name another one."
    )


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://host?x=1", "", "http://a..b", "http://h/ä"])
def test_a_url_of_another_form_is_named(run_command: RunCommand, url: str) -> None:
    run_on(run_command, url, ["list"]).assert_is_error(f"{url!r} is not the URL of a server.")


@each_command
def test_a_quarantine_that_is_off_is_named(log_path: Path, run_command: RunCommand, arguments: list[str]) -> None:
    """The server's own words are printed."""
    with scripted_server(lambda _, __: response(404, b'{"detail":"The quarantine is off, \\u001b."}')) as port:
        run_on(run_command, f"http://127.0.0.1:{port}", arguments).assert_is_error("The quarantine is off, \\u001b.")


def test_a_server_without_a_quarantine_is_named(log_path: Path, run_command: RunCommand) -> None:
    with Server(log_path, LOCKSTREAM_QUARANTINE="false").start() as server:
        for arguments in COMMANDS:
            run_on(run_command, f"http://127.0.0.1:{server.port}", arguments).assert_is_error("The quarantine is off")


@pytest.mark.parametrize("arguments", COMMANDS[2:4] + COMMANDS[5:6], ids=" ".join)
def test_an_unknown_event_is_named(run: RunQuarantine, arguments: list[str]) -> None:
    run(*arguments).assert_is_error(f"The quarantine has no entry for the event '{UNKNOWN}'")


def test_a_refused_request_is_explained_by_the_server(server: Server, run: RunQuarantine) -> None:
    run("list", "--code", "nonsense").assert_is_error("nonsense", "event_id_reused")
    run("resubmit", "--all", "--code", "nonsense").assert_is_error("nonsense", "event_id_reused")
    pick_up = picked_up("r1")
    assert server.post(json.dumps(pick_up).encode()) in (409, 422)
    run("discard", pick_up["event_id"], "--reason", " ").assert_is_error("`reason` is blank")
    run("discard", pick_up["event_id"], "--reason", "x" * 1001).assert_is_error("1,000")


@pytest.mark.parametrize("path", ["/elsewhere", "/health"])
def test_a_url_with_another_path_is_named(run_command: RunCommand, url: str, path: str) -> None:
    for arguments in COMMANDS:
        run_on(run_command, url + path, arguments).assert_is_error(
            f"{url}{path} answered 404", "Not Found", "Check that the URL is that of a Lockstream server."
        )


@each_command
@pytest.mark.parametrize("status", [200, 404, 422, 502])
@pytest.mark.parametrize("body", [b"<html>\n", b"\xff", b"{}", b"[" * 5000, b'{"position":"1"}'])
def test_a_broken_answer_is_named(run_command: RunCommand, arguments: list[str], status: int, body: bytes) -> None:
    with scripted_server(lambda _, __: response(status, body)) as port:
        run_on(run_command, f"http://127.0.0.1:{port}", arguments).assert_is_error(
            f"answered {status}", "Check that the URL is that of a Lockstream server."
        )


@each_command
@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
def test_an_answer_that_breaks_off_is_named(run_command: RunCommand, arguments: list[str], answer: bytes) -> None:
    answers = iter([answer, *[b""] * 9])
    with scripted_server(lambda _, request: next(answers)) as port:
        result = run_on(run_command, f"http://127.0.0.1:{port}", arguments)
    result.assert_is_error("did not answer (", "run the command again.")
    is_read = arguments[0] in ("list", "show", "malformed")
    assert ("may have been carried out" in result.errors) != is_read


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_list_goes_on_after_its_reader_has_paused(log_path: Path, form: str) -> None:
    # given a quarantine of several pages, and a server that soon closes a silent connection
    count = 2 * PAGE_ITEMS + 1
    refused = [picked_up(f"r{number}") for number in range(count)]
    pausing = ("sh", "-c", '"$@" | (sleep 4; cat)', "sh")
    with Server(log_path, LOCKSTREAM_HEADER_SECONDS="1").start() as server:
        assert server.request("POST", "/events/batch", json.dumps(refused).encode())[0] == 200
        # when the reader of the output pauses, while a page waits to be written
        url = f"http://127.0.0.1:{server.port}"
        result = command(log_path, "quarantine", "list", url, "--format", form, under=pausing)
    # then nothing is missing
    assert result.stdout.count(b"\n") == count + (form == "csv"), result.stderr


@pytest.mark.parametrize(
    ("arguments", "first", "sent"),
    [
        (["list", "--limit", "9"], f'{{"items":[{ENTRY}],"next":"x","totals":{TOTALS}}}'.encode(), 3),
        (["resubmit", "--all"], b'{"accepted":1,"refused":0,"remaining":5,"items":[]}', 2),
    ],
    ids=["read", "change"],
)
def test_a_read_is_repeated_once_alone_and_a_change_never(
    run_command: RunCommand, arguments: list[str], first: bytes, sent: int
) -> None:
    # given a server that answers one request, and then closes every connection without an answer
    numbers: list[int] = []

    def respond(number: int, _: bytes) -> bytes:
        numbers.append(number)
        return b"" if number else response(200, first)

    with scripted_server(respond) as port:
        # when
        result = run_on(run_command, f"http://127.0.0.1:{port}", arguments)
    # then
    result.assert_is_error("did not answer (")
    assert len(numbers) == sent


@each_command
def test_an_unavailable_server_is_named_in_its_own_words(run_command: RunCommand, arguments: list[str]) -> None:
    with scripted_server(lambda _, __: response(503, b'{"detail":"Try again later."}')) as port:
        run_on(run_command, f"http://127.0.0.1:{port}", arguments).assert_is_error("Try again later.")


def test_a_body_that_the_server_cannot_read_is_a_refusal(run_command: RunCommand) -> None:
    body = b'{"detail":[{"loc":["body"],"msg":"Field required.","type":"missing"},{"msg":"So is this."}]}'
    with scripted_server(lambda _, __: response(422, body)) as port:
        run_on(run_command, f"http://127.0.0.1:{port}", ["resubmit", UNKNOWN]).assert_is_error(
            "was refused (malformed). Field required. So is this."
        )


def test_pages_without_end_are_a_broken_answer(run_command: RunCommand) -> None:
    page = f'{{"items":[],"next":"x","totals":{TOTALS}}}'.encode()
    with scripted_server(lambda _, __: response(200, page)) as port:
        run_on(run_command, f"http://127.0.0.1:{port}", ["list"]).assert_is_error("answered 200")


def test_an_older_command_reads_a_newer_server(run_command: RunCommand) -> None:
    page = f'{{"items":[{ENTRY}],"next":null,"totals":{TOTALS[:-1]},"further":1}},"further":1}}'.encode()
    with scripted_server(lambda _, __: response(200, page)) as port:
        result = run_on(run_command, f"http://127.0.0.1:{port}", ["list", "--format", "json"])
    assert result.exit_code == 0
    assert json.loads(result.output)["kind"] == "waiting"
    assert result.output.count(b"\n") == 1


def test_outcomes_before_an_error_are_printed(run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a server that decides some events, one of which it cannot read, and fails at the next request
    report = (
        b'{"accepted":1,"refused":2,"remaining":5,"items":[{"event_id":"1","status":202,"position":7},'
        b'{"event_id":"2","status":500,"detail":"An internal error."},'
        b'{"event_id":null,"status":422,"code":"malformed","detail":[{"loc":[],"msg":"Unknown type.","type":"t"}]}]}'
    )
    script = [response(200, report), response(503, b'{"detail":"Try again later."}')]
    with scripted_server(lambda number, _: script[number]) as port:
        result = run_on(run_command, f"http://127.0.0.1:{port}", ["resubmit", "--all"])
    # then the outcomes of the first request are printed, and the error
    result.assert_is_error("Try again later.")
    rows = [line.split(maxsplit=2) for line in result.output.decode().splitlines()]
    assert [row[:2] for row in rows[1:3]] == [["1", "accepted"], ["2", "failed"]]
    assert rows[3] == ["refused", "malformed", "Unknown type."]


def test_events_that_are_never_reached_are_counted(run_command: RunCommand) -> None:
    report = b'{"accepted":0,"refused":1,"remaining":5,"items":[{"event_id":"2","status":500,"detail":"An error."}]}'
    with scripted_server(lambda _, __: response(200, report)) as port:
        result = run_on(run_command, f"http://127.0.0.1:{port}", ["resubmit", "--all"])
    assert result.exit_code == commands.SOME_REFUSED
    assert result.errors == (
        "0 accepted, 0 duplicate, 0 refused, 1 failed.\n"
        "5 events were not decided. Select them with --locker or another filter.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "malformed"], "'malformed' is not the id of an event"),
        (["resubmit", "../x"], "is not the id of an event"),
        (["discard", UNKNOWN], "--reason"),
        (["discard", UNKNOWN, "--reason", "\udcff"], "is not UTF-8"),
        (["list", "--code", "\udcff"], "is not UTF-8"),
        (["list", "--locker", ""], "is not an identifier"),
        (["list", "--type", "Reserved"], "is not a type of events"),
        (["list", "--since", "yesterday"], "is not a time"),
        (["list", "--status", "lost"], "discarded"),
        (["list", "--kind", "waiting"], "reused_id"),
        (["list", "--limit", "0"], "--limit"),
        (["resubmit"], "Give either EVENT_ID or --all"),
        (["resubmit", UNKNOWN, "--all"], "Give either EVENT_ID or --all"),
        (["resubmit", UNKNOWN, "--code", "x"], "Leave them out"),
        (["resubmit", UNKNOWN, "--limit", "1"], "Leave them out"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(run_command: RunCommand, arguments: list[str], message: str) -> None:
    result = run_on(run_command, "http://127.0.0.1:1", arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.errors.replace("│", " ").split())


def test_an_unknown_command_lists_the_commands(run_command: RunCommand) -> None:
    result = run_command("quarantine", "lost")
    assert result.exit_code == 2
    assert "list, show, resubmit, discard, malformed" in " ".join(result.errors.replace("│", " ").split())
