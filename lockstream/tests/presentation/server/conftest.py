"""One server for all tests of a file that need no limits of their own."""

from collections.abc import Iterator

import pytest

from lockstream.tests.presentation.server.client import Guarded, guarded


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(tmp_path_factory.mktemp("wire") / "event_log.jsonl") as served:
        yield served
