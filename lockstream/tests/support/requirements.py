"""Programs and packages that some tests need. A missing one skips the test; a complete run fails instead.

`.ci/run` sets LOCKSTREAM_TEST_COMPLETE=1, so that a test which silently no longer runs cannot pass.
"""

import os
import shutil

import pytest

IS_COMPLETE = os.environ.get("LOCKSTREAM_TEST_COMPLETE") == "1"

MISSING = "missing on this machine: "
"""Beginning of the reason of a skip for something that could be installed."""


def requires(is_available: bool, name: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test if the program or package `name` is not available."""
    return pytest.mark.skipif(not is_available, reason=f"{MISSING}{name} (see scripts/install-test-programs)")


def requires_program(*names: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test if one of the programs is not installed."""
    missing = [name for name in names if find_program(name) is None]
    return requires(not missing, ", ".join(missing))


def find_program(name: str) -> str | None:
    """Return the path of a program. Debian keeps servers in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
