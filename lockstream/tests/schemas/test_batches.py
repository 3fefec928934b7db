"""Batches as bytes: the items of an array and the lines of NDJSON, however they are written and cut into pieces."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstream.schemas import batches
from lockstream.schemas.batches import MANY_COMMAS, MalformedEntry, NdjsonReader, parse_items, split_array
from lockstream.schemas.events import MalformedBody
from lockstream.tests.support.budgets import budget, examples
from lockstream.tests.support.builders import as_lines, deposited, registered, reserved

MAX_ITEMS, MAX_ITEM_BYTES = 100, 1_000

BLANKS = st.sampled_from(["", " ", "\t", "\r\n", " \n  "])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('ab,[]{}"\\ \n\u2028é📦'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('a,"]}\\', max_size=3), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(params=["decoded", "scanned"])
def split_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to split an array: decoded at once, or scanned item by item as if it had many commas."""
    way: str = request.param
    if way == "scanned":
        monkeypatch.setattr(batches, "MANY_COMMAS", -1)
    return way


def split(body: bytes) -> list[bytes]:
    return split_array(body, MAX_ITEMS, MAX_ITEM_BYTES)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[bytes, list[Any]]:
    """Draw an array as JSON, with blanks between its tokens, and its values."""
    values = draw(st.lists(VALUES, max_size=5))
    is_ascii = draw(st.booleans())
    items = [
        draw(BLANKS) + json.dumps(value, ensure_ascii=is_ascii, indent=draw(st.sampled_from([None, 1]))) + draw(BLANKS)
        for value in values
    ]
    return f"{draw(BLANKS)}[{','.join(items)}{draw(BLANKS)}]{draw(BLANKS)}".encode(), values


@budget(examples(150))
@given(arrays())
def test_the_items_of_an_array_are_its_values(drawn: tuple[bytes, list[Any]]) -> None:
    body, values = drawn
    with pytest.MonkeyPatch.context() as patch:
        decoded = split(body)
        if values:  # an array of many commas is not empty
            patch.setattr(batches, "MANY_COMMAS", -1)
        assert split(body) == decoded
    assert [json.loads(item) for item in decoded] == values
    assert all(item == item.strip() for item in decoded)


@pytest.mark.usefixtures("split_way")
@pytest.mark.parametrize("item", [b"NaN", b"-Infinity", b'{"a": NaN}', rb'"\ud800"', rb'{"\udc00": 1}', b"1e400"])
def test_an_item_that_only_python_decodes_is_an_item(item: bytes) -> None:
    assert split(b"[1, %b ,2]" % item) == [b"1", item, b"2"]


@pytest.mark.usefixtures("split_way")
@pytest.mark.parametrize("surplus", [1, 2, 1_000])
def test_no_more_than_one_surplus_item_is_returned(surplus: int) -> None:
    assert split(b"[%b0]" % (b"0," * (MAX_ITEMS - 1 + surplus))) == [b"0"] * (MAX_ITEMS + 1)


@pytest.mark.parametrize("rest", [b"]", b"", b"}", b"[[[[", b'"', b"nul"])
def test_an_array_of_many_commas_is_not_read_beyond_one_surplus_item(rest: bytes) -> None:
    assert split(b"[" + b"0," * (MANY_COMMAS + 1) + rest) == [b"0"] * (MAX_ITEMS + 1)


LARGE_ITEMS = {
    "array": b"[" + b"0," * MAX_ITEM_BYTES + b"0]",
    "array of arrays": b"[" + b'[{"a":[]}],' * MAX_ITEM_BYTES + b"0]",
    "array of strings": b"[" + rb'"],[\"\\",' * MAX_ITEM_BYTES + b"0]",
    "object": b"{" + b'"a}]":{},' * MAX_ITEM_BYTES + b'"a":0}',
    "string": b'"' + rb"],[\"\\" * MAX_ITEM_BYTES + b'"',
    "number": b"9" * (MAX_ITEM_BYTES + 1),
    "number of the limit and a fraction": b"9" * MAX_ITEM_BYTES + b".5",
}


@pytest.mark.usefixtures("split_way")
@pytest.mark.parametrize("item", LARGE_ITEMS.values(), ids=LARGE_ITEMS)
def test_an_item_beyond_the_limit_is_seen_to_be_too_large_and_harms_no_other(item: bytes) -> None:
    before, large, after, last = split(b'["a", %b , {"b": 1}, %b]' % (item, item))
    assert (before, after) == (b'"a"', b'{"b": 1}')
    for found in large, last:
        assert len(found) > MAX_ITEM_BYTES
        assert item.startswith(found)


@pytest.mark.usefixtures("split_way")
@pytest.mark.parametrize("item", [b"9" * MAX_ITEM_BYTES, b'"%b"' % (b"x" * (MAX_ITEM_BYTES - 2))])
def test_an_item_of_the_largest_size_is_returned_whole(item: bytes) -> None:
    assert split(b"[%b,%b]" % (item, item)) == [item, item]


