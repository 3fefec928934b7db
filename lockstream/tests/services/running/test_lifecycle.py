"""A system is opened when the server starts, perhaps in the background, and closed when the server stops."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lockstream.core.errors import LogFileDamaged, LogLocked, StartingUp, StartRefused, StoreUnavailable
from lockstream.core.outcomes import Accepted
from lockstream.core.ports import OnProgress
from lockstream.infrastructure.file_log.writer import LogWriter
from lockstream.services.deployment import deployment_of
from lockstream.services.running import lifecycle as lifecycle_module
from lockstream.services.running.lifecycle import BackgroundStart, Lifecycle
from lockstream.services.running.lockstream import Lockstream
from lockstream.settings import Settings
from lockstream.tests.support.builders import event, registered
from lockstream.tests.support.coroutines import TIMEOUT_SECONDS, run


class Opener:
    """Opens the system over this test's log, and counts how often."""

    def __init__(self) -> None:
        self.opened: list[Lockstream] = []

    def __call__(self) -> Lockstream:
        self.opened.append(deployment_of(Settings()).start())
        return self.opened[-1]


@pytest.fixture
def opener() -> Opener:
    return Opener()


async def accept(lockstream: Lockstream, compartment: str) -> None:
    [outcome] = await lockstream.ingest([event(registered(compartment))])
    assert isinstance(outcome, Accepted)


def test_the_start_opens_the_system_on_the_running_loop(opener: Opener) -> None:
    async def check() -> None:
        lifecycle = Lifecycle(opener)
        lifecycle.start()
        assert lifecycle.lockstream() is lifecycle.lockstream()
        assert len(opener.opened) == 1
        await accept(lifecycle.lockstream(), "a")
        assert not [thread for thread in threading.enumerate() if thread.name == "lockstream-loop"]
        await lifecycle.close()

    run(check())


