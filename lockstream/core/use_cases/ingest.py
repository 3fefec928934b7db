"""Take in a batch of events: each is known, refused or accepted, as if it had come alone and in this order."""

from collections.abc import Callable, Sequence

from lockstream.core.decide import decide
from lockstream.core.entities.events import Event
from lockstream.core.evolve import evolve
from lockstream.core.keys import Keys, keys
from lockstream.core.outcomes import Accepted, Duplicate, Outcome
from lockstream.core.repositories import UnitOfWork


def ingest(
    events: Sequence[Event],
    uow: UnitOfWork,
    before_commit: Callable[[Sequence[Outcome]], object] = lambda outcomes: None,
) -> list[Outcome]:
    """Decide `events` in order and keep the accepted ones; an outcome for each, in order.

    Nobody may hear of an outcome before the log has been flushed up to where it ends now. `before_commit` hears them
    just before they are kept; if it raises, nothing is.

    Raises:
        StoreUnavailable: nothing of the batch was kept.
    """
    wanted = [keys(event) for event in events]
    with uow:
        uow.prefetch(events, wanted)
        outcomes = [_ingest_one(event, key, uow) for event, key in zip(events, wanted, strict=True)]
        before_commit(outcomes)
        uow.commit()
    return outcomes


def _ingest_one(event: Event, wanted: Keys, uow: UnitOfWork) -> Outcome:
    if (position := uow.recorded(event.event_id)) is not None:
        return Duplicate(position)
    before = uow.load(wanted)
    if refusal := decide(before, event):
        return refusal
    uow.save(before, evolve(before, event))
    return Accepted(uow.record(event))
