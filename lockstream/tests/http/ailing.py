"""A store that is slow and has a fault in it, where a test asks for it. All else in it is real."""

import asyncio
from collections.abc import Callable, Sequence

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Slice
from lockstream.core.keys import Keys
from lockstream.core.repositories import Store
from lockstream.infrastructure.embedded import EmbeddedStore
from lockstream.infrastructure.unit_of_work import UnitOfWork
from lockstream.services.lockstream import Lockstream
from lockstream.services.wiring import Settings

PATIENCE_SECONDS = 20
"""How long a test waits before it gives up; a slow machine is no fault."""

POISON = "poison"
"""A reservation id that sets off a fault."""


class Gate:
    """What is to go through it waits while it is shut. It is open at first. To be used in one event loop."""

    def __init__(self) -> None:
        self._shut = False
        self._waiting: list[Callable[[], object]] = []
        self._somebody_waits = asyncio.Event()

    def pass_through(self, function: Callable[[], object]) -> None:
        self._waiting.append(function)
        self._somebody_waits.set()
        if not self._shut:
            self.set()

    def clear(self) -> None:
        self._shut = True
        self._somebody_waits.clear()

    def set(self) -> None:
        """Open it."""
        self._shut = False
        waiting, self._waiting = self._waiting, []
        for function in waiting:
            function()

    async def reached(self) -> None:
        """Wait until somebody waits at it."""
        await asyncio.wait_for(self._somebody_waits.wait(), PATIENCE_SECONDS)


class AilingStore(EmbeddedStore):
    """Each flush of the log waits for `gate`, as if the disk took its time."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.event_log_path, settings.working_set_rows)
        self.batches: list[int] = []
        """How many events were decided together, each time."""
        self.gate = Gate()
        flush_aside = self.log.flush_aside
        self.log.flush_aside = lambda ended: self.gate.pass_through(lambda: flush_aside(ended))  # type: ignore[method-assign]  # the log is the store's own

    def unit_of_work(self) -> UnitOfWork:
        return _Ailing(self)

    def shut_gate(self) -> None:
        self.gate.clear()

    async def at_gate(self) -> None:
        """Wait until a flush does."""
        await self.gate.reached()


class _Ailing(UnitOfWork):
    def __init__(self, store: AilingStore) -> None:
        super().__init__(store.log, store._rows)
        self._store = store
        self._load = self.load
        self.load = self._load_unless_poisoned

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        self._store.batches.append(len(events))
        super().prefetch(events, wanted)

    def _load_unless_poisoned(self, keys: Keys) -> Slice:
        if keys.reservation == POISON:
            raise ZeroDivisionError
        return self._load(keys)


def running_on(store: Store, settings: Settings) -> Lockstream:
    """The system over `store`, wired as `settings` say."""
    return Lockstream(store, settings)
