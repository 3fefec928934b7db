"""Lockstream itself, which counts nothing for its metrics: what remains is the cost of everything else.

Group commit, the log writer and HTTP still call the functions that would count, so some 0.1 µs a batch is not seen.
"""

from lockstream.infrastructure.telemetry.histogram import Histogram
from lockstream.presentation.cli.main import main
from lockstream.services.running.telemetry.batch_tally import BatchTally
from lockstream.services.running.telemetry.request_tally import RequestTally


def _ignore(*_: object) -> None:
    """Count nothing."""


if __name__ == "__main__":
    BatchTally.note = RequestTally.note = Histogram.observe = _ignore  # type: ignore[method-assign,assignment]
    main()
