"""The decoders hold to their properties, whatever Hypothesis makes up of what they know.

LOCKSTREAM_TEST_EXAMPLES says how much that is, for each property.
"""

from collections.abc import Callable

import pytest

pytest.importorskip("hypothesis", reason="the development tools are not installed")

from hypothesis import given
from hypothesis import strategies as st

from lockstream.tests.fuzz.corpus import SEEDS, TOKENS
from lockstream.tests.fuzz.properties import PROPERTIES, in_bounded_time
from lockstream.tests.support.budgets import budget, examples

each_property = pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)

PIECES = st.sampled_from(TOKENS) | st.sampled_from(SEEDS) | st.binary(max_size=8) | st.text(max_size=8).map(str.encode)


@st.composite
def spliced(draw: st.DrawFn) -> bytes:
    """A good text, with something else in the place of a part of it."""
    text = draw(st.sampled_from(SEEDS))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 40)))
    return text[:start] + draw(st.lists(PIECES, max_size=3).map(b"".join)) + text[end:]


@each_property
def test_of_what_is_good_to_begin_with(holds: Callable[[bytes], None]) -> None:
    for seed in SEEDS:
        in_bounded_time(holds, seed)


@each_property
@budget(examples(150))
@given(data=spliced() | st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=300))
def test_of_anything(holds: Callable[[bytes], None], data: bytes) -> None:
    in_bounded_time(holds, data)
