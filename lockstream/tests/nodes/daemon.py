"""A program that others made and that listens on a port: PgBouncer, or nginx."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from bench.postgres import free_port, unprivileged
from lockstream.tests.support.processes import TIMEOUT_SECONDS


class Daemon:
    """To be used in a `with`; nothing is left behind."""

    def __init__(self, *command: str, **files: str) -> None:
        """`command` is run in a folder where `files` are; in both, PORT and HOME stand for its port and that folder."""
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="lockstream-daemon-"))
        self._command = [self._told(word) for word in command]
        for name, text in files.items():
            (self.home / name).write_text(self._told(text))
        if user := unprivileged().get("user"):
            shutil.chown(self.home, user)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process:
            self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it listens."""
        with (self.home / "said").open("ab") as said:
            self._process = subprocess.Popen(
                self._command, stdout=said, stderr=said, cwd=self.home, start_new_session=True, **unprivileged()
            )
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None, (self.home / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill all of its processes as a power cut would."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _told(self, text: str) -> str:
        return text.replace("PORT", str(self.port)).replace("HOME", str(self.home))
