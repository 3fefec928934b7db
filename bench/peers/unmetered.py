"""Lockstream without the recording of metrics, to measure the cost of metrics.

Group commit, the log writer and HTTP still call the functions that record, so the cost of these calls is not measured.
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