@pytest.mark.usefixtures("split_way")
@pytest.mark.parametrize(
    "body",
    [
        b"[" + LARGE_ITEMS["array"],
        b"[" + LARGE_ITEMS["string"],
        b"[" + LARGE_ITEMS["string"][:-1] + b"]",
        b"[" + LARGE_ITEMS["array"] + b"}",
        b"[0" + b" " * MAX_ITEM_BYTES + b"0]",
        b"[" + LARGE_ITEMS["array"] + b"]]",
        b"[" + LARGE_ITEMS["array"] + b",]",
        b'["a" "b",' + LARGE_ITEMS["array"] + b"]",
        b"[{'a'}," + LARGE_ITEMS["array"] + b"]",
    ],
    ids=range(9),
)
def test_an_array_with_a_large_item_must_still_be_an_array(body: bytes) -> None:
    with pytest.raises(MalformedBody) as raised:
        split(body)
    [error] = raised.value.errors
    assert (error["loc"], error["type"]) == (["body"], "json_invalid")
    assert error["msg"].startswith("The body is not JSON: ")


def test_an_error_names_its_character(split_way: str) -> None:
    with pytest.raises(MalformedBody) as raised:
        split(b'[ {"a": 1}, {"b" 2} ]')
    assert raised.value.errors[0]["msg"] == "The body is not JSON: Expecting ':' delimiter at character 17."


@pytest.mark.parametrize("body", [as_lines(registered(), reserved()), b"null", b"event_id,locker_id", b'"[]"'])
@pytest.mark.usefixtures("split_way")
def test_a_body_that_does_not_begin_as_an_array_gets_both_forms_of_a_batch(body: bytes) -> None:
    with pytest.raises(MalformedBody) as raised:
        split(body)
    sentences = (
        "A batch is a list of events, and the body does not begin with a bracket. "
        "Send a JSON array, or one event a line with the Content-Type application/x-ndjson."
    )
    assert raised.value.errors == [{"loc": ["body"], "msg": sentences, "type": "list_type"}]


@pytest.mark.parametrize(("max_event_bytes", "kind"), [(1_000, "json_invalid"), (300, "event_too_large")])
def test_events_that_lost_their_line_ends_get_the_option_of_curl_that_keeps_them(
    max_event_bytes: int, kind: str
) -> None:
    # given a file of NDJSON whose newlines curl has removed, before the limit of an event and beyond it
    text = as_lines(registered(), reserved(), deposited()).replace(b"\n", b"")
    [item] = parse_items([text[: max_event_bytes + 1]], 2, max_event_bytes)
    # then the error says how to keep them
    assert isinstance(item, MalformedEntry)
    sentences = (
        "Several events stand on one line. "
        "End each with a newline; with curl, send the file by --data-binary, because -d removes newlines."
    )
    assert item.errors == [{"loc": ["body", 2], "msg": sentences, "type": kind}]


def test_an_item_is_not_decoded_beyond_the_limit_of_an_event() -> None:
    """Decoding an item of many megabytes would take the event loop a second, and much memory."""
    [item] = parse_items([b'{"a":"%b"}{' % (b"x" * 300)], 0, 300)
    assert isinstance(item, MalformedEntry)
    assert item.errors[0]["msg"].startswith("The event is larger than 300 bytes.")


@pytest.mark.parametrize("text", [b"{" * 5_000, b'{"a": "}{"}', b'{"a": 1}, {"b": 2}', b"{}x", b"", b"\xc3{}"])
def test_other_malformed_items_are_not_taken_for_several_events(text: bytes) -> None:
    [item] = parse_items([text], 0, MAX_ITEM_BYTES)
    assert isinstance(item, MalformedEntry)
    assert "Several events" not in item.errors[0]["msg"]


@budget(examples(150))
@given(
    lines=st.lists(st.text('ab{}"\r\t \u2028é', max_size=5).map(str.encode), max_size=5),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    end=st.sampled_from([b"", b"\n", b"\r\n"]),
    sizes=st.lists(st.integers(0, 6)),
)
def test_lines_are_the_same_in_pieces_of_any_size(
    lines: list[bytes], mark: bytes, end: bytes, sizes: list[int]
) -> None:
    reader = NdjsonReader(MAX_ITEM_BYTES)
    found = [line for piece in pieces(mark + b"\n".join(lines) + end, sizes) for line in reader.feed(piece)]
    found += reader.finish()
    assert found == [text for line in lines if (text := line.strip(b" \t\r\n"))]


@budget(examples(50))
@given(sizes=st.lists(st.integers(0, 30)), limit=st.integers(4, 12), surplus=st.integers(-4, 20))
def test_a_line_beyond_the_limit_is_cut_but_stays_too_large(sizes: list[int], limit: int, surplus: int) -> None:
    reader = NdjsonReader(limit)
    line = b"x" * (limit + surplus)
    body = b"\xef\xbb\xbf  %b   \n%b%b\n" % (line, b" " * 100, line)
    found = [text for piece in pieces(body, sizes) for text in reader.feed(piece)] + reader.finish()
    if surplus <= 0:
        assert found == [line, line]
    else:
        assert [len(text) > limit for text in found] == [True, True]


def pieces(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield body[:size]
        body = body[size:]
    yield body
