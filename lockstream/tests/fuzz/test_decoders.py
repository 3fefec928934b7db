"""The decoders have their properties for all texts that Hypothesis generates from valid inputs and tokens.

LOCKSTREAM_TEST_EXAMPLES says how many examples each property gets.
"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.tests.fuzz.corpus import SEEDS, TOKENS
from lockstream.tests.fuzz.properties import PROPERTIES, check_in_bounded_time
from lockstream.tests.support.budgets import budget, examples

each_property = pytest.mark.parametrize("holds", PROPERTIES, ids=lambda holds: holds.__name__)

PIECES = st.sampled_from(TOKENS) | st.sampled_from(SEEDS) | st.binary(max_size=8) | st.text(max_size=8).map(str.encode)


@st.composite
def spliced(draw: st.DrawFn) -> bytes:
    """A valid text, of which a part is replaced."""
    text = draw(st.sampled_from(SEEDS))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 40)))
    return text[:start] + draw(st.lists(PIECES, max_size=3).map(b"".join)) + text[end:]


@each_property
def test_the_property_holds_for_each_seed(holds: Callable[[bytes], None]) -> None:
    for seed in SEEDS:
        check_in_bounded_time(holds, seed)


@each_property
@budget(examples(150))
@given(data=spliced() | st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=300))
def test_the_property_holds_for_any_bytes(holds: Callable[[bytes], None], data: bytes) -> None:
    check_in_bounded_time(holds, data)
