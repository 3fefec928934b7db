"""What became of an event: values, not exceptions."""

from enum import Enum

from msgspec import Struct

from lockstream.core.entities.events import Event


class Accepted(Struct, frozen=True, gc=False):
    """It is in the log, at this position (1, 2, 3, …)."""

    position: int


class Duplicate(Struct, frozen=True, gc=False):
    """An event of this id was accepted before, at this position. Nothing changed."""

    position: int


class Ground(Enum):
    """Why an event is refused."""

    UNRESOLVED = "the event's own subject cannot be resolved"
    CONFLICT = "the subject is known, and its state or history forbids the event"


class Refusal(Struct, frozen=True, gc=False):
    """The network's rules forbid it. Nothing changed, and the same event may be accepted later."""

    code: str
    ground: Ground
    sentence: str
    """May name the event's fields, as in `{event.locker_id}`."""

    def explain(self, event: Event) -> str:
        return self.sentence.format(event=event)


type Outcome = Accepted | Duplicate | Refusal
