"""`lockstream quarantine`: what a real server keeps is listed, shown, decided afresh and discarded."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from lockstream.presentation.cli.quarantine import client, commands
from lockstream.presentation.cli.quarantine.answers import Entry, MalformedBody
from lockstream.schemas.quarantine import MalformedBodyItem, QuarantineEntry
from lockstream.tests.presentation.cli.quarantine.conftest import RunQuarantine
from lockstream.tests.support.builders import Body, deposited, picked_up, registered, reserved
from lockstream.tests.support.commands import RunCommand
from lockstream.tests.support.processes import Server


def post(server: Server, *bodies: Body, status: int = 202) -> None:
    for body in bodies:
        assert server.post(json.dumps(body).encode()) == status


def refuse(server: Server, *bodies: Body) -> None:
    for body in bodies:
        assert server.post(json.dumps(body).encode()) in (409, 422)


def listed(run: RunQuarantine, *arguments: str, name: str = "list") -> list[dict[str, Any]]:
    """Return the items that a command lists, which must be the same as JSON and as CSV."""
    result = run(name, *arguments, "--format", "json")
    assert result.exit_code == 0, result.errors
    items = [json.loads(line) for line in result.output.splitlines()]
    rows = list(csv.DictReader(StringIO(run(name, *arguments, "--format", "csv").output.decode(), newline="")))
    assert [list(row) for row in rows] == [list(item) for item in items]
    assert [row.get("event_id") for row in rows] == [item.get("event_id") for item in items]
    return items


def ids(found: Sequence[dict[str, Any]]) -> list[str]:
    return [one["event_id"] for one in found]


def test_the_members_are_those_that_the_server_sends() -> None:
    assert Entry.__struct_fields__ == QuarantineEntry.__struct_fields__
    assert MalformedBody.__struct_fields__ == MalformedBodyItem.__struct_fields__


def test_entries_are_listed_by_every_filter(server: Server, run: RunQuarantine) -> None:
    # given a refused pick-up, a refused deposit of another locker, and an id that was used twice
    accepted = registered("c1")
    pick_up, deposit = picked_up("r1"), deposited("r2", locker="other")
    reused = registered("c2", event_id=accepted["event_id"])
    post(server, accepted)
    refuse(server, pick_up, deposit)
    post(server, reused, status=200)
    # then each is listed once, the newest first
    found = listed(run)
    assert ids(found) == [reused["event_id"], deposit["event_id"], pick_up["event_id"]]
    assert ids(listed(run, "--order", "asc")) == ids(found)[::-1]
    assert ids(listed(run, "--limit", "2")) == ids(found)[:2]
    # and every filter selects
    assert ids(listed(run, "--kind", "reused_id")) == [reused["event_id"]]
    assert ids(listed(run, "--code", "event_id_reused")) == [reused["event_id"]]
    assert ids(listed(run, "--locker", "other")) == [deposit["event_id"]]
    assert ids(listed(run, "--type", "ParcelPickedUp")) == [pick_up["event_id"]]
    assert ids(listed(run, "--since", found[0]["last_at"])) == [reused["event_id"]]
    assert listed(run, "--status", "discarded") == []


def test_all_pages_are_listed(server: Server, run: RunQuarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(server, *(picked_up(f"r{number}") for number in range(5)))
    whole = listed(run)
    assert len(whole) == 5
    monkeypatch.setattr(client, "PAGE_ITEMS", 2)
    assert listed(run) == whole
    assert listed(run, "--limit", "3") == whole[:3]
    # a table says if it lacks rows
    for rows, has_more in (4, True), (5, False):
        monkeypatch.setattr(commands, "TABLE_ROWS", rows)
        result = run("list")
        assert len(result.output.splitlines()) == 1 + rows
        assert ("More rows follow. Use --limit N" in result.errors) == has_more
    assert "Use a higher --limit" in run("list", "--limit", "2").errors


def test_a_table_has_its_columns_and_the_totals_below(server: Server, run: RunQuarantine) -> None:
    # given an empty quarantine
    assert run("list").errors == "0 events are open.\n"
    # when an event is refused twice, and a body is malformed
    pick_up = picked_up("r1")
    refuse(server, pick_up, pick_up)
    assert server.post(b"{}") == 422
    # then
    result = run("list")
    header, row = (line.split() for line in result.output.decode().splitlines())
    entry = listed(run)[0]
    assert header == ["event_id", "kind", "status", "code", "locker_id", "type", "last_at", "count"]
    assert row == [str(entry[name]) for name in header]
    assert (entry["event_id"], entry["count"]) == (pick_up["event_id"], 2)
    assert result.errors == f"1 event is open: 1 {entry['code']}. 1 malformed body came.\n"


def test_the_totals_name_discarded_and_dropped_events(log_path: Path, run_command: RunCommand) -> None:
    # given a quarantine that holds one event
    with Server(log_path, LOCKSTREAM_QUARANTINE_ENTRIES="1").start() as server:
        kept = picked_up("r3")
        refuse(server, picked_up("r1"), picked_up("r2"), kept)
        url = f"http://127.0.0.1:{server.port}"
        assert run_command("quarantine", "discard", url, kept["event_id"], "--reason", "test").exit_code == 0
        assert run_command("quarantine", "list", url).errors == (
            "0 events are open. 1 event is discarded. 2 events were dropped because of the bounds of the quarantine.\n"
        )


def test_an_entry_is_shown_with_all_members_and_its_body(server: Server, run: RunQuarantine) -> None:
    body = json.dumps(picked_up("r1", note="\x1b[31m\x9b", price=1.50), indent=4).replace("1.5", "1.50")
    body = body.replace("\\u009b", "\x9b")  # a control character that JSON allows as it is
    assert server.post(body.encode()) == 422
    [entry] = listed(run)
    # as text, with the numbers as they were sent, and nothing that a terminal obeys
    output = run("show", entry["event_id"].upper()).output.decode()
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:12]] == [
        *("event_id", "kind", "status", "code", "detail", "locker_id", "type"),
        *("occurred_at", "first_at", "last_at", "count", "address"),
    ]
    assert lines[4].endswith(entry["detail"])
    assert lines[12:14] == ["body", "{"]
    assert '    "price": 1.50' in output
    assert not {"\x1b", "\x9b"} & set(output)
    assert json.loads(output.split("body\n", 1)[1]) == json.loads(body)
    # as JSON on one line, the same as in the list
    [line] = run("show", entry["event_id"], "--format", "json").output.splitlines()
    assert json.loads(line) == entry


def test_one_event_is_decided_afresh(server: Server, run: RunQuarantine) -> None:
    reservation = reserved("r1", "c1")
    refuse(server, reservation)
    # while its compartment is unknown, it is refused again
    result = run("resubmit", reservation["event_id"])
    result.assert_is_error(f"The event {reservation['event_id']} was refused (", "c1")
    # then it is accepted, and its entry is gone
    post(server, registered("c1"))
    result = run("resubmit", reservation["event_id"])
    assert (result.exit_code, result.errors) == (
        0,
        f"The event {reservation['event_id']} was accepted at position 2.\n",
    )
    assert listed(run) == []
    run("resubmit", reservation["event_id"]).assert_is_error("has no entry for the event")


def test_a_duplicate_is_named(server: Server, run: RunQuarantine) -> None:
    accepted = registered("c1")
    post(server, accepted)
    post(server, registered("c2", event_id=accepted["event_id"]), status=200)
    result = run("resubmit", accepted["event_id"])
    assert result.exit_code == 0
    assert result.errors == f"The event {accepted['event_id']} is a duplicate of the one at position 1.\n"


def test_all_events_are_decided_afresh_in_their_order(server: Server, run: RunQuarantine) -> None:
    # given events that build on a compartment which came last, and one that nothing helps
    chain = [reserved("r1", "c1"), deposited("r1"), picked_up("r1")]
    lost, other = picked_up("lost"), reserved("r2", "c9", locker="other")
    refuse(server, *chain, lost, other)
    post(server, registered("c1"))
    # when the events of that locker are decided afresh
    result = run("resubmit", "--all", "--locker", "locker-1")
    # then
    rows = [line.split(maxsplit=3) for line in result.output.decode().splitlines()]
    assert rows[0][:3] == ["event_id", "outcome", "position"]
    found = {row[0]: row[1:3] for row in rows[1:]}
    assert [found[body["event_id"]] for body in chain] == [["accepted", str(position)] for position in (2, 3, 4)]
    assert found[lost["event_id"]][0] == "refused"
    assert result.errors == "3 accepted, 0 duplicate, 1 refused.\n"
    assert result.exit_code == 3
    assert ids(listed(run)) == [other["event_id"], lost["event_id"]]


def test_filters_and_a_limit_select_the_events_that_are_decided(server: Server, run: RunQuarantine) -> None:
    assert run("resubmit", "--all").errors == "The quarantine has no such events.\n"
    refuse(server, picked_up("r1"), picked_up("r2"), deposited("r3"))
    result = run("resubmit", "--all", "--limit", "1", "--type", "ParcelPickedUp")
    assert len(result.output.splitlines()) == 2
    assert result.errors == "0 accepted, 0 duplicate, 1 refused.\n1 event was not decided. Run the command again.\n"
    assert run("resubmit", "--all", "--since", "2999-01-01T00:00:00Z").exit_code == 0
    code = listed(run)[0]["code"]
    assert len(run("resubmit", "--all", "--code", code).output.splitlines()) == 4


def test_requests_are_repeated_while_events_are_accepted(
    server: Server, run: RunQuarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given eight events that can be accepted, and three that cannot
    refuse(server, *(reserved(f"r{number}", f"c{number}") for number in range(8)))
    refuse(server, *(picked_up(f"lost-{number}") for number in range(3)))
    post(server, *(registered(f"c{number}") for number in range(8)))
    monkeypatch.setattr(commands, "RESUBMITTED_AT_ONCE", 3)
    # when each request decides three
    result = run("resubmit", "--all")
    # then each event has one row
    assert result.errors == "8 accepted, 0 duplicate, 3 refused.\n"
    assert len(result.output.splitlines()) == 1 + 11


def test_an_event_is_discarded_with_a_reason(server: Server, run: RunQuarantine) -> None:
    pick_up = picked_up("r1")
    refuse(server, pick_up)
    result = run("discard", pick_up["event_id"], "--reason", "=an old\nkey")
    assert result.exit_code == 0
    assert result.errors.startswith(f"The event {pick_up['event_id']} was discarded at ")
    assert result.errors.endswith(": =an old\\u000akey\n")
    assert listed(run) == []
    [entry] = listed(run, "--status", "discarded")
    assert entry["discard_reason"] == "=an old\nkey"
    table = run("list", "--status", "discarded")
    assert "=an old\\u000akey" in table.output.decode()
    assert table.errors == "0 events are open. 1 event is discarded.\n"


def test_malformed_bodies_are_listed(server: Server, run: RunQuarantine) -> None:
    assert server.post(b'{"first":1}') == 422
    assert server.post(b"\xff\x1b" + b"x" * 100) == 422
    newest, oldest = listed(run, name="malformed")
    assert oldest["body"] == '{"first":1}'
    assert newest["body"].endswith("x" * 100)
    assert [one["body"] for one in listed(run, "--limit", "1", name="malformed")] == [newest["body"]]
    table = run("malformed").output.decode()
    assert table.splitlines()[0].split() == ["reason", "detail", "last_at", "count", "address", "body"]
    assert "…" in table
    assert "x" * 60 not in table
    assert "\x1b" not in table
    # those that a table shows are the newest
    assert "More rows follow" in run("malformed", "--limit", "1").errors
