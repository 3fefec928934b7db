"""Resubmission: whatever the order in which a history arrived, its refused events are accepted as far as can be."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import event as seen
from hypothesis import given
from hypothesis import strategies as st

from lockstream.core.entities.events import Event, ParcelDeposited
from lockstream.core.entities.quarantine import Entry, EntryKind
from lockstream.core.entities.state import Row
from lockstream.core.evolve import evolve
from lockstream.core.outcomes import Accepted, Outcome, Refusal
from lockstream.core.rules import REFUSALS, decide
from lockstream.core.use_cases.resubmit import in_order_of_occurrence, resubmit
from lockstream.tests.core.story import EVENTS, absent_rows
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import (
    RECORDED_AT,
    Body,
    deposited,
    event,
    expired,
    fault_cleared,
    fault_reported,
    picked_up,
    registered,
    reserved,
)

WAITING = {"unknown_reservation", "compartment_reserved", "compartment_degraded"}
"""Codes of refusals that a later event of the history may lift."""


class Network:
    """A locker network in memory that counts the decisions about each event."""

    def __init__(self) -> None:
        self.rows = absent_rows()
        self.decisions = Counter[str]()
        self.outcomes: dict[str, Outcome] = {}
        """The last outcome of each event."""

        self.passes: list[tuple[int, int]] = []
        """The number of events that were decided together, and of those that were accepted, by pass."""

    async def decide(self, events: Sequence[Event]) -> list[Outcome | Exception]:
        """Decide events in order, none of which may have been accepted before."""
        assert not self.passes or self.passes[-1][1], "the pass before this one has accepted nothing"
        outcomes = [self._decide(one) for one in events]
        self.passes.append((len(events), sum(isinstance(outcome, Accepted) for outcome in outcomes)))
        return list(outcomes)

    def send(self, events: Sequence[Event]) -> list[Event]:
        """Decide events in order, and return those that are refused."""
        return [one for one in events if isinstance(self._decide(one), Refusal)]

    def resubmit(self, events: Sequence[Event]) -> list[Outcome | Exception]:
        """Resubmit events, and return their outcomes. The counts are of this resubmission alone."""
        self.decisions.clear()
        self.passes.clear()
        return asyncio.run(resubmit(events, self.decide))

    def state(self) -> dict[object, object]:
        """Return the present state without positions and counts."""
        rows = self.rows
        compartments = {key: (row.active_reservation, row.degraded) for key, row in present(rows.compartments)}
        reservations = {key: (row.compartment_id, row.status) for key, row in present(rows.reservations)}
        faults = {key: row.is_cleared for key, row in present(rows.faults)}
        return {"compartments": compartments, "reservations": reservations, "faults": faults}

    def _decide(self, one: Event) -> Outcome:
        assert not isinstance(self.outcomes.get(one.event_id), Accepted), "an accepted event is decided once more"
        self.decisions[one.event_id] += 1
        position = sum(isinstance(outcome, Accepted) for outcome in self.outcomes.values()) + 1
        decided = decide(self.rows, one) or evolve(self.rows, one, position)
        if not isinstance(decided, Refusal):
            self.rows.save(decided)
        outcome = decided if isinstance(decided, Refusal) else Accepted(position)
        self.outcomes[one.event_id] = outcome
        return outcome


def present[KeyT, RowT: Row](table: dict[KeyT, RowT | None]) -> list[tuple[KeyT, RowT]]:
    return [(key, row) for key, row in table.items() if row is not None]


class History(NamedTuple):
    """Events that are accepted in order, and the events that end what they leave open."""

    events: list[Event]
    closing: list[Event]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw a history of some compartments of one locker."""
    compartments = ["A", "B", "C"][: draw(st.integers(1, 3))]
    bodies = [registered(name) for name in compartments]
    reservations: dict[str, tuple[str, bool]] = {}
    """Active reservation of a compartment, and whether its parcel was deposited."""

    faults: list[tuple[str, Body]] = []
    for number in range(draw(st.integers(0, 25))):
        name = draw(st.sampled_from(compartments))
        of_compartment = [fault for fault in faults if fault[0] == name]
        active = reservations.get(name)
        action = draw(st.sampled_from(("go on", "go on", "go on", "expire", "fault", "repair")))
        if action == "fault":
            faults.append((name, fault_reported(draw(st.integers(1, 5)), name)))
            bodies.append(faults[-1][1])
        elif action == "repair" and of_compartment:
            faults.remove(of_compartment[0])
            bodies.append(fault_cleared(of_compartment[0][1], name))
        elif active and action == "expire":
            bodies.append(expired(reservations.pop(name)[0]))
        elif active and active[1]:
            bodies.append(picked_up(reservations.pop(name)[0]))
        elif active:
            reservations[name] = active[0], True
            bodies.append(deposited(active[0]))
        elif all(fault["payload"]["severity"] < 3 for _, fault in of_compartment):
            reservations[name] = f"parcel-{number}", False
            bodies.append(reserved(f"parcel-{number}", name))
    closing = [picked_up(name) if has_parcel else expired(name) for name, has_parcel in reservations.values()]
    closing += [fault_cleared(fault, name) for name, fault in faults]
    return History(list(map(event, bodies)), list(map(event, closing)))


def in_order(events: Sequence[Event]) -> Network:
    """Return a network that has accepted events in this order."""
    network = Network()
    assert network.send(events) == []
    return network


