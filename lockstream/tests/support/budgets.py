"""Number of examples that Hypothesis generates. LOCKSTREAM_TEST_EXAMPLES=N asks for N, and for new ones each time."""

import os
from typing import Any

from hypothesis import HealthCheck, settings

_WANTED = os.environ.get("LOCKSTREAM_TEST_EXAMPLES")


def examples(default: int) -> int:
    """Return the number of examples to generate."""
    return int(_WANTED or default)


def budget(count: int, **more: Any) -> settings:
    """Return settings for `count` examples, without a deadline, so that a slow machine fails no test.

    In CI, and unless LOCKSTREAM_TEST_EXAMPLES is set, the examples are the same in every run. Then only a change of the
    code makes a test fail.
    """
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=_WANTED is None or "CI" in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
