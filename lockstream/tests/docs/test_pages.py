"""README and the reference pages: the walk-through runs, and the tables name what exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from lockstream.presentation.cli.main import commands
from lockstream.presentation.cli.options import NAMES
from lockstream.settings import Settings, environment_names
from lockstream.tests.support.processes import TIMEOUT_SECONDS, Server, environment
from lockstream.tests.support.requirements import requires_program

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs/reference.md").read_text()
API = (ROOT / "docs/api.md").read_text()
FEED = (ROOT / "docs/feed.md").read_text()
QUARANTINE = (ROOT / "docs/quarantine.md").read_text()
SECURITY = (ROOT / "docs/security.md").read_text()
SIMULATION = (ROOT / "docs/simulation.md").read_text()
WALK_THROUGH = "<!-- walk-through: a test runs each command and compares what it prints -->\n```sh\n"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = re.compile(r"<!-- (\w+): written by [^>]*-->.*?<!-- end of \1 -->", re.DOTALL)
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
COMMAND = f'lockstream() {{ "{sys.executable}" -m lockstream "$@"; }}\n'
"""The first line of a script that calls `lockstream`, which need not be installed."""


def relative_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=relative_name)


def section(page: str, title: str) -> str:
    """Return the text between a heading and the next one of the same level."""
    return page.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def unwrapped(text: str) -> str:
    """Return list items and paragraphs as one line each."""
    return re.sub(r"\n +(?=\S)", " ", text)


def script_of(page: str) -> str:
    """Return the walk-through of a page, which may have several parts."""
    return "".join(part.split("```", 1)[0] for part in page.split(WALK_THROUGH)[1:])


def printed_by(script: str, server: Server) -> list[str]:
    """Paste a walk-through into bash, with the server's address as `API`, and return the lines that it prints."""
    printed = subprocess.run(
        ["bash", "-euc", COMMAND + script],
        env=environment(server.log, API=f"http://127.0.0.1:{server.port}"),
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    return printed.stdout.splitlines()


@requires_program("curl")
def test_the_walk_throughs_print_the_responses_that_they_show(log_path: Path) -> None:
    """A newcomer follows the pages one after the other, on one log, each page in a shell of its own."""
    pages = ((README, "# {"), (API, "# "), (FEED, "# "), (QUARANTINE, "# "), (SECURITY, "# "))
    with Server(log_path).start() as server:
        for page, beginning in pages:
            script = script_of(page)
            shown = [line[2:] for line in script.splitlines() if line.startswith(beginning)]
            for line, expected in zip(printed_by(script, server), shown, strict=True):
                assert re.fullmatch(re.escape(expected).replace("…", ".*"), line), expected


@pytest.mark.parametrize("page", [page for page in PAGES if "$API" in script_of(page.read_text())], ids=relative_name)
def test_a_walk_through_keeps_the_address_that_its_reader_has_set(page: Path) -> None:
    assert script_of(page.read_text()).startswith("API=${API:-http://127.0.0.1:8000}\n")


def test_the_simulation_prints_the_lines_that_its_page_shows(log_path: Path) -> None:
    """The numbers also show that a seed gives the same events on every system."""
    script = script_of(SIMULATION)
    printed = subprocess.run(
        ["bash", "-uc", COMMAND + script],
        env=environment(log_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert printed.stderr.splitlines() == [line[2:] for line in script.splitlines() if line.startswith("# ")]


def test_the_readme_starts_lockstream_within_twenty_lines() -> None:
    beginning = "\n".join(README.splitlines()[:20])
    assert "make run" in beginning
    assert "make test" in beginning
    assert "better than a table in a database" in beginning


def test_the_reference_lists_every_setting_as_the_code_describes_it() -> None:
    items = []
    for name, variable in environment_names().items():
        field = Settings.model_fields[name]
        default = "not set" if field.default in (None, ()) else f"default `{field.default}`"
        option = f"--{NAMES.get(name, name).replace('_', '-')}"
        items.append(f"- `{variable}` (`{option}`, {default}): {field.description}")
    listed = unwrapped(section(REFERENCE, "Settings"))
    assert [line for line in listed.splitlines() if line.startswith("- `")] == items


def test_the_reference_groups_the_settings_as_the_help_does() -> None:
    groups = re.findall(r"^### (.*)$", section(REFERENCE, "Settings"), re.MULTILINE)
    extras = [field.json_schema_extra for field in Settings.model_fields.values()]
    assert groups == list(dict.fromkeys(extra["group"] for extra in extras if isinstance(extra, dict)))


def test_the_reference_lists_every_command() -> None:
    rows = section(REFERENCE, "Commands").splitlines()
    cells = [line.split(" | ")[0] for line in rows if re.match(r"\| `[a-z]", line)]
    named = {name for cell in cells for name in re.findall(r"`([a-z]+)", cell)}
    assert named == set(get_group(commands).commands)


def test_the_api_page_lists_every_operation() -> None:
    from lockstream.main import app

    operations = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    rows = section(API, "Operations").splitlines()
    assert {line.split("`")[1] for line in rows if line.startswith("| `")} == operations


@each_page
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@each_page
def test_every_link_to_a_heading_leads_to_one(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        text = ((page.parent / target) if target else page).read_text()
        headings = re.findall(r"^#+ (.*)$", CODE.sub("", text), re.MULTILINE)
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchors.count(anchor) == 1, f"{target}#{anchor}"  # of two, the first would be shown


@each_page
def test_no_line_is_longer_than_120_characters(page: Path) -> None:
    """Printed messages, and tables that a program writes, keep their lines."""
    text = CODE.sub("", GENERATED.sub("", page.read_text()))
    assert [line for line in text.splitlines() if len(line) > 120] == []


@each_page
def test_every_page_of_the_documentation_is_reached_from_the_readme(page: Path) -> None:
    reached, found = {ROOT / "README.md"}, [ROOT / "README.md"]
    while found:
        current = found.pop()
        for target in re.findall(r"\]\(([^)#:]+\.md)", current.read_text()):
            linked = (current.parent / target).resolve()
            if linked not in reached:
                reached.add(linked)
                found.append(linked)
    assert page.resolve() in reached
