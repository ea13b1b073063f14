"""The users file, passwords and the limit of attempts."""

import os
from pathlib import Path

import pytest

from flashsale_console.attempts import FAILURES_MAX, NAMES_MAX, WINDOW_SECONDS, Attempts
from flashsale_console.users import Role, Users, parse
from flashsale_core.errors import SettingsError
from flashsale_core.passwords import hash_password, is_hash, is_password

HASH = hash_password("correct horse battery", b"0" * 16)


def test_password_matches_only_its_hash() -> None:
    assert (is_password("correct horse battery", HASH), is_password("correct horse battery ", HASH)) == (True, False)
    assert is_password("x" * 257, HASH) is False


@pytest.mark.parametrize("text", ["", "scrypt:20:8:3:" + HASH[14:], "plain", HASH + "A", HASH.replace("scrypt:15", "scrypt:1")])
def test_other_text_is_no_hash_also_if_it_would_cost_too_much(text: str) -> None:
    assert (is_hash(text), is_password("correct horse battery", text)) == (False, False)


@pytest.mark.parametrize("password", ["short", "x" * 257])
def test_password_of_a_wrong_length_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="12 to 256"):
        hash_password(password)


def test_users_are_read_with_their_roles() -> None:
    users = parse(f"# people\n\nann:merchant:{HASH}\nbob:viewer:{HASH}\n")
    assert {name: user.role for name, user in users.items()} == {"ann": Role.MERCHANT, "bob": Role.VIEWER}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 users"),
        (f"Ann:viewer:{HASH}", "line 1: a name"),
        (f"ann:admin:{HASH}", "the role of ann"),
        ("ann:viewer:secret", "the password of ann"),
        (f"ann:viewer:{HASH}\nann:merchant:{HASH}", "line 2: ann has a line already"),
    ],
)
def test_wrong_line_is_named_without_its_hash(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        parse(text)
    assert "secret" not in str(refused.value)


def test_changed_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"ann:viewer:{HASH}\n")
    users = Users(file)
    file.write_text(f"ann:merchant:{HASH}\n")
    os.utime(file, ns=(1, 1))
    assert users.line_of("ann") == f"ann:merchant:{HASH}"
    file.write_text("broken")
    assert users.line_of("ann") == f"ann:merchant:{HASH}"
    # The last line was deleted.
    file.write_text("# nobody\n")
    assert users.line_of("ann") is None


def test_failures_are_limited_by_name_and_lock_out_nobody_else() -> None:
    attempts = Attempts()
    for at in range(FAILURES_MAX):
        attempts.failed("ann", at)
    assert (attempts.wait_seconds("ann", 10), attempts.wait_seconds("bob", 10)) == (WINDOW_SECONDS - 10, 0)
    assert attempts.wait_seconds("ann", WINDOW_SECONDS) == 0
    attempts.succeeded("ann")
    assert attempts.wait_seconds("ann", 10) == 0
    for at in range(2 * NAMES_MAX):
        attempts.failed(f"m{at}", 20)
    assert attempts.wait_seconds("new", 20) == 0
    assert len(attempts._by_name) == NAMES_MAX
