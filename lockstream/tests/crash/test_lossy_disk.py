"""The lossy disk, on which the tests of power cuts stand: it keeps flushed changes, and any part of the others."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.tests.crash.lossy_fs.mount import LossyDisk, lossy_disk, needs_lossy_disk
from lockstream.tests.support.histories import files_beside

pytestmark = needs_lossy_disk

CUTS = 60
"""Power cuts of one test: enough for every kind of remains to occur."""

LONG = bytes(range(1, 251)) * 100
"""A content without zeros that is longer than several blocks."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LossyDisk]:
    with lossy_disk(tmp_path / "disk") as disk:
        yield disk


def append(path: Path, content: bytes, *, flushed: bool = True) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(content)
        if flushed:
            os.fdatasync(file.fileno())


def flush_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)


def remains(disk: LossyDisk) -> list[dict[str, bytes]]:
    """Return the files that many power cuts leave, by name."""
    folders = [disk.folder.with_name(f"cut-{seed}") for seed in range(CUTS)]
    for seed, folder in enumerate(folders):
        disk.cut_power(folder, seed)
    return [files_beside(folder / "any") for folder in folders]


def test_a_flushed_file_in_a_flushed_folder_survives(disk: LossyDisk) -> None:
    append(disk.folder / "file", LONG)
    flush_folder(disk.folder)
    assert remains(disk) == [{"file": LONG}] * CUTS


def test_a_file_in_an_unflushed_folder_may_be_missing(disk: LossyDisk) -> None:
    append(disk.folder / "file", LONG)
    found = remains(disk)
    assert {} in found
    assert {"file": LONG} in found
    assert len([files for files in found if files]) < CUTS


def test_any_part_of_an_unflushed_write_may_be_missing(disk: LossyDisk) -> None:
    # given a flushed file
    append(disk.folder / "file", LONG)
    flush_folder(disk.folder)
    # when more is written and not flushed
    append(disk.folder / "file", LONG, flushed=False)
    # then power cuts leave every kind of part of it
    found = [files["file"] for files in remains(disk)]
    assert all(content.startswith(LONG) for content in found), "flushed bytes always survive"
    assert {LONG, LONG + LONG} < set(found)
    assert any(b"\0" in content and not content.endswith(b"\0") for content in found), "a hole with bytes after it"
    assert any(content.endswith(b"\0") for content in found), "a length without content"
    assert any(len(LONG) < len(content.rstrip(b"\0")) < 2 * len(LONG) for content in found), "a part"


def test_an_unflushed_rename_leaves_one_of_both_files(disk: LossyDisk) -> None:
    # given two files
    append(disk.folder / "old", b"old")
    flush_folder(disk.folder)
    append(disk.folder / "new", b"new")
    # when one is renamed to the other
    (disk.folder / "new").rename(disk.folder / "old")
    # then a power cut leaves either of them under that name
    found = remains(disk)
    assert {content for files in found for name, content in files.items() if name == "old"} == {b"old", b"new"}
    assert all("old" in files for files in found)
    flush_folder(disk.folder)
    assert files_beside(disk.folder / "any") == {"old": b"new"}


def test_an_unflushed_removal_may_be_undone(disk: LossyDisk) -> None:
    append(disk.folder / "file", b"content")
    flush_folder(disk.folder)
    (disk.folder / "file").unlink()
    found = remains(disk)
    assert {} in found
    assert {"file": b"content"} in found


def test_a_flushed_truncation_survives(disk: LossyDisk) -> None:
    append(disk.folder / "file", LONG)
    flush_folder(disk.folder)
    with (disk.folder / "file").open("r+b") as file:
        file.truncate(1000)
        os.fsync(file.fileno())
    assert remains(disk) == [{"file": LONG[:1000]}] * CUTS


def test_all_mappings_of_a_file_share_its_memory(disk: LossyDisk) -> None:
    """SQLite maps the index of its write-ahead log in this way."""
    append(disk.folder / "file", bytes(32 * 1024))
    with (disk.folder / "file").open("r+b") as one, mmap.mmap(one.fileno(), 0) as first:
        first[5000] = 7
        with (disk.folder / "file").open("r+b") as other, mmap.mmap(other.fileno(), 0) as second:
            assert second[5000] == 7
            second[6000] = 8
        assert first[6000] == 8
        first.flush()
    assert (disk.folder / "file").read_bytes()[6000] == 8


def test_a_power_cut_after_each_change_leaves_the_files_of_that_moment(disk: LossyDisk, tmp_path: Path) -> None:
    append(disk.folder / "file", b"1")
    flush_folder(disk.folder)
    with disk.power_cut_after_each_change(tmp_path / "cuts", seed=1) as folders:
        for content in (b"2", b"3", b"4"):
            append(disk.folder / "file", content)
    contents = [files_beside(folder / "any")["file"] for folder in folders]
    assert len(contents) == 6, "a write and a flush, three times"
    assert contents[1::2] == [b"12", b"123", b"1234"]
