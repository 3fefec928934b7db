"""A store that is slow and has a fault in it, where a test asks for it. All else in it is real."""

import asyncio
from collections.abc import Sequence

from lockstream.core.entities.events import Event
from lockstream.core.entities.state import Slice
from lockstream.core.keys import Keys
from lockstream.core.repositories import Store
from lockstream.infrastructure.embedded import EmbeddedStore
from lockstream.infrastructure.syncing import Ended, SyncThread
from lockstream.infrastructure.unit_of_work import UnitOfWork
from lockstream.services.lockstream import Lockstream
from lockstream.services.wiring import Settings

PATIENCE_SECONDS = 20
"""How long a test waits for what must come before it gives up; a slow machine is no fault."""

POISON = "poison"
"""A reservation id that sets off a fault."""


class AilingStore(EmbeddedStore):
    """Each flush of its log takes until the gate is open, as it is at first. To be used in one event loop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.event_log_path, settings.working_set_rows)
        self.batches: list[int] = []
        """How many events were decided in one go."""

        self.flushes: list[int] = []
        """The position behind which each flush has made everything durable."""

        self._gated = _GatedSync(self.log._file, self)
        self.log._sync_thread = self._gated

    def unit_of_work(self) -> UnitOfWork:
        return _Ailing(self)

    def shut_gate(self) -> None:
        self._gated.open = False
        self._gated.waiting.clear()

    def open_gate(self) -> None:
        self._gated.let_go()

    async def at_gate(self) -> None:
        """Wait until a flush does."""
        await asyncio.wait_for(self._gated.waiting.wait(), PATIENCE_SECONDS)


class _GatedSync(SyncThread):
    """Flushes as ever, and says so when the gate is open."""

    def __init__(self, file: int, store: AilingStore) -> None:
        super().__init__(file)
        self.open = True
        self.waiting = asyncio.Event()
        self._store = store
        self._held: list[tuple[Ended, OSError | None]] = []

    def begin(self, ended: Ended) -> None:
        def flushed(error: OSError | None) -> None:
            self._held.append((ended, error))
            self.waiting.set()
            if self.open:
                self.let_go()

        self._store.flushes.append(self._store.log.end.position)
        super().begin(flushed)

    def let_go(self) -> None:
        self.open = True
        held, self._held = self._held, []
        for ended, error in held:
            ended(error)


class _Ailing(UnitOfWork):
    def __init__(self, store: AilingStore) -> None:
        super().__init__(store.log, store._rows)
        self._store = store
        self._load = self.load
        self.load = self._load_but_for_poison

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        self._store.batches.append(len(events))
        super().prefetch(events, wanted)

    def _load_but_for_poison(self, keys: Keys) -> Slice:
        if keys.reservation == POISON:
            raise ZeroDivisionError
        return self._load(keys)


def running_on(store: Store, settings: Settings) -> Lockstream:
    """The system over `store`, wired as `settings` say."""
    return Lockstream(store, settings)
