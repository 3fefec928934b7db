"""Event JSON: an object with the same member name twice is malformed (docs/rules.md, "An event").

The decoder counts quotes and parses the text again only if the count is suspicious. So most texts here have quotes,
backslashes and white space in places that a count could take for something else.
"""

import json
from itertools import product

import pytest

from lockstream.core.entities.log import START
from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_archived, decode_events, decode_recorded
from lockstream.infrastructure.codec.log_line import check_line, decode_lines, encode_lines
from lockstream.tests.support.builders import (
    Body,
    decode_event,
    deposited,
    fault_cleared,
    fault_reported,
    registered,
    reserved,
)

NOW = "2026-11-23T08:15:00.000000Z"
REPORT = fault_reported(event_id="00000000-0000-4000-8000-00000000000a")
PLAIN = json.dumps(reserved()).encode()
ARCHIVED = f'"position":7,"recorded_at":"{NOW}","chain":"{"0" * 64}",'
ARCHIVED_WITH_KEY = f'{ARCHIVED}"recorded_by":"k3y8char",'


def with_payload(payload: str, body: Body = REPORT, more: str = "", space: str = "") -> bytes:
    """Return an event's text with this payload, and with `more` before its first member."""
    members = [f'"{name}"{space}:"{value}"' for name, value in body.items() if name != "payload"]
    return f'{{{more}{",".join(members)},"payload"{space}:{payload}}}'.encode()


def with_extra(value: str) -> bytes:
    return with_payload(f'{{"compartment_id":"c","severity":3,"extra":{value}}}')


def assert_repeated(text: bytes, name: str) -> None:
    """Check that `text` is malformed for the repeated member `name`: alone, in a group, and archived."""
    for decode in (decode_events, decode_archived):
        for group in ([text], [PLAIN, text, PLAIN], [PLAIN] * 50 + [text]):
            found = [event for event in decode(group) if isinstance(event, MalformedEvent)]
            assert [error.kind for error in found] == ["duplicate_member"]
            assert repr(name) in str(found[0])
    with pytest.raises(MalformedEvent, match="occurs twice") as raised:
        decode_event(text)
    assert raised.value.kind == "duplicate_member"


def assert_accepted(text: bytes) -> None:
    """Check that `text` is an event: alone, in a group, and archived."""
    for decode in (decode_events, decode_archived):
        alone, *_ = decode([text])
        assert not isinstance(alone, MalformedEvent), alone
        assert decode([PLAIN, text, PLAIN])[1] == alone


@pytest.mark.parametrize("space", ["", " ", "\t\r\n "])
@pytest.mark.parametrize("name", ["event_id", "occurred_at", "locker_id", "type"])
def test_a_repeated_member_of_the_event_is_malformed(name: str, space: str) -> None:
    for value in (REPORT[name], registered()[name] if name != "type" else REPORT[name]):
        again = f'"{name}"{space}:{space}"{value}",'
        assert_repeated(with_payload('{"compartment_id":"c","severity":3}', more=again), name)


def test_a_repeated_payload_is_malformed() -> None:
    payload = '{"compartment_id":"c","severity":3}'
    for first in (payload, "{}", '{"a":[]}', "null", "7"):
        assert_repeated(with_payload(payload, more=f'"payload":{first},'), "payload")


KNOWN_FIELDS = {
    "compartment_id": (registered(), '{"compartment_id":"a","compartment_id":"b"}'),
    "reservation_id": (reserved(), '{"reservation_id":"r","compartment_id":"a","reservation_id":"r"}'),
    "severity": (REPORT, '{"compartment_id":"a","severity":3,"severity":4}'),
    "fault_event_id": (
        fault_cleared(REPORT),
        f'{{"compartment_id":"a","fault_event_id":"{REPORT["event_id"]}","fault_event_id":"{REPORT["event_id"]}"}}',
    ),
}


@pytest.mark.parametrize("name", KNOWN_FIELDS)
def test_a_repeated_known_field_of_the_payload_is_malformed(name: str) -> None:
    body, payload = KNOWN_FIELDS[name]
    assert_repeated(with_payload(payload, body), name)


@pytest.mark.parametrize("pair", ['"a","{}":null', 'null,"{}":"a"', 'null,"{}":null', '"a","{}":"a"'])
def test_a_repeated_optional_field_is_malformed_even_if_it_is_null(pair: str) -> None:
    payload = f'{{"reservation_id":"r","compartment_id":{pair.format("compartment_id")}}}'
    assert_repeated(with_payload(payload, deposited()), "compartment_id")


