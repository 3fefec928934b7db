"""Fixtures: a server with keys of every kind and its console, which the tests of a module share."""

from collections.abc import Iterator

import pytest

from lockstream.settings import Settings
from lockstream.tests.presentation.console.calling import console_app, console_client
from lockstream.tests.presentation.http.access.conftest import Guarded, add_keys
from lockstream.tests.support.builders import deposited, fault_reported, registered, reserved
from lockstream.tests.support.keys import NoFailureLimits, bearer


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server with keys, and a network of one locker with a parcel and a fault."""
    log = tmp_path_factory.mktemp("guarded") / "event_log.jsonl"
    keys = add_keys(log)
    settings = Settings.model_validate({"EVENT_LOG_PATH": log})
    app = console_app(settings)
    with console_client(settings, app) as client:
        app.lockstream.access.failure_limits = NoFailureLimits()
        story = [registered(), reserved(), deposited(), fault_reported(4), deposited("unknown")]
        client.post("/events/batch", json=story, headers=bearer(keys["all"]))
        yield Guarded(app, client, keys, log)
