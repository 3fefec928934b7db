"""The status of keys: a revocation holds whatever a clock says, and the overlap of a rotation waits for its end."""

import pytest

from lockstream.core.entities.keys import Key, KeyStatus
from lockstream.core.errors import KeyEnded
from lockstream.core.use_cases.manage_keys import create, revoke, rotate
from lockstream.tests.support.keys import NOW, OPERATOR, request

SECOND = 1_000_000
HOUR = 3_600 * SECOND
NEVER, ALWAYS = 0, 2 * NOW
"""Times long before and long after each test."""


def made(expires_seconds: int | None = None) -> Key:
    return create({}, request(expires_seconds=expires_seconds), OPERATOR, NOW).key


def rotated(key: Key, overlap_seconds: int) -> Key:
    old, _ = rotate({key.key_id: key}, key.key_id, overlap_seconds, OPERATOR, NOW).keys
    return old


def revoked(key: Key, now: int = NOW + 1) -> Key:
    return revoke({key.key_id: key}, key.key_id, OPERATOR, now).key


@pytest.mark.parametrize("expires_seconds", [None, 60, 7_200])
@pytest.mark.parametrize("is_rotated", [False, True])
@pytest.mark.parametrize("skew", [-2 * HOUR, 0, HOUR // 2, 2 * HOUR])
def test_a_revoked_key_is_revoked_at_any_time(expires_seconds: int | None, skew: int, *, is_rotated: bool) -> None:
    # given a key, perhaps in the overlap of a rotation
    key = made(expires_seconds)
    key = rotated(key, 3_600) if is_rotated else key
    # when a machine revokes it, whose clock may be wrong
    ended = revoked(key, NOW + skew)
    # then the key is revoked by any other clock
    assert {ended.status(now) for now in (NEVER, NOW, ALWAYS)} == {KeyStatus.REVOKED}
    assert ended.replaced_by == key.replaced_by
    # and neither a second revocation nor another one of the audit log changes it
    assert revoke({key.key_id: ended}, key.key_id, OPERATOR, NOW).keys == ()
    assert ended.revoked(ALWAYS) == ended
    with pytest.raises(KeyEnded, match="is revoked"):
        rotate({key.key_id: ended}, key.key_id, 60, OPERATOR, NEVER)


@pytest.mark.parametrize("expires_seconds", [None, 60, 3_600, 7_200])
def test_the_overlap_of_a_rotation_waits_for_its_end(expires_seconds: int | None) -> None:
    old = rotated(made(expires_seconds), 3_600)
    end = NOW + SECOND * min(3_600, expires_seconds or 3_600)
    assert (old.status(end - 1), old.ends_at) == (KeyStatus.ACTIVE, end)
    assert old.status(end) is not KeyStatus.ACTIVE


def test_a_rotation_without_an_overlap_is_a_revocation() -> None:
    old = rotated(made(), 0)
    assert {old.status(now) for now in (NEVER, NOW, ALWAYS)} == {KeyStatus.REVOKED}
    assert old.revoked_at == NOW


def test_a_revocation_after_an_overlap_keeps_the_end_of_the_overlap() -> None:
    old = rotated(made(), 60)
    ended = revoked(old, NOW + HOUR)
    assert (ended.revoked_at, ended.status(NEVER)) == (old.revoked_at, KeyStatus.REVOKED)
