"""Event JSON: which timestamps are accepted, and that these are kept as sent (docs/rules.md, "An event")."""

import json

import pytest

from lockstream.core.errors import MalformedEvent
from lockstream.infrastructure.codec.event_json import decode_events, encode_event, is_timestamp
from lockstream.tests.support.builders import decode_event, registered

ACCEPTED = [
    "2026-11-23T09:15:00Z",
    "2026-11-23t09:15:00z",
    "2026-11-23 09:15:00+01:00",
    "2026-11-23T09:15:00.123456789-23:59",
    "2024-02-29T23:59:59-00:00",
    "0001-01-01T00:00:00+12:00",
    "9999-12-31T23:59:59-12:00",
]

LEAP_SECONDS = [
    "2016-12-31T23:59:60Z",
    "2016-12-31t23:59:60z",
    "2016-12-31 23:59:60-00:00",
    "2016-12-31T18:59:60-05:00",
    "2017-01-01T00:59:60+01:00",
    "2017-01-01T05:29:60+05:30",
    "2016-12-31T00:00:60-23:59",
    "2017-01-01T23:58:60+23:59",
    "2016-12-31T23:59:60.999999999999Z",
    "2016-06-30T23:59:60Z",
    "2024-02-29T23:59:60Z",
    "0001-01-01T00:59:60+01:00",
    "9999-12-31T22:59:60-01:00",
    "9999-12-31T23:59:60Z",
]
"""Second 60 of the last minute of a UTC day. Leap seconds are announced, so their dates are not checked."""

NOT_LEAP_SECONDS = [
    "2016-12-31T23:58:60Z",
    "2016-12-31T22:59:60Z",
    "2016-12-31T00:00:60Z",
    "2016-12-31T23:59:61Z",
    "2016-12-31T23:59:99Z",
    "2016-12-31T23:60:60Z",
    "2016-12-31T24:59:60Z",
    "2016-12-31T23:59:60+01:00",
    "2016-12-31T23:59:60-05:00",
    "2016-12-31T23:59:60+00:01",
    "2016-12-31T18:59:60+05:00",
    "2016-12-31T23:59:60",
    "2016-12-31T23:59:60+24:00",
    "2016-12-31T23:59:60.Z",
    "2015-02-29T23:59:60Z",
    "2016-12-32T23:59:60Z",
    "0001-01-01T00:00:60+12:00",
    "9999-12-31T23:59:60-12:00",
    "2016-12-31T23:59:60Z\n",
    "2016-12-31T23:59:60Z\n2016-12-31T23:59:60Z",
]

MALFORMED = [
    "",
    "now",
    "2026-11-23T09:15:00",
    "2026-11-23T09:15:00.5",
    "2026-11-23",
    "09:15:00Z",
    "2026-11-23T09:15Z",
    "2026-11-23T09Z",
    "2026-11-23T09:15:00+01",
    "2026-11-23T09:15:00+0100",
    "2026-11-23T09:15:00 +01:00",
    "2026-11-23T09:15:00.Z",
    "20261123T091500Z",
    "2026-W48-1T09:15:00Z",
    "2026-02-29T09:15:00Z",
    "2026-13-01T09:15:00Z",
    "2026-11-31T09:15:00Z",
    "2026-11-23T24:00:00Z",
    "2026-11-23T09:60:00Z",
    "2026-11-23T09:15:00+24:00",
    "2026-11-23T09:15:00+01:60",
    "0000-01-01T00:00:00Z",
    "+12026-11-23T09:15:00Z",
    "1763885700",
    "2026-11-23T09:15:00Z\n",
    "2026-11-23T09:15:00Z\n2026-11-23T09:15:00Z",
    " 2026-11-23T09:15:00Z",
    "\u0662\u0660\u0662\u0666-11-23T09:15:00Z",
    '2026-11-23T09:15:00Z"',
]

BODY = registered()
ORDINARY = json.dumps(BODY).encode()


def occurring_at(timestamp: str) -> bytes:
    return json.dumps(BODY | {"occurred_at": timestamp}).encode()


@pytest.mark.parametrize("timestamp", ACCEPTED + LEAP_SECONDS, ids=repr)
def test_a_timestamp_with_an_offset_is_kept_as_sent(timestamp: str) -> None:
    decoded = decode_event(occurring_at(timestamp))
    assert decoded.occurred_at == timestamp
    assert json.loads(encode_event(decoded))["occurred_at"] == timestamp


@pytest.mark.parametrize("timestamp", MALFORMED + NOT_LEAP_SECONDS, ids=repr)
def test_any_other_timestamp_is_malformed(timestamp: str) -> None:
    with pytest.raises(MalformedEvent) as raised:
        decode_event(occurring_at(timestamp))
    assert raised.value.kind == "event_malformed"


def test_a_malformed_timestamp_harms_no_other_event_of_its_group() -> None:
    texts = [ORDINARY, *map(occurring_at, ACCEPTED + LEAP_SECONDS + MALFORMED + NOT_LEAP_SECONDS), ORDINARY]
    decoded = decode_events(texts)
    accepted = [event.occurred_at for event in decoded[1:-1] if not isinstance(event, MalformedEvent)]
    assert accepted == ACCEPTED + LEAP_SECONDS
    assert decoded[0] == decoded[-1] == decode_event(ORDINARY)


def test_leap_seconds_and_ordinary_timestamps_are_decoded_together() -> None:
    timestamps = [*ACCEPTED, *LEAP_SECONDS, *ACCEPTED]
    decoded = decode_events([occurring_at(timestamp) for timestamp in timestamps])
    assert [getattr(event, "occurred_at", None) for event in decoded] == timestamps


@pytest.mark.parametrize("timestamp", MALFORMED + NOT_LEAP_SECONDS, ids=repr)
def test_a_timestamp_is_malformed_beside_a_leap_second_too(timestamp: str) -> None:
    first, malformed, last = decode_events([*map(occurring_at, (LEAP_SECONDS[0], timestamp, LEAP_SECONDS[0]))])
    assert isinstance(malformed, MalformedEvent)
    assert first == last == decode_event(occurring_at(LEAP_SECONDS[0]))


@pytest.mark.parametrize("offset", ["-23:59", "-12:00", "-03:30", "-00:00", "+00:00", "+05:45", "+14:00", "+23:59"])
def test_second_60_is_accepted_in_one_minute_of_each_day_only(offset: str) -> None:
    sign = -1 if offset[0] == "-" else 1
    last_utc_minute = (24 * 60 - 1 + sign * (60 * int(offset[1:3]) + int(offset[4:]))) % (24 * 60)
    accepted = [
        minute for minute in range(24 * 60) if is_timestamp(f"2016-12-31T{minute // 60:02}:{minute % 60:02}:60{offset}")
    ]
    assert accepted == [last_utc_minute]


def test_is_timestamp_agrees_with_the_decoder() -> None:
    accepted, malformed = ACCEPTED + LEAP_SECONDS, MALFORMED + NOT_LEAP_SECONDS
    assert [timestamp for timestamp in accepted + malformed if is_timestamp(timestamp)] == accepted
