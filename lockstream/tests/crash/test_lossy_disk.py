"""What the tests of power cuts stand on: the disk keeps what was flushed, and of the rest nothing for sure."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.tests.crash.lossy_fs.mounted import LossyDisk, lossy_disk, needs_lossy_disk
from lockstream.tests.support.histories import files_beside

pytestmark = needs_lossy_disk

OFTEN = 60
"""Cuts, among which every kind is."""

LONG = bytes(range(1, 251)) * 100
"""Without zeros, and longer than some blocks."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LossyDisk]:
    with lossy_disk(tmp_path / "disk") as disk:
        yield disk


def written(path: Path, content: bytes, flushed: bool = True) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(content)
        if flushed:
            os.fdatasync(file.fileno())


def name_flushed(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)


def cuts(disk: LossyDisk) -> list[dict[str, bytes]]:
    """What there may be after a cut, in many cases."""
    folders = [disk.folder.with_name(f"cut-{seed}") for seed in range(OFTEN)]
    for seed, folder in enumerate(folders):
        disk.cut(folder, seed)
    return [files_beside(folder / "any") for folder in folders]


def test_what_was_flushed_is_there_with_its_name(disk: LossyDisk) -> None:
    written(disk.folder / "file", LONG)
    name_flushed(disk.folder)
    assert cuts(disk) == [{"file": LONG}] * OFTEN


def test_a_file_whose_folder_was_not_flushed_may_be_missing(disk: LossyDisk) -> None:
    written(disk.folder / "file", LONG)
    found = cuts(disk)
    assert {} in found
    assert {"file": LONG} in found
    assert len([cut for cut in found if cut]) < OFTEN


def test_what_was_not_flushed_may_be_missing_in_any_part(disk: LossyDisk) -> None:
    written(disk.folder / "file", LONG)
    name_flushed(disk.folder)
    written(disk.folder / "file", LONG, flushed=False)
    found = [cut["file"] for cut in cuts(disk)]
    assert all(content.startswith(LONG) for content in found), "what was flushed is there in any case"
    assert {LONG, LONG + LONG} < set(found)
    assert any(b"\0" in content and not content.endswith(b"\0") for content in found), "a hole, with more behind it"
    assert any(content.endswith(b"\0") for content in found), "a length without content"
    assert any(len(LONG) < len(content.rstrip(b"\0")) < 2 * len(LONG) for content in found), "a part"


def test_a_rename_that_was_not_flushed_leaves_one_of_both_files(disk: LossyDisk) -> None:
    written(disk.folder / "old", b"old")
    name_flushed(disk.folder)
    written(disk.folder / "new", b"new")
    (disk.folder / "new").rename(disk.folder / "old")
    found = cuts(disk)
    assert {content for cut in found for name, content in cut.items() if name == "old"} == {b"old", b"new"}
    assert all("old" in cut for cut in found)
    name_flushed(disk.folder)
    for cut in found:
        cut.clear()
    assert files_beside(disk.folder / "any") == {"old": b"new"}


def test_a_removal_that_was_not_flushed_may_be_undone(disk: LossyDisk) -> None:
    written(disk.folder / "file", b"content")
    name_flushed(disk.folder)
    (disk.folder / "file").unlink()
    found = cuts(disk)
    assert {} in found
    assert {"file": b"content"} in found


def test_what_was_cut_short_and_flushed_is_short(disk: LossyDisk) -> None:
    written(disk.folder / "file", LONG)
    name_flushed(disk.folder)
    with (disk.folder / "file").open("r+b") as file:
        file.truncate(1000)
        os.fsync(file.fileno())
    assert cuts(disk) == [{"file": LONG[:1000]}] * OFTEN


def test_memory_is_shared_by_all_who_map_a_file(disk: LossyDisk) -> None:
    """As SQLite does with the index of its write-ahead log."""
    written(disk.folder / "file", bytes(32 * 1024))
    with (disk.folder / "file").open("r+b") as one, mmap.mmap(one.fileno(), 0) as first:
        first[5000] = 7
        with (disk.folder / "file").open("r+b") as other, mmap.mmap(other.fileno(), 0) as second:
            assert second[5000] == 7
            second[6000] = 8
        assert first[6000] == 8
        first.flush()
    assert (disk.folder / "file").read_bytes()[6000] == 8


def test_a_cut_at_each_change_is_of_that_moment(disk: LossyDisk, tmp_path: Path) -> None:
    written(disk.folder / "file", b"1")
    name_flushed(disk.folder)
    with disk.cut_at_each_change(tmp_path / "cuts", seed=1) as folders:
        for content in (b"2", b"3", b"4"):
            written(disk.folder / "file", content)
    contents = [files_beside(folder / "any")["file"] for folder in folders]
    assert len(contents) == 6, "a write and a flush, three times"
    assert contents[1::2] == [b"12", b"123", b"1234"]
