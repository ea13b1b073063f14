"""A session is accepted only if it is signed, live, and its person is as when it began."""

import pytest

from flashsale_console.sessions import Limits, Session, is_live, read, renewed, write

KEYS = ("new" * 12, "old" * 12)
LIMITS = Limits(1000, 100)
SESSION = Session("ann.b", 5000, 5000, "0" * 32)
LINES = {"ann.b": "ann.b:merchant:hash"}


def accepted(text: str, now: float = 5050, keys: tuple[str, ...] = KEYS) -> Session | None:
    return read(text, keys, LINES.get, LIMITS, now)


def test_session_signed_with_either_key_is_read() -> None:
    assert [accepted(write(SESSION, key, LINES["ann.b"])) for key in KEYS] == [SESSION, SESSION]
    assert accepted(write(SESSION, KEYS[1], LINES["ann.b"]), keys=KEYS[:1]) is None


@pytest.mark.parametrize("now", [4939, 5101])
def test_session_ends_when_idle_and_does_not_begin_in_the_future(now: float) -> None:
    assert accepted(write(SESSION, KEYS[0], LINES["ann.b"]), now) is None


def test_session_ends_however_often_it_is_used() -> None:
    assert (is_live(SESSION._replace(seen=5990), LIMITS, 6000), is_live(SESSION._replace(seen=5990), LIMITS, 6001)) == (True, False)


def test_new_password_or_role_ends_the_session() -> None:
    assert accepted(write(SESSION, KEYS[0], "ann.b:viewer:hash")) is None
    assert accepted(write(SESSION._replace(person="bob"), KEYS[0], "")) is None


@pytest.mark.parametrize("part", range(6))
def test_changed_text_is_refused(part: int) -> None:
    parts = write(SESSION, KEYS[0], LINES["ann.b"]).split(":")
    parts[part] = parts[part][:-1] + ("1" if parts[part][-1] != "1" else "2")
    assert accepted(":".join(parts)) is None


def test_session_is_renewed_after_a_tenth_of_the_idle_limit() -> None:
    assert (renewed(SESSION, LIMITS, 5010), renewed(SESSION, LIMITS, 5011)) == (None, SESSION._replace(seen=5011))
