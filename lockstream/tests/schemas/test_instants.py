"""Times with an offset, compared with recorded times."""

import pytest

from lockstream.schemas.instants import Instant, instant_of

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "microsecond", "is_exact"),
    [
        ("1970-01-01T00:00:00Z", 0, True),
        ("1970-01-01t00:00:01z", SECOND, True),
        ("1970-01-01 00:00:01.5+00:00", 1_500_000, True),
        ("1970-01-01T01:00:00+01:00", 0, True),
        ("1969-12-31T23:59:59-00:00", -SECOND, True),
        ("1970-01-01T00:00:00.000001Z", 1, True),
        ("1970-01-01T00:00:00.0000019Z", 1, False),
        ("1970-01-01T00:00:00.0000010000Z", 1, True),
        ("1969-12-31T23:59:59.9999999Z", -1, False),
        ("1972-06-30T23:59:60Z", 78_796_799_999_999, False),
        ("1972-07-01T00:59:60.25+01:00", 78_796_799_999_999, False),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000_000, True),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000_000, True),
    ],
)
def test_an_instant_lies_at_or_behind_a_microsecond(text: str, microsecond: int, *, is_exact: bool) -> None:
    assert instant_of(text) == Instant(microsecond, is_exact)


def test_the_microsecond_before_an_instant_is_earlier() -> None:
    assert instant_of("1970-01-01T00:00:01Z").last_before == SECOND - 1
    assert instant_of("1970-01-01T00:00:01.0000001Z").last_before == SECOND


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "2026-11-23", "2026-11-23T08:00:00", "2026-11-23T08:00Z", "2026-02-29T08:00:00Z"),
        *("2026-11-23T24:00:00Z", "2026-11-23T08:00:60Z", "2026-11-23T08:00:00 01:00", "20261123T080000Z"),
        *("2026-11-23T08:00:00Z\n", "2026-11-23T08:00:00.Z", "0000-01-01T00:00:00Z", "2026-11-23T08:00:00+24:00"),
    ],
)
def test_any_other_text_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # its text is never shown
        instant_of(text)
