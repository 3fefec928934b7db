"""Requests made up from the contract, alone and one after the other as its links lead: each answer keeps it."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("schemathesis", reason="the development tools are not installed")

from hypothesis import seed
from schemathesis.core.result import Ok
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput, Transition

from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.presentation.http.app import create_app
from lockstream.presentation.http.min_position import MIN_POSITION
from lockstream.services.running import lockstream
from lockstream.settings import Settings
from lockstream.tests.presentation.http.conftest import serving
from lockstream.tests.presentation.http.generated import EXAMPLES, assert_keeps_contract, contract
from lockstream.tests.support.budgets import budget
from lockstream.tests.support.faulty_store import running_on

STEPS = 8
"""Requests of one life."""

MOST_ROUNDS = 8
"""In one of ten rounds no link is followed."""


@pytest.fixture(scope="module", autouse=True)
def _impatient() -> Iterator[None]:
    """Made-up positions that a read must reflect are mostly ahead of the log: each would be waited for."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lockstream, "TIMEOUT_SECONDS", 0.01)
        yield


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("fuzz") / "event_log.jsonl"
    with serving(create_app(lambda: open_lockstream(Settings.model_validate({"EVENT_LOG_PATH": log})))) as url:
        yield url


@contract.parametrize()
@budget(EXAMPLES)
def test_every_answer_keeps_the_contract(case: Any, base_url: str) -> None:
    assert_keeps_contract(case.call(base_url=base_url), case)


def test_every_answer_on_the_way_of_the_links_keeps_the_contract() -> None:
    followed: set[tuple[str, int]] = set()

    class Life(contract.as_state_machine()):  # type: ignore[misc]  # a class that is made from the contract
        def setup(self) -> None:
            self._serving = serving(create_app(lambda: running_on(MemoryStore(), Settings())))
            self._url = self._serving.__enter__()

        def teardown(self) -> None:
            self._serving.__exit__(None, None, None)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": self._url}

        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            assert_keeps_contract(response, case)

        def step(self, input: StepInput) -> StepOutput:  # noqa: A002  # as it is called there
            output: StepOutput = super().step(input)
            if input.transition and leads_there(input.transition, input.case):
                followed.add((input.transition.id, output.response.status_code))
            return output

    # given lives until, in one of them, an event was accepted and a link from it was followed: at times none is
    for number in range(MOST_ROUNDS):
        if number:
            seed(number)(Life)  # or the lives of each round were those of the first
        Life.run(settings=budget(EXAMPLES // 4, stateful_step_count=STEPS))
        if any("GET /lockers" in link for link, _ in followed):
            break
    # then what it names is there
    assert {status for _, status in followed} == {200}


def leads_there(transition: Transition, case: Any) -> bool:
    """Whether a request is what a link of ours says: now and then one is made up that differs."""
    if transition.is_inferred or case.method != "GET" or MIN_POSITION in (case.headers or {}):
        return False
    named = {name: found.value for values in transition.parameters.values() for name, found in values.items()}
    wanted = {name: value.ok() if isinstance(value, Ok) else None for name, value in named.items()}
    return bool(wanted == case.path_parameters)
