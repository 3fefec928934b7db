"""The machine and the versions on which figures were measured."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.postgres import version as postgres_version
from bench.processes import ROOT

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
    """Return the rows of a table about the machine. `directory` was on the disk that was measured."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "revision": _revision(),
        "CPU": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "disk": _disk(directory),
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "database": postgres_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def filesystem(directory: Path) -> str:
    """Return the kind of the file system, such as `ext4`."""
    return _mount(directory)[2]


def _mount(directory: Path) -> list[str]:
    """Return the line of proc_pid_mounts(5) with the file system of `directory`."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return max(
        (mount for mount in mounts if directory.resolve().is_relative_to(mount[1])), key=lambda mount: len(mount[1])
    )


def _disk(directory: Path) -> str:
    device, _, kind, options, *_ = _mount(directory)
    return f"{kind} on {Path(device).name} ({options})"


def _revision() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"
