"""Each response keeps the contract, for requests that schemathesis generates, alone and along links."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from fastapi import Response
from hypothesis import seed
from schemathesis.core.result import Ok
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput, Transition
from schemathesis.specs.openapi.checks import unsupported_method
from starlette.types import Receive, Scope, Send

from lockstream.core.entities.access import Scope as AccessScope
from lockstream.infrastructure.access.store import FileKeyStore
from lockstream.presentation.http.app import create_app
from lockstream.presentation.http.min_position import MIN_POSITION
from lockstream.services.deployment import deployment_of
from lockstream.services.running import lockstream
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Auth, Settings
from lockstream.tests.presentation.http.generated_requests import (
    EXAMPLES,
    NAMES,
    REPLACED_CHECKS,
    assert_keeps_contract,
    contract,
)
from lockstream.tests.support.budgets import budget
from lockstream.tests.support.builders import registered
from lockstream.tests.support.clients import serving
from lockstream.tests.support.keys import NoFailureLimits, bearer, created, request
from lockstream.tests.support.memory_system import open_in_memory

STEPS = 8
"""Requests of one run of the state machine."""

MAX_ROUNDS = 8
"""Rounds of runs until every link was followed; most often the first one is enough."""

LINKED_READS = [
    *("GET /lockers/{locker_id}", "GET /lockers/{locker_id}/compartments/{compartment_id}"),
    "GET /reservations/{reservation_id}",
]
LINKED = [*(read.partition(" ")[2] for read in LINKED_READS), "/events", "/events/batch"]
"""Paths of the operations that links lead from or to: among all operations, links are followed too rarely."""

RESTART = "/restart"


@pytest.fixture(scope="module", autouse=True)
def _no_waiting() -> Iterator[None]:
    """Shorten the wait for a min position: most generated ones are beyond the end of the log."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lockstream, "MIN_POSITION_SECONDS", 0.01)
        yield


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for all requests."""
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server that checks no keys, so that a request cannot create the first one and close it."""
    settings = Settings.model_validate(
        {"EVENT_LOG_PATH": tmp_path_factory.mktemp("open") / "event_log.jsonl", "auth": Auth.OFF}
    )
    with serving(create_app(lambda: deployment_of(settings).start(), lambda: settings)) as url:
        yield url


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The base URL of a server that checks keys, and a key of all scopes."""
    log = tmp_path_factory.mktemp("guarded") / "event_log.jsonl"
    with closing(FileKeyStore(log)) as store:
        key = created(store, request(*AccessScope)).text
    settings = Settings.model_validate({"EVENT_LOG_PATH": log})

    def start() -> Lockstream:
        lockstream = deployment_of(settings).start()
        lockstream.access.failure_limits = NoFailureLimits()
        return lockstream

    with serving(create_app(start, lambda: settings)) as url:
        yield url, key


@contract.parametrize()
@budget(EXAMPLES)
def test_every_response_keeps_the_contract(case: Any, open_server: str, session: requests.Session) -> None:
    assert_keeps_contract(case.call(base_url=open_server, session=session), case)


@contract.parametrize()
@budget(EXAMPLES // 3)
def test_every_response_with_a_key_keeps_the_contract(
    case: Any, guarded_server: tuple[str, str], session: requests.Session
) -> None:
    url, key = guarded_server
    response = case.call(base_url=url, session=session, headers=bearer(key))
    assert response.status_code not in (401, 403)
    assert_keeps_contract(response, case)


@contract.parametrize()
@budget(EXAMPLES // 10)
def test_every_response_without_a_key_keeps_the_contract(
    case: Any, guarded_server: tuple[str, str], session: requests.Session
) -> None:
    url, _ = guarded_server
    response = case.call(base_url=url, session=session)
    is_open = case.method == "GET" and case.path.startswith("/health")
    assert response.status_code == (200 if is_open else 401)
    case.validate_response(response, excluded_checks=[*REPLACED_CHECKS, unsupported_method])


class RestartableApp:
    """Lockstream in memory, with one operation more: it starts a new and empty network. A new server takes 0.2 s."""

    def __init__(self) -> None:
        self._app = create_app(open_in_memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == RESTART:
            await self._app.lifecycle.close()
            self._app.lifecycle.start()
            await Response(status_code=204)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@pytest.fixture
def restartable_server() -> Iterator[str]:
    with serving(RestartableApp()) as url:
        yield url


def test_every_response_along_the_links_keeps_the_contract(restartable_server: str, session: requests.Session) -> None:
    followed: set[tuple[str, int]] = set()

    class LinkedRequests(contract.include(path=LINKED).as_state_machine()):  # type: ignore[misc]  # a class made from the contract
        def setup(self) -> None:
            """Start with a few compartments, so that most types of events can be accepted."""
            assert session.post(restartable_server + RESTART).status_code == 204
            events = [registered(compartment, locker=locker) for locker in NAMES for compartment in NAMES[:2]]
            assert session.post(f"{restartable_server}/events/batch", json=events).status_code == 200

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": restartable_server, "session": session}

        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            assert_keeps_contract(response, case)

        def step(self, input: StepInput) -> StepOutput:  # noqa: A002  # the name of the parameter there
            output: StepOutput = super().step(input)
            if input.transition and is_unchanged(input.transition, input.case):
                followed.add((input.transition.id, output.response.status_code))
            return output

    # given runs until each link to a read was followed from the response to an accepted event
    for number in range(MAX_ROUNDS):
        if number:
            seed(number)(LinkedRequests)  # or each round would repeat the first one
        LinkedRequests.run(settings=budget(EXAMPLES // 2, stateful_step_count=STEPS))
        if all(any(link.endswith(read) for link, _ in followed) for read in LINKED_READS):
            break
    # then each link has led to something that exists
    assert {status for _, status in followed} == {200}


def is_unchanged(transition: Transition, case: Any) -> bool:
    """Return whether a request is the one that a link describes: sometimes one is generated that differs."""
    if transition.is_inferred or case.method != "GET" or MIN_POSITION in (case.headers or {}) or case.query:
        return False
    given = {name: value for values in transition.parameters.values() for name, value in values.items()}
    wanted = {name: found.value.ok() if isinstance(found.value, Ok) else None for name, found in given.items()}
    return bool(wanted == case.path_parameters)
