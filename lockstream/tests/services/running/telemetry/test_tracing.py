"""LOCKSTREAM_TRACES: what is loaded, and what stops a start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lockstream.core.errors import StartRefused
from lockstream.services.running.telemetry.traces import tracing
from lockstream.settings import Settings
from lockstream.tests.support.processes import TIMEOUT_SECONDS, environment

LOADED = """
import asyncio, json, sys
from fastapi.testclient import TestClient
from lockstream.main import app
with TestClient(app) as client:
    assert client.get("/events?after=0").status_code == 200
print(json.dumps([name for name in sys.modules if "opentelemetry" in name or "telemetry." in name]))
"""


def test_without_traces_nothing_of_the_sdk_is_imported(log_path: Path) -> None:
    """FastAPI imports the package of the API, which does nothing by itself."""
    ended = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=environment(log_path),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    loaded = json.loads(ended.stdout)
    assert not [name for name in loaded if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
    ours = [name for name in loaded if name.startswith("lockstream.services.running.telemetry.traces.")]
    assert ours == ["lockstream.services.running.telemetry.traces.tracing"]


@pytest.mark.parametrize("missing", ["opentelemetry.missing", "missing.sdk"])
def test_traces_without_the_extra_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(tracing, "REQUIRED", (missing,))
    assert tracing.open_tracing(Settings()) is None
    with pytest.raises(StartRefused, match=r"pip install '\.\[otel\]'"):
        tracing.open_tracing(Settings(traces="on"))


def test_a_variable_that_cannot_be_used_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra `otel`")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000")
    with pytest.raises(StartRefused, match=r"max_queue_size\. Correct the variables OTEL_\*\."):
        tracing.open_tracing(Settings(traces="on"))
