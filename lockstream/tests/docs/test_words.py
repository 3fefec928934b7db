"""The words of the code: the rules of CONTRIBUTING.md under "Words" that a program can check."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = sorted([*(ROOT / "lockstream").rglob("*.py"), *(ROOT / "bench").rglob("*.py")])

OPENING = re.compile(r"(What|Whoever|Who|Whose|Where|Which|How|Those|The same|Itself|It|That|They|This is)\b")
"""First words of a docstring that name no subject."""

PHRASE = re.compile(
    r"(?<!there )\b(is|are|was|were) (no|none)\b(?! longer| more)|\bin vain\b|\bmade anew\b|\btak(e|es|en|ing) in\b"
)
"""Phrases that are not plain English, or that the glossary replaces."""

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def docstrings(file: Path) -> Iterator[str]:
    """Yield every docstring, also those of constants and attributes."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value.strip()


def comments(file: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@each_file
def test_docstrings_name_their_subject(file: Path) -> None:
    assert [text.splitlines()[0] for text in docstrings(file) if text and OPENING.match(text)] == []


@each_file
def test_docstrings_and_comments_are_plain(file: Path) -> None:
    if file == Path(__file__):
        pytest.skip("it quotes what it forbids")
    texts = [*docstrings(file), *comments(file)]
    assert [found[0] for text in texts for found in PHRASE.finditer(text)] == []
