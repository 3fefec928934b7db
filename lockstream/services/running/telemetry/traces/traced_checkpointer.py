"""The checkpointer with spans. Each checkpoint is the root of a trace, since it belongs to no request."""

from collections.abc import Callable

from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.services.running.checkpointer import Checkpointer
from lockstream.services.running.durable_position import DurablePosition
from lockstream.services.running.telemetry.traces.spans import POSITION, Tracing


class TracedCheckpointer(Checkpointer):
    """A `Checkpointer` whose checkpoints are traced."""

    def __init__(
        self, store: EmbeddedStore, durable: DurablePosition, on_caught_up: Callable[[], object], tracing: Tracing
    ) -> None:
        super().__init__(store, durable, on_caught_up)
        self._tracing = tracing

    async def _write(self) -> None:
        with self._tracing.span("checkpoint") as span:
            await super()._write()
            span.set_attribute(POSITION, self._reached)
