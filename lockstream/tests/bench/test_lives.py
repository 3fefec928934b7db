"""The events that the load generator sends: each is one, and is accepted where it stands."""

from itertools import islice

import pytest

from bench.lives import PER_LOCKER, Lives, locker_name
from lockstream.core.entities.events import Event, FaultCleared, FaultReported
from lockstream.core.outcomes import Accepted
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.codec.event_json import decode_event
from lockstream.infrastructure.stores.memory import MemoryStore

COMPARTMENTS, EVENTS = 40, 3_000


def events_of(lives: Lives, number: int = EVENTS) -> list[Event]:
    return [decode_event(text) for text in lives.take(number)]


def accepted(events: list[Event], store: MemoryStore) -> int:
    return sum(isinstance(outcome, Accepted) for outcome in ingest(events, store.unit_of_work()))


def test_every_event_is_accepted() -> None:
    assert accepted(events_of(Lives("t", COMPARTMENTS)), MemoryStore()) == EVENTS


def test_compartments_that_were_registered_before_go_on() -> None:
    store = MemoryStore()
    assert accepted(events_of(Lives("t", COMPARTMENTS), COMPARTMENTS), store) == COMPARTMENTS
    assert accepted(events_of(Lives("t", COMPARTMENTS, registered=True)), store) == EVENTS


def test_connections_with_tags_of_their_own_do_not_disturb_each_other() -> None:
    store = MemoryStore()
    lives = [events_of(Lives(f"t-{number}", COMPARTMENTS)) for number in range(3)]
    assert accepted([event for turn in zip(*lives, strict=True) for event in turn], store) == 3 * EVENTS


def test_what_is_taken_in_parts_is_one_life() -> None:
    lives, store = Lives("t", COMPARTMENTS), MemoryStore()
    assert sum(accepted(events_of(lives, 7), store) for _ in range(200)) == 1_400


def test_all_sorts_of_events_come() -> None:
    events = events_of(Lives("t", COMPARTMENTS))
    kinds = {type(event).__name__ for event in events}
    assert kinds == {
        "CompartmentRegistered",
        "ReservationCreated",
        "ParcelDeposited",
        "ParcelPickedUp",
        "FaultReported",
        "FaultCleared",
    }
    faults = sum(isinstance(event, FaultReported | FaultCleared) for event in events)
    assert 0 < faults < EVENTS / 10


def test_ids_are_random_uuids_and_no_two_are_the_same() -> None:
    ids = [event.event_id for event in events_of(Lives("t", COMPARTMENTS))]
    assert len(set(ids)) == EVENTS
    assert {id_[14] for id_ in ids} == {"4"}
    assert {id_[19] for id_ in ids} == {"8"}


@pytest.mark.parametrize("tag", ["t", "a1b2-12-31"])
def test_an_event_has_the_size_of_a_real_one(tag: str) -> None:
    sizes = [len(text) for text in Lives(tag, COMPARTMENTS).take(EVENTS)]
    assert 180 <= min(sizes) <= max(sizes) <= 260


def test_lockers_are_named_as_said() -> None:
    lockers = dict.fromkeys(event.locker_id for event in events_of(Lives("t", COMPARTMENTS), COMPARTMENTS))
    assert list(lockers) == [locker_name("t", number) for number in islice(range(COMPARTMENTS), 0, None, PER_LOCKER)]
