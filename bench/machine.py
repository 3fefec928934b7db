"""The machine and the versions that the figures are of."""

import os
import platform
import re
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.postgres import version as version_of_postgres
from bench.processes import ROOT, busy_seconds

_PACKAGES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "pydantic",
    "msgspec",
    "sqlalchemy",
    "psycopg",
    "eventsourcing",
)


def describe(directory: Path) -> dict[str, str]:
    """By what it is; `directory` is where the logs were."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "revision": _revision(),
        "CPU": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "disk": _disk(directory),
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "database": version_of_postgres(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def busy_cores(seconds: float = 0.5) -> float:
    """How many cores are busy with something else, while nothing is measured: figures are worth less then."""
    before = busy_seconds()
    time.sleep(seconds)
    return (busy_seconds() - before) / seconds


def filesystem(directory: Path) -> str:
    """Its kind, as in `ext4`."""
    return _mount(directory)[2]


def _mount(directory: Path) -> list[str]:
    """Device, mount point, kind and options of the file system that `directory` is on: a line of proc_mounts(5)."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return max(
        (mount for mount in mounts if directory.resolve().is_relative_to(mount[1])), key=lambda mount: len(mount[1])
    )


def _disk(directory: Path) -> str:
    device, _, kind, options, *_ = _mount(directory)
    return f"{kind} on {Path(device).name} ({options})"


def _revision() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
