"""How many examples Hypothesis makes up: LOCKSTREAM_TEST_EXAMPLES asks for so many, and others each time but in CI."""

import os
from typing import Any

from hypothesis import HealthCheck, settings

_ASKED = os.environ.get("LOCKSTREAM_TEST_EXAMPLES")


def examples(usual: int) -> int:
    return int(_ASKED or usual)


def budget(count: int, **more: Any) -> settings:
    """So many examples, for which there is time on a slow machine, too.

    Unless others were asked for they are the same ones each time: a test fails for what was changed, not by chance.
    """
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=_ASKED is None or "CI" in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
