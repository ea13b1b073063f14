"""Named keys: whose key a request bears."""

import logging

import pytest

from flashsale_core.admin_changes import EVENT, log_change
from flashsale_core.api_keys import ApiKey, ApiKeys, bearer_token, read_keys, with_admin_tokens
from flashsale_core.errors import SettingsError

SHOP, NEW, DESK = "s" * 16, "n" * 32, "d" * 24
VARIABLE = "FLASHSALE_SERVICE_KEYS"


def test_pairs_are_read_and_a_name_may_have_several_keys() -> None:
    keys = read_keys(f"shop:{SHOP},shop:{NEW},desk-2:{DESK}", VARIABLE)
    assert keys == (ApiKey("shop", SHOP), ApiKey("shop", NEW), ApiKey("desk-2", DESK))
    assert read_keys("", VARIABLE) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SHOP, "without a colon"),
        (f"shop:{SHOP},", "without a colon"),
        (f"Shop:{SHOP}", "lower-case"),
        (f":{SHOP}", "lower-case"),
        (f"{'n' * 41}:{SHOP}", "lower-case"),
        (f"shop:{SHOP[1:]}", "at least 16"),
        (f"shop:{SHOP} ,desk:{DESK}", "blank"),
        (f"shop:{SHOP}.x", "other than letters"),
        ("shop:change-me-change-me", "placeholder"),
        (f"shop:{SHOP},desk:{SHOP}", "one key twice"),
    ],
)
def test_wrong_keys_are_refused_with_the_fix_and_without_the_key(text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        read_keys(text, VARIABLE)
    assert str(refused.value).startswith(VARIABLE)
    assert SHOP not in str(refused.value)


def test_key_has_the_name_of_its_owner() -> None:
    keys = ApiKeys(read_keys(f"shop:{SHOP},desk:{DESK},shop:{NEW}", VARIABLE))
    assert [keys.name_of(key) for key in (SHOP, NEW, DESK)] == ["shop", "shop", "desk"]
    assert [keys.name_of(text) for text in ("", SHOP[1:], SHOP + "s", SHOP.upper(), "ä" * 16)] == [None] * 5
    assert ApiKeys(()).name_of(SHOP) is None


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer abc", "abc"), ("BEARER  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("", ""), ("Bearer", "")],
)
def test_bearer_token_is_read_whatever_the_case_of_its_scheme(header: str, token: str) -> None:
    assert bearer_token(header) == token
    assert ApiKeys(read_keys(f"shop:{SHOP}", VARIABLE)).name_of_bearer(header.replace("abc", SHOP)) == ("shop" if token else None)


def test_admin_token_is_the_key_of_admin_and_may_have_any_form() -> None:
    keys = ApiKeys(with_admin_tokens(["with.dots", "other-token"], read_keys(f"ann:{SHOP}", "FLASHSALE_ADMIN_KEYS")))
    assert [keys.name_of(key) for key in ("with.dots", "other-token", SHOP)] == ["admin", "admin", "ann"]


def test_change_is_logged_with_who_what_and_result(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_change("ann", "sale.set", "changed", sale="tele")
    (record,) = caplog.records
    fields = {name: vars(record)[name] for name in ("by", "action", "result", "sale")}
    assert (record.message, fields) == (EVENT, {"by": "ann", "action": "sale.set", "result": "changed", "sale": "tele"})
