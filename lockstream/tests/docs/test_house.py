"""The house is in order: what CONTRIBUTING.md says of every file."""

import ast
import tomllib
from pathlib import Path

import pytest

from lockstream import __version__

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "lockstream"
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "bench").rglob("*.py")])
MAX_FILE_LINES, MAX_FUNCTION_LINES = 250, 50


def test_no_file_is_over_250_lines() -> None:
    sizes = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in FILES}
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_no_function_is_over_50_lines() -> None:
    long = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert long == []


def test_every_dependency_has_its_line_in_the_decisions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["test"]]
    wanted += [*project["dependency-groups"]["dev"], *project["build-system"]["requires"]]
    table = (ROOT / "docs/decisions/0009-dependencies.md").read_text()
    named = {
        name.strip() for line in table.splitlines() if line.startswith("|") for name in line.split("|")[1].split(",")
    }
    assert {name.split(">")[0] for name in wanted} <= named


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "lockstream/__init__.py"
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_pinned_requirements_have_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = [line for line in text.splitlines() if "==" in line]
    assert pins
    assert all(line.endswith("\\") for line in pins)
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith(("-i", "--index", "--extra", "--find", "-f"))]
