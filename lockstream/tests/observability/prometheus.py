"""A real Prometheus on a free port, with the rules of deploy/observability in a shorter time."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import yaml

from bench.postgres import free_port
from lockstream.tests.observability.deployed import ALERTS
from lockstream.tests.support.processes import TIMEOUT_SECONDS, wait_until
from lockstream.tests.support.requirements import requires_program

needs_prometheus = requires_program("prometheus", "promtool")

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\bfor: |\binterval: |\[|\boffset )(\d+)([smhdw])\b")

FACTOR = 30
"""Divisor of the durations of the rules. An hour is two minutes then."""

LEAST_SECONDS = {"for: ": 8, "interval: ": 1}
"""Shortest durations of shortened rules. A slow machine may miss some scrapes in a row."""

LEAST_RANGE = 4
"""Shortest range, in seconds. It holds two scrapes."""


def shortened(rules: str) -> str:
    """Return rules whose durations are divided by `FACTOR`: `for`, `interval`, `offset` and ranges.

    Thresholds in seconds, such as that of a lag, stay.
    """

    def shorten(found: re.Match[str]) -> str:
        seconds = int(found[2]) * _SECONDS[found[3]] // FACTOR
        return f"{found[1]}{max(LEAST_SECONDS.get(found[1], LEAST_RANGE), seconds)}s"

    return _DURATION.sub(shorten, rules)


class Prometheus:
    """Scrapes servers every two seconds. Used in a `with` statement, it leaves no process behind."""

    def __init__(self, folder: Path, jobs: Mapping[str, Sequence[int]], key: str = "none") -> None:
        """`jobs` are the ports of the servers of each job, and `key` is the API key that they get."""
        self._port = free_port()
        self._folder = folder
        folder.mkdir()
        (folder / "alerts.yml").write_text(shortened(ALERTS.read_text()))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(jobs)))
        (folder / "lockstream-key").write_text(f"{key}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_until(self._is_ready)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression."""
        found = self._get(f"/api/v1/query?{urlencode({'query': expression})}")
        assert found["status"] == "success", f"{expression}: {found}"
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def firing(self) -> dict[str, set[str]]:
        """Return the names of the alerts that fire, by job."""
        found: dict[str, set[str]] = {}
        for alert in self._get("/api/v1/alerts")["data"]["alerts"]:
            if alert["state"] == "firing":
                assert "error" not in alert["annotations"]["summary"].lower().replace("internal error", "")
                assert "<no value>" not in alert["annotations"]["summary"]
                found.setdefault(alert["labels"].get("job", ""), set()).add(alert["labels"]["alertname"])
        return found

    def names(self, job: str) -> set[str]:
        """Return the names of all metrics of a job."""
        found = self._get(f"/api/v1/label/__name__/values?{urlencode({'match[]': f'{{job={job!r}}}'})}")
        return set(found["data"])

    def failed_rules(self) -> list[str]:
        """Return the rules whose evaluation has failed."""
        groups = self._get("/api/v1/rules")["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"]

    def _is_ready(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "output").read_text()
        with suppress(OSError):
            return self._request("/-/ready")[0] == 200
        return False

    def _get(self, path: str) -> Any:
        return json.loads(self._request(path)[1])

    def _request(self, path: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _configuration(jobs: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": job,
                "authorization": {"credentials_file": "lockstream-key"},
                "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
            }
            for job, ports in jobs.items()
        ],
    }
