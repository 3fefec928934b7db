"""Write transactions with spans, below the decision of their batch."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from opentelemetry.trace import Span

from lockstream.core.entities.events import Event
from lockstream.core.ports import Batch, UnitOfWork
from lockstream.services.running.telemetry.traces.spans import Tracing, fail

LOCKED, COMMITTED = "locked", "committed"
"""Events of a span: the write lock is held and all rows are read; the database has committed."""


def traced_transactions(tracing: Tracing, unit_of_work: Callable[[], UnitOfWork]) -> Callable[[], UnitOfWork]:
    """Return a function that begins a unit of work by `unit_of_work`, with a span if its batch is sampled."""

    def begin() -> UnitOfWork:
        decision = tracing.decision
        if decision is None:
            return unit_of_work()
        return _TracedTransaction(unit_of_work(), tracing.begin("transaction", [decision]))

    return begin


class _TracedTransaction:
    """A unit of work that delegates to another one, and notes the steps of its transaction in a span."""

    def __init__(self, inner: UnitOfWork, span: Span) -> None:
        self._inner, self._span = inner, span

    def __enter__(self) -> Self:
        try:
            self._inner.__enter__()
        except BaseException as error:  # `__exit__` is not called after this
            fail(self._span, str(error))
            self._span.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._inner.__exit__(kind, error, trace)
        finally:
            if error:
                fail(self._span, str(error))
            self._span.end()

    def begin(self, events: Sequence[Event]) -> Batch:
        batch = self._inner.begin(events)
        self._span.add_event(LOCKED)
        return batch

    def load(self, events: Sequence[Event]) -> None:
        self._inner.load(events)

    def commit(self, accepted: Sequence[Event]) -> None:
        self._inner.commit(accepted)
        self._span.add_event(COMMITTED)
