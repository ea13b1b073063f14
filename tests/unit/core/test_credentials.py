"""Secrets and URLs are checked before a service starts; no error shows them."""

import base64
from collections.abc import Callable

import pytest

from flashsale_core.credentials import amqp_url, database_url, first, token, tokens, webhook_secret, webhook_secrets
from flashsale_core.errors import SettingsError


def whsec(count: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(7, 7 + count))).decode()


@pytest.mark.parametrize("count", [24, 25, 32, 64])
def test_standard_webhooks_secret_is_accepted(count: int) -> None:
    secret = whsec(count)
    assert webhook_secret(secret) == secret


GOOD = whsec(32)
OTHER = whsec(33)


def test_several_secrets_stand_with_one_blank_between() -> None:
    assert webhook_secrets(GOOD) == (GOOD,)
    assert webhook_secrets(f"{GOOD} {OTHER}") == (GOOD, OTHER)
    assert tokens("0123456789 abcdefghij", "FLASHSALE_ADMIN_TOKEN", 8, "openssl rand -hex 24") == ("0123456789", "abcdefghij")
    assert (first(f"{GOOD} {OTHER}"), first(GOOD), first("")) == (GOOD, GOOD, "")


@pytest.mark.parametrize("text", [f"{GOOD}  {OTHER}", f"{GOOD}\n{OTHER}", f"{GOOD} ", f" {GOOD}", f"{GOOD} changeme", f'"{GOOD} {OTHER}"'])
def test_list_with_a_wrong_secret_or_blank_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"FLASHSALE_WEBHOOK_SECRET .*openssl rand"):
        webhook_secrets(text)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (f"v1,{GOOD}", "does not begin"),
        (f'"{GOOD}"', "in quotes"),
        (f"'{GOOD}'", "in quotes"),
        (f"{GOOD}\n", "line end"),
        (f" {GOOD}", "blank"),
        ("changeme", "does not begin"),
        (GOOD.removeprefix("whsec_"), "does not begin"),
        ("whsec_", "0 bytes"),
        ("whsec_QUE=", "2 bytes"),
        (whsec(23), "23 bytes"),
        (whsec(65), "65 bytes"),
        ("our provider told us this secret", "blank"),
        ("whsec_our-provider-told-us-this-secret-here", "not base64"),
        (GOOD.rstrip("="), "not base64"),
        (f"{GOOD}QUFB", "not base64"),
        ("whsec_Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWU=", "placeholder"),
        ("whsec_größe", "ASCII"),
    ],
)
def test_wrong_webhook_secret_is_refused_with_the_fix(secret: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as refused:
        webhook_secret(secret)
    assert str(refused.value).startswith("FLASHSALE_WEBHOOK_SECRET ")
    assert "openssl rand" in str(refused.value)
    assert secret not in str(refused.value).replace("whsec_", "") or len(secret) < 9


@pytest.mark.parametrize(
    "secret", ["changeme", "change-me-change-me", "'0123456789'", "0123456789\n", "0123 456789", "0123456", "your-token"]
)
def test_wrong_token_is_refused_with_the_fix(secret: str) -> None:
    with pytest.raises(SettingsError, match=r"(?s)FLASHSALE_ADMIN_TOKEN .*openssl rand -hex 24"):
        token(secret, "FLASHSALE_ADMIN_TOKEN", 8, "openssl rand -hex 24")


@pytest.mark.parametrize(
    ("check", "url"),
    [
        (amqp_url, "amqp://a"),
        (amqp_url, "amqp://u:p%40x@broker:5672/%2Fshop?heartbeat=10"),
        (amqp_url, "amqps://[fd00::7]:5671/"),
        (database_url, "postgresql://u:p@h/db"),
        (database_url, "postgres://u:p@a:1,b:2/db?sslmode=verify-full"),
        (database_url, "postgresql:///db?host=/run/postgresql"),
        (database_url, "postgresql://u@/db?sslmode=disable&host=/run/postgresql"),
    ],
)
def test_server_url_is_returned_unchanged(check: Callable[[str], str], url: str) -> None:
    assert check(url) == url


@pytest.mark.parametrize("end", ["", "broker", "http://u:hidden@h", "//u:hidden@h", "{0}://", "{0}://u:hidden@", "{0}://u:hid/den@h:1/",
                                 "{0}://u:hidden@h:0/", "{0}://u:hidden@h:65536/", "{0}://u:hidden@h:port/", '"{0}://u:hidden@h/"',
                                 "{0}://u:hidden@h/\n", "{0}://[h/"])  # fmt: skip
@pytest.mark.parametrize(("check", "scheme", "name"), [(amqp_url, "amqp", "AMQP_URL"), (database_url, "postgresql", "DATABASE_URL")])
def test_malformed_server_url_is_refused_without_its_password(check: Callable[[str], str], scheme: str, name: str, end: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        check(end.format(scheme))
    assert "hidden" not in str(refused.value)
