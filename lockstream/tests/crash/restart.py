"""Restart a server after a fault: as a new process if every case runs, otherwise within this process.

The log is recovered and requests are answered by the same code in both. Starting Python again takes most of a second.
"""

import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from fastapi.testclient import TestClient

from lockstream.presentation.http.app import create_app
from lockstream.services.deployment import deployment_of
from lockstream.settings import Settings
from lockstream.tests.crash.fault_report import FULL
from lockstream.tests.support.processes import Server


def restarted(log: Path) -> Server:
    """Return a server for `log`, to be used in a `with` statement and started there."""
    return Server(log) if FULL else _ServerInThisProcess(log)


class _ServerInThisProcess(Server):
    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self._client: TestClient | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def start(self) -> Self:
        assert self._client is None, "the server before this one has not been stopped"
        app = create_app(lambda: deployment_of(Settings(event_log_path=self.log)).start())
        self._client = TestClient(app)
        self._client.__enter__()
        return self

    def stop(self, sent: signal.Signals) -> int:
        self._close()
        return 0

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, dict[str, str], bytes]:
        assert self._client is not None, "the server has not been started"
        response = self._client.request(method, path, content=body, headers=dict(headers))
        return response.status_code, dict(response.headers), response.content

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.__exit__()
