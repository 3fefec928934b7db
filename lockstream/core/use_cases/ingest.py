"""Ingest a batch of events: each is accepted, a duplicate or refused, as if the events had come one by one."""

from collections.abc import Callable, Sequence

from lockstream.core.entities.events import Event
from lockstream.core.evolve import evolve
from lockstream.core.outcomes import Accepted, Duplicate, Outcome, Refusal
from lockstream.core.ports import UnitOfWork
from lockstream.core.row_set import RowsNotLoaded
from lockstream.core.rules import decide


def ingest(
    events: Sequence[Event],
    uow: UnitOfWork,
    before_commit: Callable[[Sequence[Outcome]], object] = lambda outcomes: None,
) -> list[Outcome]:
    """Decide `events` in order, append the accepted ones, and return one outcome per event.

    No client may learn an outcome before the log is flushed up to its end after this batch. `before_commit` is called
    with the outcomes just before the commit; if it raises, nothing is kept.

    Raises:
        StoreUnavailable: nothing of the batch was kept.
    """
    outcomes: list[Outcome] = []
    accepted: list[Event] = []
    with uow:
        known, rows, position = uow.begin(events)
        for index, event in enumerate(events):
            if (earlier := known.get(event.event_id)) is not None:
                outcomes.append(Duplicate(earlier))
                continue
            try:
                decided = decide(rows, event) or evolve(rows, event, position + 1)
            except RowsNotLoaded:
                uow.load(events[index:])
                decided = decide(rows, event) or evolve(rows, event, position + 1)
            if isinstance(decided, Refusal):
                outcomes.append(decided)
                continue
            rows.save(decided)
            position += 1
            known[event.event_id] = position
            accepted.append(event)
            outcomes.append(Accepted(position))
        before_commit(outcomes)
        uow.commit(accepted)
    return outcomes
