"""Each store, so that every test here runs on each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstream.tests.infrastructure.stores.network import KINDS, Network


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest, log_path: Path) -> Iterator[Network]:
    network = Network(request.param, log_path)
    yield network
    network.close()
