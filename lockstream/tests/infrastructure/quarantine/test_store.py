"""The file of the quarantine: crashes, damage, failing disks and compaction."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from lockstream.core.entities.quarantine import (
    MALFORMED_BODIES,
    AcceptedEvent,
    Discard,
    QuarantineLimits,
    QuarantineTotals,
    with_reused_id,
)
from lockstream.core.errors import StartRefused, StoreUnavailable
from lockstream.infrastructure.quarantine import store as module
from lockstream.infrastructure.quarantine.journal import quarantine_path, read_lines
from lockstream.infrastructure.quarantine.lines import EntryLine, encode_lines
from lockstream.infrastructure.quarantine.store import SLACK_BYTES, FileQuarantine, open_quarantine
from lockstream.tests.support.processes import file_size_limit
from lockstream.tests.support.quarantine import (
    accepted_event,
    all_entries,
    id_of,
    malformed,
    numbers_of,
    refused,
    reused,
    write,
)

LIMITS = QuarantineLimits()
DISCARD = Discard("a test", "2026")


@pytest.fixture
def path(log_path: Path) -> Path:
    """The path of the quarantine beside this test's log."""
    return quarantine_path(log_path)


@contextmanager
def opened(path: Path) -> Iterator[FileQuarantine]:
    with closing(FileQuarantine(LIMITS, path)) as store:
        yield store


def nothing_accepted(event_ids: Sequence[str]) -> list[AcceptedEvent]:
    """Return no event of a log, because none was accepted."""
    return []


def numbers_in(path: Path) -> list[int]:
    """Return the numbers of all events in a file, as a start reads it."""
    with opened(path) as store:
        return numbers_of(all_entries(store))


def is_behind(store: FileQuarantine) -> bool:
    """Return the property, which the type checker takes for constant between two assertions."""
    return store.is_behind


def filled(path: Path, count: int = 3) -> list[bytes]:
    """Write `count` entries, one at a time, and return the lines of the file."""
    with opened(path) as store:
        for number in range(1, count + 1):
            write(store, refused(number))
    return path.read_bytes().splitlines(keepends=True)


def test_a_quarantine_without_a_write_makes_no_file(path: Path) -> None:
    with opened(path) as store:
        assert all_entries(store) == []
        write(store)
    assert not path.exists()


@pytest.mark.parametrize("kept", [0, 1, 50, -2])
def test_a_line_that_a_crash_has_cut_off_is_left_out(path: Path, kept: int, caplog: pytest.LogCaptureFixture) -> None:
    # given a file whose last line is cut off
    *lines, last = filled(path)
    path.write_bytes(b"".join(lines) + last[:kept])

    # when it is opened, then the others are there, without a warning
    with opened(path) as store:
        assert numbers_of(all_entries(store)) == [1, 2]
        # and what is written next can be read
        write(store, refused(4))
    assert numbers_in(path) == [1, 2, 4]
    assert caplog.records == []
    assert list(path.parent.iterdir()) == [path]


def test_a_last_line_without_its_end_is_kept_and_the_next_one_can_be_read(path: Path) -> None:
    path.write_bytes(b"".join(filled(path))[:-1])
    with opened(path) as store:
        assert numbers_of(all_entries(store)) == [1, 2, 3]
        write(store, refused(4))
    assert numbers_in(path) == [1, 2, 3, 4]


def test_sectors_that_were_not_written_at_the_end_are_left_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = filled(path)
    path.write_bytes(b"".join(lines) + b"\0" * 4_096)
    with opened(path) as store:
        assert numbers_of(all_entries(store)) == [1, 2, 3]
        write(store, refused(4))
    assert numbers_in(path) == [1, 2, 3, 4]
    assert caplog.records == []


