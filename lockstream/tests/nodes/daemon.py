"""A program of others that listens on a port: PgBouncer, or nginx."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.postgres import free_port, unprivileged
from lockstream.tests.support.processes import TIMEOUT_SECONDS


class Daemon:
    """Used in a `with` statement, it leaves nothing behind."""

    def __init__(self, *command: str, settings: str) -> None:
        """Run `command` in a new folder with a file `settings`.

        In both, PORT stands for the port that the program shall listen on, and HOME for the folder.
        """
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="lockstream-daemon-"))
        self.settings = self._filled_in(settings)
        """The content of the file `settings`. A change has an effect after `restart`."""

        self._command = [self._filled_in(word) for word in command]
        if user := unprivileged().get("user"):
            shutil.chown(self.home, user)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until the program listens."""
        (self.home / "settings").write_text(self.settings)
        output = self.home / "output"
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                self._command, stdout=file, stderr=file, cwd=self.home, start_new_session=True, **unprivileged()
            )
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill all processes of the program, as a power cut would."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def _filled_in(self, text: str) -> str:
        return text.replace("PORT", str(self.port)).replace("HOME", str(self.home))
