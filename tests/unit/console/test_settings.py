"""The console's settings: what is missing or unsafe is named with the fix."""

import pytest

from flashsale_console.settings import Settings, read_settings
from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment

REQUIRED = {
    "REDIS_URL": "redis://server", "DATABASE_URL": "postgresql://server/database", "FLASHSALE_CONSOLE_USERS_FILE": "/users",
    "FLASHSALE_CONSOLE_SESSION_KEY": "s" * 32, "FLASHSALE_CONSOLE_ADMIN_KEY": "a" * 16, "FLASHSALE_ADMIN_URL": "http://gateway:8001/",
    "FLASHSALE_LEDGER_API_URL": "http://ledger-api:8002",
}  # fmt: skip


def settings(**variables: str) -> Settings:
    return read_settings(Environment(REQUIRED | variables))


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_setting_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings(**{name: ""})


@pytest.mark.parametrize("origin", ["http://console.example", "https://console.example/", "*", "https://a.example,", "ftp://a"])
def test_origin_without_tls_or_with_a_path_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match="FLASHSALE_CONSOLE_ORIGINS"):
        settings(FLASHSALE_CONSOLE_ORIGINS=origin)


def test_urls_and_keys_are_read() -> None:
    read = settings(
        FLASHSALE_CONSOLE_ORIGINS="https://Console.example, http://localhost:8004", FLASHSALE_CONSOLE_SESSION_KEY=f"{'n' * 32} {'o' * 32}"
    )
    assert (read.origins, read.gateway_url) == (("https://console.example", "http://localhost:8004"), "http://gateway:8001")
    assert read.session_keys == ("n" * 32, "o" * 32)