@budget(examples(100))
@given(histories(), st.data())
def test_resubmission_goes_on_until_nothing_more_can_be_accepted_and_no_longer(
    history: History, data: st.DataObject
) -> None:
    # given a history that arrived in any order, of which some events were refused
    network = Network()
    refused = network.send(data.draw(st.permutations(history.events)))
    accepted = dict(network.outcomes)
    # when these are resubmitted in any order
    resubmitted = data.draw(st.permutations(refused))
    outcomes = network.resubmit(resubmitted)
    # then the last outcome of each is returned, and no event that was accepted before has another one
    assert outcomes == [network.outcomes[one.event_id] for one in resubmitted]
    assert {key: network.outcomes[key] for key, outcome in accepted.items() if isinstance(outcome, Accepted)} == {
        key: outcome for key, outcome in accepted.items() if isinstance(outcome, Accepted)
    }
    # and none that is still refused can be accepted
    left = [one for one, outcome in zip(resubmitted, outcomes, strict=True) if isinstance(outcome, Refusal)]
    assert all(isinstance(decide(network.rows, one), Refusal) for one in left)
    # and each pass has decided those alone that were left by the one before
    *earlier, (count, newly) = network.passes
    assert [one - more for one, more in earlier] == [one for one, _ in network.passes[1:]]
    assert newly in (0, count)
    assert all(count <= len(network.passes) for count in network.decisions.values())
    seen(f"{len(network.passes)} passes")


@budget(examples(100))
@given(histories(), st.data())
def test_a_history_that_arrived_in_any_order_ends_in_the_state_of_the_right_order(
    history: History, data: st.DataObject
) -> None:
    # given a history that ends with free compartments in order, and arrived in any order
    events = history.events + history.closing
    network = Network()
    refused = network.send(data.draw(st.permutations(events)))
    # when the refused events are resubmitted in any order
    network.resubmit(data.draw(st.permutations(refused)))
    # then the state is that of the right order
    assert network.state() == in_order(events).state()
    # and only deposits were not accepted, whose reservations had expired before they arrived
    left = [one for one in events if isinstance(network.outcomes[one.event_id], Refusal)]
    assert all(isinstance(one, ParcelDeposited) for one in left)
    assert {network.outcomes[one.event_id] for one in left} <= {
        refusal for refusal in REFUSALS if refusal.code == "reservation_not_awaiting_deposit"
    }


@budget(examples(100))
@given(histories(), st.data())
def test_an_open_end_is_resolved_by_the_events_that_close_it(history: History, data: st.DataObject) -> None:
    # given a history with an open end that arrived in any order, and was resubmitted
    network = Network()
    refused = network.send(data.draw(st.permutations(history.events)))
    outcomes = network.resubmit(refused)
    left = [one for one, outcome in zip(refused, outcomes, strict=True) if isinstance(outcome, Refusal)]
    # then events wait for the end of a reservation or of a fault, apart from deposits after their expiry
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)}
    assert codes <= {*WAITING, "reservation_not_awaiting_deposit"}
    # when the events that close it arrive, and all are resubmitted
    network.resubmit(left + network.send(history.closing))
    # then the state is that of the right order
    assert network.state() == in_order(history.events + history.closing).state()


def test_events_in_the_right_order_are_decided_once() -> None:
    network = Network()
    outcomes = network.resubmit(EVENTS)
    assert outcomes == [Accepted(position) for position in range(1, len(EVENTS) + 1)]
    assert network.passes == [(len(EVENTS), len(EVENTS))]


def test_events_in_the_opposite_order_are_decided_as_often_as_their_chain_is_long() -> None:
    chain = [event(body) for body in (registered("A"), reserved("one", "A"), deposited("one"), picked_up("one"))]
    network = Network()
    assert network.resubmit(chain[::-1]) == [Accepted(position) for position in (4, 3, 2, 1)]
    assert network.passes == [(4, 1), (3, 1), (2, 1), (1, 1)]


def test_events_that_are_all_refused_are_decided_once() -> None:
    network = Network()
    network.resubmit([event(deposited("unknown")), event(picked_up("unknown"))])
    assert network.passes == [(2, 0)]


def test_a_deposit_after_the_expiry_of_its_reservation_stays_refused() -> None:
    # given an expiry that overtook the deposit
    network = Network()
    late = event(deposited("one"))
    assert network.send([*map(event, (registered("A"), reserved("one", "A"), expired("one"))), late]) == [late]
    # when the deposit is resubmitted
    [outcome] = network.resubmit([late])
    # then it is refused for ever, because no event leads back from the expiry
    assert isinstance(outcome, Refusal)
    assert outcome.code == "reservation_not_awaiting_deposit"


def entry(number: int, occurred_at: str) -> Entry:
    kind, at = EntryKind.REFUSED, RECORDED_AT
    return Entry(str(number), kind, "code", "detail", "locker", "type", occurred_at, at, at, 1, "", "{}", None, number)


def test_entries_are_in_the_order_of_occurrence() -> None:
    entries = [
        entry(1, "2026-11-23T09:15:00+01:00"),
        entry(2, "2026-11-23T08:15:00Z"),
        entry(3, "2026-11-23t09:14:59.9999999+01:00"),
        entry(4, "2016-12-31T23:59:60Z"),
        entry(5, "2026-11-93T09:15:00+01:00"),  # a damaged one comes first
        entry(6, "2026-11-23T09:15:00"),
        entry(7, "0001-01-01T00:00:00+23:59"),
    ]
    assert [one.number for one in in_order_of_occurrence(entries)] == [5, 6, 7, 4, 3, 1, 2]


def test_an_event_that_caused_an_internal_error_is_not_decided_again() -> None:
    first, second = event(registered("A")), event(registered("B"))
    passes: list[int] = []
    error = ZeroDivisionError()

    async def fail(events: Sequence[Event]) -> list[Outcome | Exception]:
        passes.append(len(events))
        return [error, Accepted(1)]

    assert asyncio.run(resubmit([first, second], fail)) == [error, Accepted(1)]
    assert passes == [2]
