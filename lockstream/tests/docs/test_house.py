"""The floor plan: folders that describe themselves, tests that mirror them, and the rules on dependencies."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from lockstream import __version__

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "lockstream"
TESTS = PACKAGE / "tests"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if TESTS not in path.parents)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if TESTS not in path.parents)
MAX_FILES = 12
"""Modules in one folder: in a longer list, a newcomer sees no groups."""

TESTED_ELSEWHERE = {"crash", "nodes", "docs", "bench", "fuzz", "observability", "support"}
"""Folders of tests that no folder of the product matches."""

BROWSER_TESTS = Path("presentation/console/browser")
"""Tests of the console that need a browser, and share one."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_every_folder_has_a_docstring_that_names_its_modules(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    assert text, "the docstring says what the folder is for, where to start, and what it may import"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    assert [name for name in sorted(modules) if folder != PACKAGE and not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_no_folder_has_more_than_a_dozen_modules(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MAX_FILES


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_every_module_says_what_it_is(module: Path) -> None:
    text = ast.get_docstring(ast.parse(module.read_text()))
    assert text
    assert text.splitlines()[0].endswith((".", ":")) or "\n" in text


def test_the_tests_mirror_the_folders() -> None:
    folders = {path.relative_to(TESTS) for path in TESTS.rglob("*") if path.is_dir() and list(path.glob("*.py"))}
    mirrored = {folder for folder in folders if folder.parts and folder.parts[0] not in TESTED_ELSEWHERE}
    mirrored -= {BROWSER_TESTS}
    assert [str(folder) for folder in sorted(mirrored) if not (PACKAGE / folder).is_dir()] == []


def test_contributing_names_every_folder_of_the_package() -> None:
    floor_plan = (ROOT / "CONTRIBUTING.md").read_text().split("## Floor plan")[1].split("\n## ")[0]
    folders = [folder for folder in FOLDERS if folder.parent == PACKAGE and folder.name != "openapi"]
    assert [folder.name for folder in folders if f"(lockstream/{folder.name})" not in floor_plan] == []


def test_contributing_names_only_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py|(?:[a-z_]+/)+)`", text))
    known = [path.relative_to(ROOT) for path in ROOT.rglob("*") if ".venv" not in path.parts]
    ends = {str(path) + ("/" if (ROOT / path).is_dir() else "") for path in known}
    missing = [name for name in named if not any(end == name or end.endswith(f"/{name}") for end in ends)]
    assert missing == []


def test_every_dependency_has_its_line_in_the_decisions() -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["test"]]
    wanted += [*PROJECT["dependency-groups"]["dev"], *PROJECT["build-system"]["requires"]]
    table = (ROOT / "docs/decisions/0009-dependencies.md").read_text()
    named = {
        name.strip() for line in table.splitlines() if line.startswith("|") for name in line.split("|")[1].split(",")
    }
    assert {re.split(r"[><]", name)[0] for name in wanted} <= named


def test_packages_whose_private_parts_are_used_are_capped() -> None:
    dependencies = PROJECT["project"]["dependencies"]
    for package in ("uvicorn", "psycopg[binary]"):
        [line] = [line for line in dependencies if re.match(rf"{re.escape(package)}[><=]", line)]
        assert "<" in line


def test_the_version_is_in_one_place() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "lockstream/__init__.py"
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-runtime.txt"])
def test_pinned_requirements_have_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = [line for line in text.splitlines() if "==" in line]
    assert pins
    assert all(line.endswith("\\") for line in pins)
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith(("-i", "--index", "--extra", "--find", "-f"))]


def test_the_image_has_no_tools_for_tests() -> None:
    assert "requirements-runtime.txt" in (ROOT / "deploy/Dockerfile").read_text()
    assert not re.search(r"^(pytest|httpx)", (ROOT / "requirements-runtime.txt").read_text(), re.MULTILINE)


def test_the_package_says_that_it_is_typed() -> None:
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]
    assert (PACKAGE / "py.typed").exists()