REPEATED = {
    "side by side": '{"a":1,"a":2}',
    "equal values": '{"a":1,"a":1}',
    "three times": '{"a":1,"a":2,"a":3}',
    "apart": '{"a":1,"b":"","c":[],"a":2}',
    "in a list": '[0,{"a":1,"a":2}]',
    "in lists": '[[[[{"a":[],"a":[]}]]]]',
    "in an object": '{"a":{"b":{"a":1,"a":2}}}',
    "in the first of two objects": '{"b":{"a":1,"a":2},"c":{"a":1}}',
    "in a value that is itself repeated": '{"b":{},"a":{"a":1,"a":2}}',
    "objects": '{"a":{},"a":{}}',
    "after a string with quotes": r'{"x":"\"","a":1,"a":2}',
    "after a string that ends with a backslash": r'{"x":"\\","a":1,"a":2}',
    "after a string that looks like a member": r'{"x":"\"a\":1,","a":1,"a":2}',
    "white space before the colon": '{"a" :1,"a"\t\r\n:2}',
    "white space around the name": '{ \n"a":1 ,\r "a"\t: 2 }',
    "the second one escaped": r'{"a":1,"\u0061":2}',
    "the first one escaped": r'{"\u0061":1,"a":2}',
    "both escaped": r'{"\u0061":1,"\u0061":2}',
    "escapes in different cases": r'{"a":1,"a":2,"\u004A":3,"\u004a":4}',
}
"""Objects in which `a` is repeated."""


@pytest.mark.parametrize("value", REPEATED)
def test_a_repeated_member_at_any_depth_of_the_payload_is_malformed(value: str) -> None:
    assert_repeated(with_extra(REPEATED[value]), "a")
    assert_repeated(with_extra("[" * 90 + REPEATED[value] + "]" * 90), "a")


ESCAPED_NAMES = {
    r'"sever\u0069ty"': "severity",
    r'"\u0073everity"': "severity",
    r'"compartment\u005fid"': "compartment_id",
    r'"compartment\u005Fid"': "compartment_id",
    r'"\u0065xtr\u0061"': "extra",
    r'"sl\/ash"': "sl/ash",
    r'"quote\u0022"': 'quote"',
    r'"back\u005cslash"': "back\\slash",
    r'"tab\u0009"': "tab\t",
    r'"lock\ud83d\udd12"': "lock\U0001f512",
    r'"\u00e9"': "é",
    r'"nul\u0000"': "nul\0",
}


@pytest.mark.parametrize("escaped", ESCAPED_NAMES)
def test_a_repeated_name_that_is_hidden_by_escapes_is_malformed(escaped: str) -> None:
    name = ESCAPED_NAMES[escaped]
    members = {"compartment_id": '"c"', "severity": "3", name: "3"} | ({name: '"c"'} if "_id" in name else {})
    plain = [f"{json.dumps(key, ensure_ascii=False)}:{value}" for key, value in members.items()]
    again = f"{escaped}:{members[name]}"
    assert_repeated(with_payload(f"{{{','.join([*plain, again])}}}"), name)
    assert_repeated(with_payload(f"{{{','.join([again, *plain])}}}"), name)


@pytest.mark.parametrize("escaped", [r"event\u005fid", r"\u0065vent_id"])
def test_a_repeated_member_of_the_event_that_is_hidden_by_escapes_is_malformed(escaped: str) -> None:
    again = f'"{escaped}":"{REPORT["event_id"]}",'
    assert_repeated(with_payload('{"compartment_id":"c","severity":3}', more=again), "event_id")


UNIQUE = {
    "equal names in different objects": '[{"a":1},{"a":2}]',
    "equal names at different depths": '{"a":{"a":{"a":[{"a":1}]}}}',
    "the names of the event": '{"event_id":1,"occurred_at":2,"locker_id":3,"type":4,"payload":{"payload":{}}}',
    "the names of the payload": '{"compartment_id":"x","severity":4,"extra":5}',
    "names that differ in case": '{"a":1,"A":2}',
    "names that differ in composition": '{"é":1,"e\u0301":2}',
    "names that differ in white space": '{"a":1,"a ":2," a":3}',
    "the empty name": '{"":1}',
    "an escaped backslash in the place of an escape": r'{"a":1,"\\u0061":2}',
    "a name that ends with a backslash": r'{"a":1,"a\\":2}',
    "a name that ends with a quote": r'{"a":1,"a\"":2}',
    "a string that looks like a member": r'{"a":"\"a\":1"}',
    "a string that looks like an object": r'"{\"a\":1,\"a\":2}"',
    "a string with escaped quotes only": r'"\"\"\"\""',
    "strings that end with backslashes": r'["\\","\\\\","\\\"",{"a":"\\"},{"a":"\\"}]',
    "a string with a colon after a quote": r'["\":","\" :",": \""]',
    "strings in a list": '["a","a",":","a:"]',
    "a value equal to a name": '{"a":"a","b":"a","c":"b"}',
    "white space before colons": '{"a" :1,"b"\t:2,"c"\r\n:"a" }',
    "an empty string": '""',
    "null": "null",
}
"""JSON values without a repeated member name."""


@pytest.mark.parametrize("value", UNIQUE)
def test_a_payload_without_a_repeated_member_is_accepted(value: str) -> None:
    assert_accepted(with_extra(UNIQUE[value]))
    assert_accepted(with_extra("[" * 90 + UNIQUE[value] + "]" * 90))


