"""Export events as lockers send them, one JSON object a line."""

from collections.abc import Iterable, Iterator

from lockstream.core.entities.log import Record
from lockstream.infrastructure.codec.event_json import encode_event


def export_events(records: Iterable[Record], first: int, locker_id: str | None) -> Iterator[bytes]:
    """Yield a line for each event from position `first` on, only of `locker_id` if it is given."""
    for record in records:
        if record.end.position >= first and locker_id in (None, record.event.locker_id):
            yield encode_event(record.event) + b"\n"
