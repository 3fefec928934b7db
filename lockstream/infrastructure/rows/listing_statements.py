"""The statements of lists. Each reads one index in the order of its list, from the first row of the page to the last.

A selective filter has partial indexes. If several partial indexes serve one list, the statement takes `limit` rows of
each, sorts them, and keeps the first `limit`. A planner without statistics may choose a wrong index, so a condition
that must not use an index is written as an expression.
"""

from collections.abc import Callable, Hashable

from sqlalchemy import Dialect, TableValuedAlias

from lockstream.core.entities.listings import (
    CompartmentQuery,
    FaultQuery,
    HistoryQuery,
    LockerOrder,
    LockerQuery,
    ReservationOrder,
    ReservationQuery,
)
from lockstream.core.entities.state import Row
from lockstream.infrastructure.rows.prepared import Prepared
from lockstream.infrastructure.rows.reads import times_statement
from lockstream.infrastructure.rows.statements.faults import faults_by_report, faults_of_severities
from lockstream.infrastructure.rows.statements.history import EVENT_COUNTS, LASTING, history_page, positions_at
from lockstream.infrastructure.rows.statements.lockers import (
    ACTIVE_LOCKERS,
    HAS_LOCKER,
    RECENT_POSITION,
    SILENT_COUNTS,
    locker_count,
    lockers_by_degraded,
    lockers_by_id,
    lockers_by_last_event,
    sorted_lockers,
)
from lockstream.infrastructure.rows.statements.parts import AnySelect, Statement, ids_in_order
from lockstream.infrastructure.rows.statements.reservations import (
    HAS_COMPARTMENT,
    OLD_DEPOSITS,
    RESERVATION,
    compartments_of_locker,
    reservations_by_change,
    reservations_by_id,
)
from lockstream.infrastructure.rows.tables import compartments, lockers, reservations


class ListingStatements:
    """The statements of all lists for one dialect, each compiled when it is first used. For any thread."""

    def __init__(
        self,
        dialect: Dialect,
        positions: TableValuedAlias,
        totals: AnySelect,
        open_faults: AnySelect,
    ) -> None:
        """`positions` is a table with the column `value`, whose rows are the numbers in the parameter `positions`.

        These numbers are positions or times. `totals` selects the numbers of `NetworkTotals` in the order of its
        fields. `open_faults` selects `LIMIT` severities from `MIN_SEVERITY` on that have occurred, the highest first,
        each with the number of open faults. Each engine keeps both in tables of its own.
        """
        self._dialect = dialect
        self._prepared: dict[Hashable, Prepared] = {}
        self.totals = Prepared(totals, dialect)
        self.open_faults = Prepared(open_faults, dialect)
        self.active_lockers = Prepared(ACTIVE_LOCKERS, dialect)
        self.old_deposits = Prepared(OLD_DEPOSITS, dialect)
        self.has_locker = Prepared(HAS_LOCKER, dialect)
        self.has_compartment = Prepared(HAS_COMPARTMENT, dialect)
        self.reservation = Prepared(RESERVATION, dialect)
        self.event_counts = Prepared(EVENT_COUNTS, dialect)
        self.locker_ids = Prepared(ids_in_order(lockers.c.locker_id), dialect)
        self.compartment_ids = Prepared(ids_in_order(compartments.c.compartment_id, compartments.c.locker_id), dialect)
        self.reservation_ids = Prepared(ids_in_order(reservations.c.reservation_id), dialect)
        self.recent_position = Prepared(RECENT_POSITION, dialect)
        self.silent_counts = Prepared(SILENT_COUNTS, dialect)
        self.times = Prepared(times_statement(positions), dialect)
        self.positions_at = Prepared(positions_at(positions), dialect)

    def lockers(self, query: LockerQuery) -> Prepared:
        """Return the statement that lists lockers from an index: between `lower` and `upper`, two ids or two positions.

        The order by the number of degraded compartments has the pairs `lower_number`, `lower_id` and `upper_number`,
        `upper_id` instead, and `none_lower` and `none_upper` as the bounds of the ids of lockers without one.
        """
        states, silences = (query.available, query.degraded), (query.silent, query.gone)
        if query.order is LockerOrder.LAST_EVENT:
            return self._statement(lockers_by_last_event, *silences, query.descending)
        if query.order is LockerOrder.DEGRADED:
            return self._statement(lockers_by_degraded, *states, query.descending)
        return self._statement(lockers_by_id, *states, *silences, query.descending)

    def locker_count(self, query: LockerQuery) -> Prepared:
        """Return the statement that counts the lockers that pass the filters, up to `limit`."""
        return self._statement(locker_count, query.available, query.degraded, query.silent, query.gone)

    def sorted_lockers(self, query: LockerQuery) -> Prepared:
        """Return the statement that sorts the first `limit` lockers by id that pass the filters.

        It selects `page_limit` of them between the pairs `lower_number`, `lower_id` and `upper_number`, `upper_id`.
        """
        shape = query.order, query.descending, query.available, query.degraded, query.silent, query.gone
        return self._statement(sorted_lockers, *shape)

    def compartments(self, query: CompartmentQuery) -> Prepared:
        """Return the statement that lists compartments whose ids are at least `lower` and below `upper`."""
        return self._statement(compartments_of_locker, query.state)

    def reservations(self, query: ReservationQuery) -> Prepared:
        """Return the statement that lists reservations between `lower` and `upper`: two positions, or two ids."""
        make = reservations_by_change if query.order is ReservationOrder.CHANGED else reservations_by_id
        return self._statement(make, query.status, query.locker_id is not None, query.descending)

    def faults(self, query: FaultQuery) -> Prepared:
        """Return the statement that lists faults reported from position `lower` through position `upper`."""
        has_locker, has_compartment = query.locker_id is not None, query.compartment_id is not None
        return self._statement(faults_by_report, query.open, has_locker, has_compartment, query.descending)

    def faults_of_severities(self, query: FaultQuery, count: int) -> Prepared:
        """Return the statement that lists faults of `count` severities: `severity_0`, `severity_1` and so on."""
        return self._statement(faults_of_severities, query.open, count, query.descending)

    def history(self, query: HistoryQuery) -> Prepared:
        """Return the statement that lists the positions of events from `lower` through `upper`."""
        return self._statement(history_page, query.event_type, query.compartment_id is not None, query.descending)

    def lasting(self, row_class: type[Row], *, of_compartment: bool) -> Prepared:
        """Return the statement that finds the `LastingRows` of one class at position `upper`. `lower` is 0."""
        return self._statement(LASTING[row_class], of_compartment)

    def _statement(self, make: Callable[..., Statement], *shape: Hashable) -> Prepared:
        if (prepared := self._prepared.get((make, shape))) is None:
            prepared = self._prepared[make, shape] = Prepared(make(*shape), self._dialect)
        return prepared
