"""The world of a simulation: its clock, the agenda of planned actions, random numbers, and the sending of events."""

from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from heapq import heappop, heappush
from random import Random
from typing import Any, NamedTuple

from lockstream.simulator.distribution import Distribution
from lockstream.simulator.network import Compartment, Locker
from lockstream.simulator.rhythm import DAY, HOUR, Rhythm

_RESENT = 0.008
"""Share of events that a locker sends twice, because the response was lost."""

_RESENT_AFTER = Distribution((0, 2), (0.7, 30), (1, 600))
"""Seconds after which a locker sends an event again."""

_EPOCH = date(1970, 1, 1).toordinal()


class Arrival(NamedTuple):
    """An event that arrives at the server."""

    time: int
    """In seconds since 1970-01-01, UTC. The event may have occurred days before."""

    text: bytes
    """The event as JSON on one line, without a line end."""


class World:
    """The state of a simulation, apart from the lockers. `now` is in seconds since 1970-01-01, UTC.

    Actions are functions `(world, subject)`, and not methods: the agenda holds one for every compartment.
    """

    def __init__(self, random: Random, start: int) -> None:
        self.now = start
        self.chance = random.random
        """Function that returns a random share from [0, 1)."""
        self.delivered: list[bytes] = []
        """Events that arrive at the server now."""
        self._bits = random.getrandbits
        self._agenda: list[tuple[int, int, Callable[[World, Any], None], Any]] = []
        self._actions = 0
        self._reservations = 10_000_000 + int(random.random() * 80_000_000)

    def run(self, end: float) -> Iterator[Arrival]:
        """Carry out all actions before the time `end`, and yield the events that arrive."""
        agenda = self._agenda
        while agenda and agenda[0][0] < end:
            self.now, _, action, subject = heappop(agenda)
            action(self, subject)
            if self.delivered:
                for text in self.delivered:
                    yield Arrival(self.now, text)
                self.delivered.clear()

    def at[SubjectT](self, time: int, action: "Callable[[World, SubjectT], None]", subject: SubjectT) -> None:
        """Plan an action at a time. Actions of the same second keep the order in which they were planned."""
        self._actions += 1
        heappush(self._agenda, (time, self._actions, action, subject))

    def after(self, hours: Distribution, factor: float = 1) -> int:
        """Return the time after a random number of hours, multiplied by `factor`."""
        return self.now + int(hours.at(self.chance()) * factor * HOUR)

    def in_rhythm(self, rhythm: Rhythm, locker: Locker, hours: Distribution, factor: float = 1) -> int:
        """Return the time after a random number of average hours of `rhythm` at the locker."""
        return rhythm.after(self.now + locker.offset, hours.at(self.chance()) * factor) - locker.offset

    def report(self, compartment: Compartment, event_type: str, payload: str) -> str:
        """Send an event from a locker, perhaps twice, and return its `event_id`. `payload` is JSON without braces."""
        locker = compartment.locker
        event_id, text = self._event(locker, event_type, payload)
        locker.outbox.append(text)
        if self.chance() < _RESENT:
            self.at(self.now + int(_RESENT_AFTER.at(self.chance())), _resend, (locker, text))
        return event_id

    def report_wrongly(self, compartment: Compartment, event_type: str, payload: str) -> None:
        """Put an impossible event, which a server refuses, into the outbox of the compartment's locker.

        The event is not sent twice: the rules might accept it the second time.
        """
        compartment.locker.outbox.append(self._event(compartment.locker, event_type, payload)[1])

    def new_reservation_id(self) -> str:
        """Return the next tracking number of the carrier."""
        self._reservations += 1
        return f"LP{self._reservations}EU"

    def _event(self, locker: Locker, event_type: str, payload: str) -> tuple[str, bytes]:
        digits = f"{self._bits(128):032x}"
        event_id = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
        day, second = divmod(self.now + locker.offset, DAY)
        minute, second = divmod(second, 60)
        text = (
            f'{{"event_id":"{event_id}","occurred_at":"{_date(day)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}'
            f'{locker.head}{event_type}","payload":{{{payload}}}}}'
        )
        return event_id, text.encode()


def _resend(_: World, sent: tuple[Locker, bytes]) -> None:
    locker, text = sent
    locker.outbox.append(text)


@lru_cache(8)
def _date(day: int) -> str:
    return date.fromordinal(_EPOCH + day).isoformat()
