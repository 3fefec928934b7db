"""One batch over log and projection: nodes take turns, and what is decided in one is committed in it.

Two round trips: one begins, waits for the turn, and finds the end of the log, the ids that are known and the rows that
the events can see; the other writes all of it and commits. A turn ends with its transaction, so positions are gapless
and in the order in which they became visible.
"""

import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psycopg

from lockstream.core.entities.events import Event
from lockstream.core.entities.log import Cursor
from lockstream.core.errors import StoreUnavailable
from lockstream.core.keys import Keys
from lockstream.infrastructure.held_rows import HeldRows, Shelf
from lockstream.infrastructure.line_codec import stamp
from lockstream.infrastructure.postgres.connecting import BEGIN, COMMIT, UNKNOWN, Statement, limits
from lockstream.infrastructure.postgres.log import PostgresLog
from lockstream.infrastructure.postgres.rows import Wanted, upserts
from lockstream.infrastructure.postgres.schema import TAKE_TURN, WHERE, WRITE, chain_at, insertion, known
from lockstream.infrastructure.postgres.session import Session
from lockstream.infrastructure.tables import fingerprint

FIND_OUT_SECONDS = 15
"""How long to find out whether a batch was kept whose commit was not answered; until then its senders wait."""

FIND_OUT_AGAIN_SECONDS = 0.2

OF_US = (psycopg.DataError, psycopg.IntegrityError)
"""What is raised where an event could not be written that should have been: the other events are not to suffer."""

logger = logging.getLogger(__name__)


class Turn:
    """To be used once, in a `with`; what was not committed is undone at its end."""

    def __init__(self, session: Session, log: PostgresLog) -> None:
        self._session = session
        self._log = log
        self._begun = False
        self._end = log.end
        self._rows = HeldRows(Shelf)
        self._accepted: list[Event] = []
        self._recorded: dict[str, int] = {}
        self.recorded = self._recorded.get
        self.load = self._rows.load
        self.save = self._rows.save

    def __enter__(self) -> Self:
        if obstacle := self._log.obstacle:
            raise StoreUnavailable(obstacle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begun:
            self._session.let_go()

    def prefetch(self, events: Sequence[Event], wanted: Sequence[Keys]) -> None:
        if not events:
            return
        seen = Wanted(wanted)
        statements = [BEGIN, limits(), TAKE_TURN, WHERE, known(events), *seen.lookups()]
        try:
            found = self._session.begin(statements)
        except psycopg.Error as error:
            raise self._log.failed(error) from error
        self._begun = True
        *_, where, recorded, named, placed, opened = found
        self._end = self._log.moved(where, fingerprint())
        self._recorded.update(recorded)
        self._rows = seen.held([named, placed, opened])
        self.load, self.save = self._rows.load, self._rows.save

    def record(self, event: Event) -> int:
        self._accepted.append(event)
        position = self._end.position + len(self._accepted)
        self._recorded[event.event_id] = position
        return position

    def commit(self) -> None:
        if self._accepted:
            written, end = insertion(self._accepted, stamp(), self._end)
            self._keep([written, *upserts(self._rows)], end)
        elif self._recorded:  # an answer that an event is known is a promise, too
            self._keep([WRITE], self._end)

    def _keep(self, statements: Sequence[Statement], end: Cursor) -> None:
        self._begun = False
        why = ""
        try:
            self._session.execute([*statements, COMMIT])
            kept = not self._session.warnings or self._find_out(end)
        except UNKNOWN as error:
            why = " ".join(str(error).split())
            logger.warning("Whether a batch was kept is to be found out: %s", why)
            kept = self._find_out(end)
        except OF_US:
            raise
        except psycopg.Error as error:
            raise self._log.failed(error) from error
        if not kept:
            raise StoreUnavailable(
                f"The events were not kept: the database {self._log.name} did not commit them ({why}). Send them again."
            )
        self._log.end = end

    def _find_out(self, end: Cursor) -> bool:
        """Whether the log holds what was to end at `end`, on the disks that a commit waits for.

        The connection was lost, or the commit did not wait for the standby. Whoever was at work there has ended when
        it is our turn again.
        """
        until = time.monotonic() + FIND_OUT_SECONDS
        why = ""
        while time.monotonic() < until:
            try:
                found = self._session.execute([BEGIN, limits(), TAKE_TURN, chain_at(end.position), WRITE, COMMIT])
                if not self._session.warnings:
                    return found[3] == [(end.chain,)] or end.position == 0
                why = " ".join(self._session.warnings)
            except psycopg.Error as error:
                why = str(self._log.failed(error))
            time.sleep(FIND_OUT_AGAIN_SECONDS)
        raise StoreUnavailable(
            f"Whether the events were kept is not known. {why} Send them again; those that were kept count once."
        )
