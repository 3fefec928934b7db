"""What the README says is so."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_group

from lockstream.presentation.cli.main import commands
from lockstream.settings import Settings, environment_names
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
WALK_THROUGH = "<!-- walk-through: a test runs each command and compares what it prints -->\n```sh\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_walk_through_prints_what_it_says(log_path: Path) -> None:
    script, expected = _walk_through()
    # given a new server, when a stranger pastes the walk-through
    with Server(log_path) as server:
        server.start()
        script = script.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        printed = subprocess.run(
            ["bash", "-euc", script], capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS
        )
    # then it prints what stands behind each `#`
    assert printed.stdout.splitlines() == expected


def test_the_table_of_settings_is_that_of_the_code() -> None:
    rows = [
        f"| `{name}` | `{Settings.model_fields[field].default}` | {Settings.model_fields[field].description} |"
        for field, name in environment_names().items()
    ]
    table = README.split("## Settings", 1)[1].split("## ", 1)[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == rows


def test_every_command_is_in_the_table_of_commands() -> None:
    table = README.split("## The command line", 1)[1].split("## ", 1)[0]
    named = {line.split("`")[1].split()[0] for line in table.splitlines() if line.startswith("| `")}
    assert named == set(get_group(commands).commands)


def test_every_operation_of_the_contract_is_in_the_table_of_endpoints() -> None:
    from lockstream.main import app

    operations = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    table = README.split("## Endpoints", 1)[1].split("## ", 1)[0]
    assert {line.split("`")[1] for line in table.splitlines() if line.startswith("| `") and "/" in line} == operations


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def _walk_through() -> tuple[str, list[str]]:
    block = README.split(WALK_THROUGH, 1)[1].split("```", 1)[0]
    expected = [line[2:] for line in block.splitlines() if line.startswith("# {")]
    return block, expected
