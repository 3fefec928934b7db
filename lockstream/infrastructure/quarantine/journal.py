"""The file of the quarantine: lines are appended, and the file is replaced when most of its lines are outdated."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import batched
from pathlib import Path
from typing import NamedTuple

from lockstream.infrastructure.fs import sync_data, sync_directory, write_all
from lockstream.infrastructure.quarantine.lines import Line, decode_line, encode_lines

LINES_AT_ONCE = 500
"""Lines that are encoded together for a new file."""


def quarantine_path(log_path: Path) -> Path:
    """Return the path of a log's quarantine, beside it."""
    return Path(f"{log_path}.quarantine")


class ReadLine(NamedTuple):
    """A line of a quarantine's file, or the reason why it cannot be read."""

    number: int
    """Number of the line, counted from 1."""

    line: Line | None
    reason: str = ""
    """Why the text is not a line, for people."""

    is_torn: bool = False
    """Whether the text has no line end, because a crash has interrupted its writing, or a server still writes it.

    Nothing may be appended to a file with such an end.
    """


def read_lines(path: Path) -> Iterator[ReadLine]:
    """Yield each line of a quarantine's file, or nothing if there is no file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, text in enumerate(file, 1):
            is_torn = not text.endswith(b"\n")
            try:
                yield ReadLine(number, decode_line(text), is_torn=is_torn)
            except ValueError as error:  # the errors of msgspec are ValueErrors, too
                yield ReadLine(number, None, str(error), is_torn=is_torn)
            if is_torn:  # a server may be writing the rest of the line
                return


class Journal:
    """Appends lines to a file. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        """The file is opened or created by the first `append` or `replace`."""
        self.path = path
        self._file: int | None = None
        self.size = 0
        """Bytes of the file."""

        self.replaced_size = 0
        """Bytes of the file after the last `replace`."""

    def append(self, lines: list[Line]) -> None:
        """Append `lines`, and flush them to disk.

        Raises:
            OSError: some or all of the lines are not on disk. Call `replace` before the next `append`.
        """
        content = encode_lines(lines)
        file = self._open()
        write_all(file, content)
        sync_data(file)
        self.size += len(content)

    def replace(self, lines: Iterator[Line]) -> None:
        """Write a new file with `lines` only, and flush it to disk. A crash leaves the old file or the new one.

        Raises:
            OSError: the file is the old one or the new one. Call `replace` again before the next `append`.
        """
        draft = Path(f"{self.path}.new")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            for some in batched(lines, LINES_AT_ONCE):
                write_all(file, encode_lines(some))
            with suppress(FileNotFoundError):
                os.fchmod(file, self.path.stat().st_mode & 0o777)
            sync_data(file)
            size = os.fstat(file).st_size
            draft.rename(self.path)
            sync_directory(self.path.parent)
        except BaseException:
            os.close(file)
            with suppress(OSError):
                draft.unlink()
            raise
        self.close()
        self._file, self.size, self.replaced_size = file, size, size

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            sync_directory(self.path.parent)
        return self._file
