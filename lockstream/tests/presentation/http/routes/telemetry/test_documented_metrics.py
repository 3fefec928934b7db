"""docs/metrics.md lists exactly the metrics that servers have, with their types and labels."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace
from prometheus_client.core import Metric

from lockstream.core.entities.access import Scope
from lockstream.presentation.http.app import create_app
from lockstream.services.running.telemetry.metrics.storage import position_families, system_families
from lockstream.tests.presentation.http.routes.telemetry.scrapes import scrape, shape_of
from lockstream.tests.services.running.telemetry.test_problems import HEALTHY, STORAGE
from lockstream.tests.support.builders import fault_cleared, fault_reported, registered
from lockstream.tests.support.clients import contract_client, open_from_environment
from lockstream.tests.support.databases import database_url

__all__ = ["database_url"]

PAGE = (Path(__file__).parents[6] / "docs/metrics.md").read_text()
ENTRY = re.compile(r"^- `(\w+)` \((counter|gauge|histogram)(?:, [\w ]+)?(?:;((?:\s+`\w+`,?)+))?\):", re.MULTILINE)

type Shape = tuple[str, str, frozenset[str]]

DOCUMENTED: list[Shape] = [
    (name, kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in ENTRY.findall(PAGE)
]


def shapes(families: list[Metric]) -> set[Shape]:
    return {shape_of(family) for family in families}


def shapes_of_server(client: TestClient) -> set[Shape]:
    """Return the shapes of what a server serves after events and requests of every outcome."""
    client.post("/events/batch", json=[registered(), fault_cleared(fault_reported())])
    client.get("/quarantine")
    client.app.lockstream.access.note_refusal("", "", "", "key_missing")  # type: ignore[attr-defined]
    return shapes(scrape(client).families)


@pytest.fixture
def served(database_url: str, monkeypatch: pytest.MonkeyPatch) -> set[Shape]:
    """The shapes of a server with a file, of one with a database, and of one with a read replica and a growing log."""
    found: set[Shape] = set()
    for url in ("", database_url):
        with monkeypatch.context() as patch:
            if url:
                patch.setenv("DATABASE_URL", url)
            with contract_client(create_app(open_from_environment)) as client:
                found |= shapes_of_server(client)
    storage = replace(STORAGE, replica_position=1, replica_lag_seconds=1.0)
    return found | shapes([*system_families(replace(HEALTHY, storage=storage)), *position_families(storage)])


def test_the_page_lists_what_is_served_and_nothing_else(served: set[Shape]) -> None:
    assert served - set(DOCUMENTED) == set()
    assert set(DOCUMENTED) - served == set()


def test_the_page_lists_each_metric_once() -> None:
    names = [name for name, _, _ in DOCUMENTED]
    assert len(names) == len(set(names)) > 50
    assert len(re.findall(r"^- `(?:lockstream|http|process)_\w+`", PAGE, re.MULTILINE)) == len(names)


def test_no_label_is_an_id() -> None:
    labels = {label for _, _, found in DOCUMENTED for label in found}
    assert [label for label in labels if label.endswith("_id") or label in ("locker", "key", "address")] == []
    assert Scope.READ in PAGE
