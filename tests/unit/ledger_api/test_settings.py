"""The ledger-api's settings: a key is needed, and each has a name."""

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_ledger_api.settings import Settings, read_settings


def settings(**more: str) -> Settings:
    return read_settings(Environment({"DATABASE_URL": "postgres://p", **more}))


def test_token_and_named_keys_are_accepted_together() -> None:
    read = settings(FLASHSALE_ADMIN_TOKEN="t" * 8, FLASHSALE_ADMIN_KEYS=f"anna:{'a' * 16}")
    assert [key.name for key in read.admin_keys] == ["admin", "anna"]


def test_without_a_key_it_does_not_start() -> None:
    with pytest.raises(SettingsError, match="FLASHSALE_ADMIN_KEYS is not set"):
        settings()
