"""The events that the load generator sends: they are valid, and accepted in their order."""

from itertools import islice

import pytest

from bench.load.events import PER_LOCKER, EventGenerator, compartments_of, locker_name, refused_events
from lockstream.core.entities.events import Event, FaultCleared, FaultReported
from lockstream.core.outcomes import Accepted, Refusal
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.memory import MemoryStore
from lockstream.tests.support.builders import decode_event

COMPARTMENTS, EVENTS = 40, 3_000


def events_of(generator: EventGenerator, number: int = EVENTS) -> list[Event]:
    return [decode_event(text) for text in generator.take(number)]


def accepted(events: list[Event], store: MemoryStore) -> int:
    """Ingest events, and return the number of accepted ones."""
    return sum(isinstance(outcome, Accepted) for outcome in ingest(events, store.unit_of_work()))


def test_the_store_accepts_every_event() -> None:
    assert accepted(events_of(EventGenerator(compartments_of("t", COMPARTMENTS))), MemoryStore()) == EVENTS


def test_the_store_accepts_events_of_compartments_that_were_registered_before() -> None:
    store = MemoryStore()
    assert accepted(events_of(EventGenerator(compartments_of("t", COMPARTMENTS)), COMPARTMENTS), store) == COMPARTMENTS
    assert accepted(events_of(EventGenerator(compartments_of("t", COMPARTMENTS), registered=True)), store) == EVENTS


def test_the_store_refuses_every_refused_event_and_each_has_its_own_id() -> None:
    events = [decode_event(text) for text in refused_events("t", EVENTS)]
    assert len({event.event_id for event in events}) == EVENTS
    assert all(isinstance(outcome, Refusal) for outcome in ingest(events, MemoryStore().unit_of_work()))


def test_generators_with_different_tags_do_not_disturb_each_other() -> None:
    store = MemoryStore()
    generated = [events_of(EventGenerator(compartments_of(f"t-{number}", COMPARTMENTS))) for number in range(3)]
    assert accepted([event for turn in zip(*generated, strict=True) for event in turn], store) == 3 * EVENTS


def test_a_generator_goes_on_with_the_next_event() -> None:
    generator, store = EventGenerator(compartments_of("t", COMPARTMENTS)), MemoryStore()
    assert sum(accepted(events_of(generator, 7), store) for _ in range(200)) == 1_400


def test_a_generator_makes_events_of_every_type() -> None:
    events = events_of(EventGenerator(compartments_of("t", COMPARTMENTS)))
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


def test_each_event_has_a_random_uuid_of_its_own() -> None:
    ids = [event.event_id for event in events_of(EventGenerator(compartments_of("t", COMPARTMENTS)))]
    assert len(set(ids)) == EVENTS
    assert {id_[14] for id_ in ids} == {"4"}
    assert {id_[19] for id_ in ids} == {"8"}


@pytest.mark.parametrize("tag", ["t", "a1b2-12-31"])
def test_an_event_has_180_to_260_bytes(tag: str) -> None:
    sizes = [len(text) for text in EventGenerator(compartments_of(tag, COMPARTMENTS)).take(EVENTS)]
    assert 180 <= min(sizes) <= max(sizes) <= 260


def test_locker_name_returns_the_names_of_the_generated_lockers() -> None:
    lockers = dict.fromkeys(
        event.locker_id for event in events_of(EventGenerator(compartments_of("t", COMPARTMENTS)), COMPARTMENTS)
    )
    assert list(lockers) == [locker_name("t", number) for number in islice(range(COMPARTMENTS), 0, None, PER_LOCKER)]
