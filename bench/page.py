"""Tables in Markdown, and pages of which a program writes a part."""

import re
from collections.abc import Sequence
from pathlib import Path


def markdown(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ("---",) * len(heads), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def fill(page: Path, name: str, content: str) -> None:
    """Replace the text of `page` between `<!-- name: …-->` and `<!-- end of name -->`.

    Raises:
        ValueError: the page does not contain these marks.
    """
    text, marks = page.read_text(), _marks(name)
    if not marks.search(text):
        raise ValueError(f"{page} has no place for {name}")
    page.write_text(marks.sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", text))


def has_place(page: Path, name: str) -> bool:
    """Return whether the page exists and contains the marks of `name`."""
    return page.exists() and _marks(name).search(page.read_text()) is not None


def _marks(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^>]*-->\n).*(<!-- end of {name} -->)", re.DOTALL)
