"""The log is the truth: a projection that was made from another one is made anew."""

from pathlib import Path

from lockstream.tests.infrastructure.stores.network import Network
from lockstream.tests.infrastructure.stores.state_machine import hashes
from lockstream.tests.support.builders import fault_reported, registered


def test_a_projection_of_another_log_of_the_same_length_is_not_trusted(tmp_path: Path) -> None:
    one, other = (Network("embedded", tmp_path / f"{name}.jsonl") for name in "ab")
    for network, name in ((one, "a"), (other, "b")):
        network.ingest(registered(name), fault_reported(3, name))
    one.path.write_bytes(other.path.read_bytes())

    one.reopen()

    assert one.store.log.end == other.store.log.end
    assert hashes(one.store.queries) == hashes(other.store.queries)
    one.store.close()
    other.store.close()
