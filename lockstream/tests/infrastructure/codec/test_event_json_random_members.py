"""Event JSON: on random texts, the decoder finds the same repeated member names as an independent check."""

import json
import re
from random import Random
from typing import Any

from hypothesis import event as note
from hypothesis import example, given
from hypothesis import strategies as st

from lockstream.core.entities.events import Event
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_archived, decode_events, decode_recorded
from lockstream.tests.fuzz.properties import repeats_a_member
from lockstream.tests.infrastructure.codec.test_event_json_members import (
    ARCHIVED,
    ARCHIVED_WITH_KEY,
    REPEATED,
    REPORT,
    UNIQUE,
    with_extra,
)
from lockstream.tests.support.budgets import budget, examples

PLAIN_CHARACTERS = st.sampled_from([*"ab:,{}[] /", "é", "\U0001f512"])
CHARACTERS = st.sampled_from([*'ab:"\\', "\n", "\u0000"]) | PLAIN_CHARACTERS
NAMES = st.sampled_from(["", "a", "b", ":", "é"]) | st.text(PLAIN_CHARACTERS, max_size=3)
SPACES = ["", "", "", " ", "\t", "\n", " \r\n"]


class Object(list[tuple[str, Any]]):
    """The members of a JSON object, of which names may be equal."""


def objects(names: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    return st.lists(st.tuples(names, values), max_size=4).map(Object)


def values(names: st.SearchStrategy[str], strings: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | strings,
        lambda inner: st.lists(inner, max_size=3) | objects(names, inner),
        max_leaves=8,
    )


ALL_NAMES = NAMES | st.sampled_from(['"', "\\", '":', "\n"]) | st.text(CHARACTERS, max_size=3)
EXTRAS = objects(NAMES, values(NAMES, st.text(PLAIN_CHARACTERS, max_size=5))) | objects(
    ALL_NAMES, values(ALL_NAMES, st.text(CHARACTERS, max_size=5))
)
REPEATED_MEMBERS = st.sampled_from([[]] * 8 + [[name] for name in ("compartment_id", "severity", "type", "payload")])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """An event whose members may be repeated, with any white space, and with or without escapes."""
    payload = Object([("compartment_id", "c"), ("severity", 3), *draw(EXTRAS)])
    members = Object((name, value) for name, value in REPORT.items() if name != "payload")
    for name in draw(REPEATED_MEMBERS):
        payload += [member for member in payload if member[0] == name][:1]
        members += [member for member in members if member[0] == name]
        members += [("payload", draw(EXTRAS))] if name == "payload" else []
    members = Object([*draw(st.permutations(members)), ("payload", Object(draw(st.permutations(payload))))])
    return _written(members, Random(draw(st.integers(0, 2**32))), may_escape=draw(st.booleans())).encode()


def _written(value: Any, chance: Random, *, may_escape: bool) -> str:
    """Write a value as JSON with any white space. Unless it `may_escape`, escape only characters that need it."""

    def written(inner: Any) -> str:
        return _written(inner, chance, may_escape=may_escape)

    before, after = chance.choice(SPACES), chance.choice(SPACES)
    match value:
        case Object():
            members = [f"{written(name)}:{written(inner)}" for name, inner in value]
            return f"{before}{{{','.join(members) or after}}}{after}"
        case list():
            return f"{before}[{','.join(map(written, value)) or after}]{after}"
        case str() if may_escape:
            return f'{before}"{"".join(_character(character, chance) for character in value)}"{after}'
        case _:
            return f"{before}{json.dumps(value, ensure_ascii=False)}{after}"


def _character(character: str, chance: Random) -> str:
    """Write a character of a string unescaped, if it may be, or as one of its escapes."""
    units = character.encode("utf-16-be").hex()
    escape = "".join(rf"\u{units[start : start + 4]}" for start in range(0, len(units), 4))
    spellings = [escape, escape.upper().replace("U", "u"), json.dumps(character)[1:-1]]
    if character not in '"\\' and character >= " ":
        spellings += [character] * 10
    if character == "/":
        spellings.append(r"\/")
    return chance.choice(spellings)


def kind_of(decoded: Event | MalformedEvent) -> str:
    return decoded.kind if isinstance(decoded, MalformedEvent) else "accepted"


@budget(examples(150))
@given(st.lists(texts(), min_size=1, max_size=4))
@example([with_extra(value) for value in UNIQUE.values()])
@example([with_extra(value) for value in REPEATED.values()])
def test_the_decoder_finds_the_same_repeated_names_as_an_independent_check(group: list[bytes]) -> None:
    expected = ["duplicate_member" if repeats_a_member(text) else "accepted" for text in group]
    for text, kind in zip(group, expected, strict=True):
        note(f"{kind}, backslash: {b'\\' in text}")
    archived, with_key = (
        [re.sub(rb"\{", b"{" + more.encode(), text, count=1) for text in group]
        for more in (ARCHIVED, ARCHIVED_WITH_KEY)
    )
    assert [kind_of(decoded) for decoded in decode_events(group)] == expected
    assert [kind_of(decoded) for decoded in decode_archived(group)] == expected
    assert [kind_of(decoded) for decoded in decode_archived(archived)] == expected
    assert [kind_of(decoded) for decoded in decode_archived(with_key)] == expected
    recorded = [text for text in group if members(text) == 5]  # a log line never repeated members outside its payload
    assert [kind_of(decoded) for decoded in decode_recorded(recorded)] == ["accepted"] * len(recorded)
    for text, kind in zip(group, expected, strict=True):
        assert [kind_of(decoded) for decoded in decode_events([text])] == [kind]


def members(text: bytes) -> int:
    """Return the number of members of a JSON object, and count a repeated one each time."""
    return len(json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str))
