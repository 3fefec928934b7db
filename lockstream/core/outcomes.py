"""Outcome of one event: accepted, duplicate or refused. Outcomes are values, not exceptions."""

from enum import Enum

from msgspec import Struct

from lockstream.core.entities.events import Event


class Accepted(Struct, frozen=True, gc=False):
    """The event was appended to the log."""

    position: int
    """Position of the event in the log, counted from 1."""


class Duplicate(Struct, frozen=True, gc=False):
    """An event with the same id was accepted before. Nothing changed."""

    position: int
    """Position of the earlier event in the log."""


class RefusalKind(Enum):
    """Why the rules refuse an event: its subject is unresolved, or in conflict with it."""

    UNRESOLVED = "the event's own subject cannot be resolved"
    CONFLICT = "the subject is known, and its state or history forbids the event"


class Refusal(Struct, frozen=True, gc=False):
    """The rules forbid the event. Nothing changed, and the same event may be accepted later."""

    code: str
    """Stable name of the reason, for programs."""

    kind: RefusalKind
    sentence: str
    """Explanation for people. It may contain fields, such as `{event.locker_id}` and `{payload.severity}`."""

    def explain(self, event: Event) -> str:
        """Return the sentence with the fields of `event` filled in."""
        return self.sentence.format(event=event, payload=event.payload)


type Outcome = Accepted | Duplicate | Refusal