def test_zeros_within_a_line_are_damage(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = filled(path)
    path.write_bytes(content := lines[0] + b"\0" * 4_096 + lines[1][-20:] + lines[2])
    with opened(path) as store:
        assert numbers_of(all_entries(store)) == [1, 3]
        write(store, refused(4))
    assert numbers_in(path) == [1, 3, 4]
    [record] = caplog.records
    assert "has 1 line that cannot be read, the first one at line 2." in record.getMessage()
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content


@pytest.mark.parametrize("body", ["", "[]", "3", "{", '{"a":NaN}', "[" * 100_000], ids=ascii)
def test_a_body_that_is_no_json_object_is_damage(path: Path, body: str, caplog: pytest.LogCaptureFixture) -> None:
    """Responses show bodies as JSON objects."""
    filled(path)
    with path.open("ab") as file:
        file.write(encode_lines([EntryLine(replace(refused(4, body=body), number=4))]))
    with opened(path) as store:
        assert numbers_of(all_entries(store)) == [1, 2, 3]
    assert len(caplog.records) == 1


def test_a_body_with_numbers_of_any_size_is_kept(path: Path) -> None:
    with opened(path) as store:
        write(store, refused(1, body='{"a":1e999999,"b":%s}' % ("9" * 5_000)))
    assert numbers_in(path) == [1]


@pytest.mark.parametrize("damage", [b"{}\n", b'{"line":"entry"}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"\n"])
def test_a_damaged_line_is_reported_and_left_out_and_the_file_is_kept(
    path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    # given a file with two damaged lines in the middle
    lines = filled(path)
    content = b"".join([lines[0], damage, damage, *lines[2:]])
    path.write_bytes(content)

    # when it is opened and written
    with opened(path) as store:
        assert numbers_of(all_entries(store)) == [1, 3]
        write(store, refused(4))

    # then one warning names the copy of the file, and the new file has no damage
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    damaged = path.with_name(f"{path.name}.damaged")
    message = record.getMessage()
    assert "has 2 lines that cannot be read, the first one at line 2. Lockstream goes on without them" in message
    assert message.endswith(f"the file is kept as {damaged}.")
    assert damaged.read_bytes() == content
    assert damaged.stat().st_nlink == 1
    caplog.clear()
    assert numbers_in(path) == [1, 3, 4]
    assert caplog.records == []


def test_each_damaged_file_is_kept_once(path: Path) -> None:
    lines = filled(path)
    for number in range(3):
        path.write_bytes(b"damage %d\n" % number + b"".join(lines))
        for _ in range(2):  # a start without a write leaves the file as it is
            with opened(path):
                pass
        with opened(path) as store:
            write(store, refused(4))
    kept = sorted(path.parent.glob(f"{path.name}.damaged*"))
    assert [copy.name.removeprefix(path.name) for copy in kept] == [".damaged", ".damaged-2", ".damaged-3"]
    assert [copy.read_bytes().split(b"\n")[0] for copy in kept] == [b"damage 0", b"damage 1", b"damage 2"]
    assert numbers_in(path) == [1, 2, 3, 4]


def test_a_file_that_cannot_be_read_refuses_the_start(log_path: Path) -> None:
    path = quarantine_path(log_path)
    path.mkdir()
    with pytest.raises(StartRefused, match=r"quarantine cannot be read \(Is a directory\)\. Make it a file"):
        open_quarantine(log_path, LIMITS, nothing_accepted)


def test_a_file_with_one_event_again_and_again_stays_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLACK_BYTES", 20_000)
    with opened(path) as store:
        write(store, *(refused(number, body='{"a":"%s"}' % ("x" * 992)) for number in range(2, 12)))
        sizes = []
        for second in range(1_000):
            write(store, refused(1, second))
            sizes.append(path.stat().st_size)
    assert max(sizes) <= 2 * 11 * 1_300 + 20_000 + 1_000
    assert sizes != sorted(sizes), "the file was never written anew"
    assert numbers_in(path) == [*range(2, 12), 1]


def test_a_file_is_not_written_anew_at_each_write_while_malformed_bodies_fill_it(path: Path) -> None:
    """A malformed body is not an entry. Its control characters take six bytes each in the file, and one in memory."""
    with opened(path) as store:
        body = "\x01" * 4_000
        write(store, malformed=[malformed(f"{number}{body}") for number in range(MALFORMED_BODIES)])
        assert path.stat().st_size > 3 * SLACK_BYTES
        files = set()
        for number in range(10):
            write(store, refused(number))
            files.add(path.stat().st_ino)
    assert len(files) <= 2


def test_a_full_disk_is_reported_once_and_the_next_write_catches_up(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with opened(path) as store:
        # given an entry on disk, and a disk that is full in the middle of the next line
        write(store, refused(1), refused(7))
        with file_size_limit(path.stat().st_size + 100):
            # when more arrives, and an event is accepted
            write(store, refused(2), accepted=[accepted_event(7)])
            assert is_behind(store)
            write(store, refused(3), malformed=[malformed("a")], dropped=1)
            assert is_behind(store)
            # then it is in memory
            assert numbers_of(all_entries(store)) == [1, 2, 3]
            # and an operator's decision fails, and changes nothing
            with pytest.raises(StoreUnavailable, match="File too large"):
                store.discard(id_of(1), DISCARD)
            assert store.entry(id_of(1)) == all_entries(store)[0]

        # when the disk has room, then the next write catches up, even with nothing new
        write(store)
        assert not is_behind(store)
        before = all_entries(store), store.totals(), store.malformed(None, 10)

    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(" (")[0] for message in messages] == [
        "The quarantine cannot be written to disk",
        "The quarantine is written to disk again.",
    ]
    with opened(path) as store:
        assert (all_entries(store), store.totals(), store.malformed(None, 10)) == before


def test_a_folder_that_is_gone_leaves_everything_in_memory_until_it_is_back(log_path: Path) -> None:
    folder = log_path.parent / "folder"
    path = folder / "quarantine"
    with opened(path) as store:
        write(store, refused(1))
        assert is_behind(store)
        assert numbers_of(all_entries(store)) == [1]
        folder.mkdir()
        write(store, refused(2))
        assert not is_behind(store)
    assert numbers_in(path) == [1, 2]


def test_a_draft_that_a_crash_has_left_does_not_matter(path: Path) -> None:
    # given the draft of a file, and a file whose end is torn, so that it is written anew
    lines = filled(path)
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(b"left over" * 10_000)
    path.write_bytes(b"".join(lines)[:-2])
    # when it is written
    with opened(path) as store:
        write(store, refused(4))
    # then the draft has become the file
    assert numbers_in(path) == [1, 2, 4]
    assert not draft.exists()


def test_a_start_removes_entries_whose_events_were_accepted_before_a_crash(log_path: Path) -> None:
    path = quarantine_path(log_path)
    with opened(path) as store:
        write(store, refused(1), refused(2), reused(3), refused(4))

    def in_log(event_ids: Sequence[str]) -> list[AcceptedEvent]:
        assert list(event_ids) == [id_of(1), id_of(2), id_of(4)]
        return [accepted_event(1), accepted_event(4, "other", 9)]

    # when a start finds one event in the log, and another event under the id of a second one
    with closing(open_quarantine(log_path, LIMITS, in_log)) as store:
        # then the first one is gone, in the file, too, and the second one has a reused id
        assert numbers_of(all_entries(store)) == numbers_in(path) == [2, 3, 4]
        assert store.refused_ids == {id_of(2)}
        assert store.entry(id_of(4)) == replace(with_reused_id(refused(4), 9), number=4)
        write(store, refused(5))
    assert numbers_in(path) == [2, 3, 4, 5]


def test_a_start_writes_a_file_that_keeps_new_bounds(log_path: Path) -> None:
    path = quarantine_path(log_path)
    filled(path, 10)
    with closing(open_quarantine(log_path, QuarantineLimits(entries=4), nothing_accepted)) as store:
        assert numbers_in(path) == numbers_of(all_entries(store)) == [7, 8, 9, 10]
        assert store.totals().dropped == 6


def test_a_start_repairs_a_damaged_file(log_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = quarantine_path(log_path)
    lines = filled(path)
    path.write_bytes(b"damage\n" + b"".join(lines) + b"torn")
    open_quarantine(log_path, LIMITS, nothing_accepted).close()
    assert len(caplog.records) == 1
    assert all(one.line for one in read_lines(path))
    assert numbers_in(path) == [1, 2, 3]


def test_a_start_without_a_quarantine_makes_no_file(log_path: Path) -> None:
    open_quarantine(log_path, LIMITS, nothing_accepted).close()
    assert not quarantine_path(log_path).exists()


def test_numbers_are_not_used_again_after_a_compaction_and_a_restart(path: Path) -> None:
    # given a file that is written anew after its newest entry has left
    lines = filled(path)
    path.write_bytes(b"".join(lines) + b"torn")
    with opened(path) as store:
        write(store, accepted=[accepted_event(3)])
    assert len(path.read_bytes().splitlines()) == 3
    # when it is opened again, then the next entry has the next number
    with opened(path) as store:
        write(store, refused(4))
        assert [entry.number for entry in all_entries(store)] == [1, 2, 4]


def test_a_file_that_is_written_anew_keeps_its_permissions(path: Path) -> None:
    lines = filled(path)
    path.chmod(0o640)
    path.write_bytes(b"".join(lines) + b"torn")
    inode = path.stat().st_ino
    with opened(path) as store:
        write(store, refused(4))
    assert (path.stat().st_mode & 0o777, path.stat().st_ino != inode) == (0o640, True)


def test_nothing_is_written_to_a_disk_without_the_free_space_of_the_log(
    log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = quarantine_path(log_path)
    content = b"".join(filled(path))
    # given a disk that has less free space than the log needs
    with closing(open_quarantine(log_path, LIMITS, nothing_accepted, min_free_bytes=1 << 60)) as store:
        # when more arrives
        write(store, refused(4), accepted=[accepted_event(1)])
        write(store, refused(5))
        # then it is in memory, with one warning, and a decision fails
        assert is_behind(store)
        assert numbers_of(all_entries(store)) == [2, 3, 4, 5]
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "LOCKSTREAM_MIN_FREE_BYTES" in caplog.records[0].getMessage()
        with pytest.raises(StoreUnavailable, match="less free space"):
            store.discard(id_of(4), DISCARD)
        assert store.entry(id_of(4)) == replace(refused(4), number=4)
    assert path.read_bytes() == content
    # and a start with enough free space goes on with the file
    with closing(open_quarantine(log_path, LIMITS, nothing_accepted, min_free_bytes=0)) as store:
        write(store, refused(6))
        assert not is_behind(store)
    assert numbers_in(path) == [1, 2, 3, 6]


def test_refused_ids_follow_all_changes(path: Path) -> None:
    with opened(path) as store:
        ids = store.refused_ids
        write(store, refused(1), refused(2), reused(3))
        assert ids == {id_of(1), id_of(2)}
        write(store, reused(1, 1, count=0), refused(3, 4), accepted=[accepted_event(2)])
        assert ids == {id_of(3)}
    with opened(path) as store:
        assert store.refused_ids == {id_of(3)}
        assert store.totals() == QuarantineTotals(open={"event_id_reused": 1, "unknown_compartment": 1})
