"""`lockstream verify` on logs whose every line is right, and whose history the rules would not have let happen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lockstream.core.entities.log import START
from lockstream.core.outcomes import Refusal
from lockstream.core.rules import (
    COMPARTMENT_ALREADY_REGISTERED,
    COMPARTMENT_DEGRADED,
    RESERVATION_NOT_AWAITING_PICKUP,
    UNKNOWN_FAULT,
)
from lockstream.infrastructure.codec.log_line import encode_lines
from lockstream.infrastructure.stores.embedded import projection_path
from lockstream.services.commands.verify import Verification, verify
from lockstream.tests.presentation.cli.conftest import Run
from lockstream.tests.support.builders import (
    Body,
    event,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)
from lockstream.tests.support.histories import hashes_after_start, history

LIFE = history()


def write(log: Path, bodies: list[Body]) -> None:
    """Write a log whose positions and chain are right, whatever happens in it."""
    end, lines = START, []
    for body in bodies:
        line, end = encode_lines([event(body)], "2026-11-23T08:15:00.000000Z", end)
        lines.append(line)
    log.write_bytes(b"".join(lines))


def verified(log: Path) -> Verification:
    return verify(log, lambda reached: None)


def without_projection(log: Path) -> None:
    projection_path(log).unlink(missing_ok=True)


def with_that_of_the_events_before(log: Path) -> None:
    content = log.read_bytes()
    write(log, LIFE)
    hashes_after_start(log)
    log.write_bytes(content)


BESIDE = pytest.mark.parametrize("beside", [without_projection, with_that_of_the_events_before])


def test_a_log_written_by_hand_after_the_rules_passes(log_path: Path) -> None:
    write(log_path, [*LIFE, *history("other")])
    assert verified(log_path).problems == []


@BESIDE
@pytest.mark.parametrize("again", [0, 3, 6, 9])
def test_an_event_that_stands_twice_is_named(log_path: Path, again: int, beside: Callable[[Path], None]) -> None:
    write(log_path, [*LIFE, registered("c3"), LIFE[again], registered("c4")])
    beside(log_path)
    problems = "\n".join(verified(log_path).problems)
    assert LIFE[again]["event_id"] in problems
    assert "12" in problems.replace(LIFE[again]["event_id"], "")


def test_an_event_that_changes_nothing_the_second_time_is_named_too(log_path: Path) -> None:
    """The rules alone would let it happen again: a fault may be reported any number of times."""
    fault = fault_reported(1)
    write(log_path, [registered(), fault, fault])
    assert fault["event_id"] in "\n".join(verified(log_path).problems)


@BESIDE
@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (registered("c1"), COMPARTMENT_ALREADY_REGISTERED),
        (reserved("new", "c2"), COMPARTMENT_DEGRADED),
        (picked_up("locker-1-parcel-1"), RESERVATION_NOT_AWAITING_PICKUP),
        (fault_cleared(LIFE[0], "c2"), UNKNOWN_FAULT),
    ],
)
def test_an_event_that_the_rules_refuse_is_named_with_the_code(
    log_path: Path, body: Body, refusal: Refusal, beside: Callable[[Path], None]
) -> None:
    write(log_path, [*LIFE, body, registered("c3")])
    beside(log_path)
    problems = "\n".join(verified(log_path).problems)
    assert refusal.code in problems
    assert "11" in problems.replace(body["event_id"], "")


def test_the_command_fails_and_says_it(log_path: Path, run: Run) -> None:
    write(log_path, [*LIFE, registered("c1")])
    ended = run("verify")
    assert ended.code == 1
    assert COMPARTMENT_ALREADY_REGISTERED.code in ended.said
    assert "as they should be" not in ended.said
