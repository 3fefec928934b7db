"""An embedded store whose log fails, as on a full disk."""

import pytest

from lockstream.core.errors import StoreUnavailable
from lockstream.core.outcomes import Outcome
from lockstream.core.use_cases.ingest import ingest
from lockstream.infrastructure.stores.embedded import EmbeddedStore
from lockstream.tests.support.builders import Body, event, registered
from lockstream.tests.support.processes import file_size_limit


def fail_log(store: EmbeddedStore, torn_bytes: int = 0) -> None:
    """Let the log fail when one more event is appended, of which `torn_bytes` are written."""
    with file_size_limit(store.log.end.offset + torn_bytes), pytest.raises(StoreUnavailable):
        ingested(store, registered("one too many"))


def ingested(store: EmbeddedStore, *bodies: Body) -> list[Outcome]:
    """Ingest one batch without a flush, and return its outcomes."""
    return ingest([event(body) for body in bodies], store.unit_of_work())


def checkpoint_durable(store: EmbeddedStore) -> None:
    """Checkpoint without a flush, which a failed log would refuse."""
    checkpoint = store.begin_checkpoint()
    checkpoint.write()
    checkpoint.commit()
