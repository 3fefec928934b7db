"""A log is verified whose lines are right one by one, while its history or its end is not."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.core.outcomes import Refusal
from lockstream.core.ports import ignore_progress
from lockstream.core.rules import (
    COMPARTMENT_ALREADY_REGISTERED,
    COMPARTMENT_DEGRADED,
    RESERVATION_NOT_AWAITING_PICKUP,
    UNKNOWN_FAULT,
)
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.infrastructure.sqlite.projection import SqliteProjection
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.presentation.cli.main import main
from lockstream.services.commands.verify import Verification, verify_file
from lockstream.tests.support.builders import (
    RECORDED_AT,
    Body,
    event,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.histories import hashes_after_start, history, record

HISTORY = history()


def write(log: Path, bodies: list[Body]) -> None:
    """Write a log whose positions and chain values are right, for any events."""
    lines, _ = encode_lines([event(body) for body in bodies], "2026-11-23T08:15:00.000000Z", START)
    log.write_bytes(b"".join(lines))


def verified(log: Path) -> Verification:
    return verify_file(log, ignore_progress)


def problems(log: Path) -> str:
    return "\n".join(verified(log).problems)


def remove_projection(log: Path) -> None:
    projection_path(log).unlink(missing_ok=True)


def project_history(log: Path) -> None:
    """Put the projection of `HISTORY` beside a log that begins with it."""
    content = log.read_bytes()
    write(log, HISTORY)
    hashes_after_start(log)
    log.write_bytes(content)


PREPARE = pytest.mark.parametrize("prepare_projection", [remove_projection, project_history])


def test_a_log_that_follows_the_rules_has_no_problems(log_path: Path) -> None:
    write(log_path, [*HISTORY, *history("other")])
    found = verified(log_path)
    assert found.problems == []
    assert (found.events, found.lockers) == (20, 2)


@PREPARE
@pytest.mark.parametrize("index", [0, 3, 6, 9])
def test_an_event_that_is_in_the_log_twice_is_named(
    log_path: Path, index: int, prepare_projection: Callable[[Path], None]
) -> None:
    write(log_path, [*HISTORY, registered("c3"), HISTORY[index], registered("c4")])
    prepare_projection(log_path)
    found = problems(log_path)
    assert HISTORY[index]["event_id"] in found
    assert "12" in found.replace(HISTORY[index]["event_id"], "")


def test_a_repeated_event_is_named_although_the_rules_would_accept_it_again(log_path: Path) -> None:
    """A fault may be reported any number of times."""
    fault = fault_reported(1)
    write(log_path, [registered(), fault, fault])
    assert fault["event_id"] in problems(log_path)


@PREPARE
@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (registered("c1"), COMPARTMENT_ALREADY_REGISTERED),
        (reserved("new", "c2"), COMPARTMENT_DEGRADED),
        (picked_up("locker-1-parcel-1"), RESERVATION_NOT_AWAITING_PICKUP),
        (fault_cleared(HISTORY[0], "c2"), UNKNOWN_FAULT),
    ],
)
def test_an_event_that_the_rules_refuse_is_named_with_the_code_of_the_refusal(
    log_path: Path, body: Body, refusal: Refusal, prepare_projection: Callable[[Path], None]
) -> None:
    write(log_path, [*HISTORY, body, registered("c3")])
    prepare_projection(log_path)
    found = problems(log_path)
    assert refusal.code in found
    assert "11" in found.replace(body["event_id"], "")


def test_the_command_names_the_problem_and_fails(log_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(log_path, [*HISTORY, registered("c1")])
    with pytest.raises(SystemExit) as ended:
        main(["verify"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert COMPARTMENT_ALREADY_REGISTERED.code in said
    assert "OK" not in said


@pytest.mark.parametrize(("left", "expected"), [(0, "only 0 events"), (1, "only 1 event,"), (2, "only 2 events")])
def test_a_log_with_fewer_events_than_its_projection_has_applied_has_lost_its_end(
    log_path: Path, left: int, expected: str
) -> None:
    record(log_path, HISTORY)
    log_path.write_bytes(b"".join(log_path.read_bytes().splitlines(keepends=True)[:left]))
    [problem] = verified(log_path).problems
    assert expected in problem
    assert "has seen 10 acknowledged events: the log lost its end" in problem


def test_a_log_with_fewer_events_than_were_noted_as_acknowledged_has_lost_its_end(log_path: Path) -> None:
    """A server notes that position when its log fails, although the projection has not applied all of these events."""
    # given a log of ten events, and a projection that has applied two of them, and knows of ten
    record(log_path, HISTORY[:2])
    shortened = log_path.read_bytes()
    with closing(LogWriter(log_path)) as log:
        log.append([event(body) for body in HISTORY[2:]], RECORDED_AT)
    with closing(SqliteProjection.open(projection_path(log_path))) as projection:
        projection.note_acknowledged(10)
    assert verified(log_path).problems == []
    # when the log loses the other eight
    log_path.write_bytes(shortened)
    # then this is noticed
    [problem] = verified(log_path).problems
    assert "only 2 events" in problem
    assert "has seen 10 acknowledged events: the log lost its end" in problem


@pytest.mark.parametrize(
    ("torn", "note"),
    [
        (b"{", "followed by 1 byte: a server is writing it, or the next start truncates it and keeps it beside"),
        (
            b'{"',
            "followed by 2 bytes: a server is writing them, or the next start truncates them and keeps them beside",
        ),
    ],
)
def test_a_torn_tail_is_no_problem(log_path: Path, torn: bytes, note: str) -> None:
    record(log_path, HISTORY)
    log_path.write_bytes(log_path.read_bytes() + torn)
    found = verified(log_path)
    assert found.problems == []
    [text] = found.notes
    assert note in text


def test_a_missing_projection_is_no_problem(log_path: Path) -> None:
    write(log_path, HISTORY)
    found = verified(log_path)
    assert found.problems == []
    assert found.notes == ["There is no projection yet; the next start builds it."]