@pytest.mark.parametrize("space", ["", " ", "\n\t"])
def test_names_and_strings_with_quotes_and_backslashes_are_accepted(space: str) -> None:
    body = REPORT | {"locker_id": r"\"a\":\\"}
    assert_accepted(with_payload(r'{"compartment_id":"\\\":\"","severity":3}', body, space=space))


def test_a_repeated_member_harms_no_other_event_of_its_group() -> None:
    texts = [with_extra(value) for pair in zip(UNIQUE.values(), REPEATED.values(), strict=False) for value in pair]
    decoded = decode_events(texts)
    assert [isinstance(event, MalformedEvent) for event in decoded] == [False, True] * (len(texts) // 2)


def test_fewer_quotes_in_one_event_never_hide_a_repeated_member_of_another() -> None:
    shorter = json.dumps(deposited()).encode()
    longer = json.dumps(deposited(compartment_id="a")).encode()
    repeated = with_payload('{"compartment_id":"a","compartment_id":"a"}', registered())
    for others in ([shorter], [shorter] * 10, [longer], [shorter, longer]):
        decoded = decode_events([*others, repeated, *others])
        assert isinstance(decoded[len(others)], MalformedEvent)
        assert sum(isinstance(event, MalformedEvent) for event in decoded) == 1


def test_an_archived_event_may_have_the_members_of_a_log_line_once() -> None:
    payload = '{"compartment_id":"c","severity":3}'
    [expected] = decode_archived([with_payload(payload)])
    some = (
        '"position":7,',
        '"position":null,',
        f'"recorded_at":"{NOW}",',
        '"chain":"","position":0,',
        '"recorded_by":"",',
    )
    for more in (
        ARCHIVED,
        ARCHIVED_WITH_KEY,
        f'{ARCHIVED}"recorded_by":null,',
        f'{ARCHIVED}"recorded_by":"\\"",',
        *some,
    ):
        assert decode_archived([with_payload(payload, more=more)]) == [expected]
        assert decode_archived([PLAIN, with_payload(payload, more=more)])[1] == expected


@pytest.mark.parametrize(
    "again", ['"position":8,', '"recorded_at":"",', '"chain":"a",', '"recorded_by":"a",', '"recorded_by":null,']
)
def test_a_repeated_member_of_an_archived_line_is_malformed(again: str) -> None:
    for more in (ARCHIVED_WITH_KEY + again, again + again, again + ARCHIVED_WITH_KEY):
        [found] = decode_archived([with_payload('{"compartment_id":"c","severity":3}', more=more)])
        assert isinstance(found, MalformedEvent)
        assert found.kind == "duplicate_member"


@pytest.mark.parametrize("counts", [counts for counts in product(range(3), repeat=4) if max(counts) > 1], ids=str)
def test_any_members_of_a_log_line_may_be_missing_but_none_may_be_repeated(counts: tuple[int, ...]) -> None:
    members = ('"position":7,', f'"recorded_at":"{NOW}",', '"chain":"a",', '"recorded_by":"k3y8char",')
    more = "".join(member * count for member, count in zip(members, counts, strict=True))
    [found] = decode_archived([with_payload('{"compartment_id":"c","severity":3}', more=more)])
    assert isinstance(found, MalformedEvent)
    assert found.kind == "duplicate_member"


@pytest.mark.parametrize("times", range(2, 9))
@pytest.mark.parametrize(
    "more", ["", ARCHIVED, ARCHIVED_WITH_KEY, '"position":7,', f'"position":7,"recorded_at":"{NOW}",']
)
def test_a_missing_member_of_an_archived_line_never_hides_a_repeated_field(more: str, times: int) -> None:
    for value in ('"a"', "1"):
        repeated = ",".join([f'"x":{value}'] * times)
        payload = f'{{"compartment_id":"c","severity":3,{repeated}}}'
        [found] = decode_archived([with_payload(payload, more=more)])
        assert isinstance(found, MalformedEvent)
        assert found.kind == "duplicate_member"


def test_a_line_of_a_log_may_repeat_a_member_and_the_last_one_counts() -> None:
    # given a line that an older version has accepted
    text = with_payload('{"compartment_id":"a","compartment_id":"b","extra":{"a":1,"\\u0061":2}}', registered())
    for group in ([text], [PLAIN, text, PLAIN]):
        assert not [event for event in decode_recorded(group) if isinstance(event, MalformedEvent)]
    [recorded] = decode_recorded([text])
    assert not isinstance(recorded, MalformedEvent)
    [line], end = encode_lines([recorded], NOW, START)
    # when the log is read
    [record] = decode_lines([line], START)
    # then the event has the last of the two values, and its payload is unchanged
    assert check_line(line, START) == end
    assert record.event == recorded
    assert record.event.payload.compartment_id == "b"
    assert record.event.payload_text.count(b'"compartment_id"') == 2