def test_concurrent_first_requests_open_one_system(opener: Opener) -> None:
    lifecycle, barrier = Lifecycle(opener), threading.Barrier(4)

    def request(number: int) -> None:
        barrier.wait(TIMEOUT_SECONDS)
        run(accept(lifecycle.lockstream(), str(number)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(request, range(4)))
    assert len(opener.opened) == 1
    run(lifecycle.close())


def test_a_closed_system_is_refused_until_it_is_started_again(opener: Opener, log_path: Path) -> None:
    async def check() -> None:
        lifecycle = Lifecycle(opener)
        for compartment in ("a", "b"):
            lifecycle.start()
            await accept(lifecycle.lockstream(), compartment)
            await lifecycle.close()
            with pytest.raises(StoreUnavailable, match="has stopped"):
                lifecycle.lockstream()
            LogWriter(log_path).close()  # the log is unlocked
        assert len(opener.opened) == 2

    run(check())


def test_a_system_that_was_never_opened_can_be_closed(opener: Opener) -> None:
    lifecycle = Lifecycle(opener)
    run(lifecycle.close())
    with pytest.raises(StoreUnavailable, match="has stopped"):
        lifecycle.lockstream()
    assert opener.opened == []


def test_a_refused_start_is_raised_and_can_be_repeated(opener: Opener, log_path: Path) -> None:
    async def check() -> None:
        lifecycle = Lifecycle(opener)
        other = LogWriter(log_path)
        with pytest.raises(LogLocked):
            lifecycle.start()
        other.close()
        await accept(lifecycle.lockstream(), "a")
        await lifecycle.close()

    run(check())


def test_requests_are_refused_until_a_startup_in_the_background_has_finished(opener: Opener) -> None:
    may_finish = threading.Event()

    def start(_: OnProgress) -> Lockstream:
        assert may_finish.wait(TIMEOUT_SECONDS)
        return opener()

    async def check() -> None:
        # given a server that has started, while its startup is still running
        with BackgroundStart(start) as startup:
            lifecycle = Lifecycle(startup.lockstream)
            lifecycle.start()
            with pytest.raises(StartingUp):
                lifecycle.lockstream()
            # when the startup finishes, then requests are served, on the loop of the server
            may_finish.set()
            startup.wait(TIMEOUT_SECONDS)
            await accept(lifecycle.lockstream(), "a")
            assert not [thread for thread in threading.enumerate() if thread.name == "lockstream-loop"]
            await lifecycle.close()

    run(check())


def test_a_system_that_no_request_has_asked_for_is_closed(opener: Opener, log_path: Path) -> None:
    """Its node would otherwise stay in the list of nodes, and its log locked."""
    with BackgroundStart(lambda _: opener()) as startup:
        startup.wait(TIMEOUT_SECONDS)
    [opened] = opener.opened
    with pytest.raises(StoreUnavailable, match="has stopped"):
        run(accept(opened, "a"))
    LogWriter(log_path).close()  # the log is unlocked


class Startup:
    """A startup that takes each step when the test says so."""

    def __init__(self) -> None:
        self.has_ended = False
        self.refusal: Exception | None = None
        """The exception with which the last step fails."""

        self._steps, self._stepped = threading.Semaphore(0), threading.Semaphore(0)
        self._is_last = False
        self._reached = 0

    def __call__(self, on_progress: OnProgress) -> Lockstream:
        try:
            while True:
                assert self._steps.acquire(timeout=TIMEOUT_SECONDS)
                if self._is_last:
                    break
                self._reached += 1_000
                on_progress(self._reached, 2_500)
                self._stepped.release()
            if self.refusal:
                raise self.refusal
            return deployment_of(Settings()).start()
        finally:
            self.has_ended = True

    def step(self) -> None:
        """Take a step, and wait until its progress is known."""
        self._steps.release()
        assert self._stepped.acquire(timeout=TIMEOUT_SECONDS)

    def finish(self) -> None:
        """Take the last step."""
        self._is_last = True
        self._steps.release()


@pytest.fixture
def startup() -> Iterator[Startup]:
    startup = Startup()
    yield startup
    startup.refusal = StartRefused("The test has ended.")
    startup.finish()


def test_a_request_during_the_startup_is_told_its_progress(startup: Startup) -> None:
    with BackgroundStart(startup) as background:
        with pytest.raises(StartingUp, match=r"Lockstream is checking the end of its log\. Try again"):
            background.lockstream()
        for reached in ("1,000", "2,000"):
            startup.step()
            with pytest.raises(StartingUp, match=f"is catching up with its log, at event {reached} of 2,500"):
                background.lockstream()
        startup.finish()
        background.wait(TIMEOUT_SECONDS)
        assert not background.has_failed
        lockstream = background.lockstream()
        assert background.lockstream() is lockstream
        run(lockstream.close())


def test_waiting_for_a_startup_ends_after_the_given_time(startup: Startup) -> None:
    with BackgroundStart(startup) as background:
        background.wait(0.01)
        background.require_no_failure()
        with pytest.raises(StartingUp):
            background.lockstream()
        startup.finish()
        background.wait(TIMEOUT_SECONDS)
        run(background.lockstream().close())


@pytest.mark.parametrize(
    "refusal", [StartRefused("There can be no log."), LogFileDamaged(Path("log"), 1, 0, "altered."), OSError(5, "I/O")]
)
def test_the_failure_of_a_startup_is_raised_again_each_time(startup: Startup, refusal: Exception) -> None:
    with BackgroundStart(startup) as background:
        # given a startup that is running
        lifecycle = Lifecycle(background.lockstream)
        with pytest.raises(StartingUp):
            lifecycle.lockstream()
        # when it fails
        startup.refusal = refusal
        startup.finish()
        with pytest.raises(type(refusal)) as raised:
            background.wait(TIMEOUT_SECONDS)
        assert raised.value is refusal
        # then every caller gets the failure
        assert background.has_failed
        for ask in (
            background.lockstream,
            background.require_no_failure,
            lambda: background.wait(0),
            lifecycle.lockstream,
        ):
            with pytest.raises(type(refusal)):
                ask()


def test_an_abandoned_startup_ends_at_its_next_step_and_cleans_up() -> None:
    handled: list[Exception] = []
    cleaned_up = threading.Event()

    def start(on_progress: OnProgress) -> Lockstream:
        try:
            while True:
                try:
                    on_progress(1_000, 2_500)
                except Exception as error:  # noqa: BLE001  # as code that calls the progress callback may do
                    handled.append(error)
        finally:
            cleaned_up.set()

    with BackgroundStart(start) as background:
        assert not cleaned_up.is_set()
    assert cleaned_up.is_set()
    assert not handled
    assert not background.has_failed
    background.require_no_failure()
    with pytest.raises(StartingUp):
        background.lockstream()


def test_the_end_of_an_abandoned_startup_is_not_awaited_for_ever(
    startup: Startup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The startup may wait for a disk that does not work."""
    monkeypatch.setattr(lifecycle_module, "ABANDON_SECONDS", 0.01)
    with BackgroundStart(startup):
        pass
    assert not startup.has_ended
