"""The keeper's settings: limits that contradict those of the gateways are refused."""

from pathlib import Path

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_keeper.settings import Settings, read_settings

ATTEST, CONFIRM = "FLASHSALE_KEEPER_ATTEST_SECONDS", "FLASHSALE_CONFIRM_TIMEOUT_SECONDS"


def settings(folder: Path, **more: str) -> Settings:
    needed = {"REDIS_URL": "redis://r", "AMQP_URL": "amqp://a", "DATABASE_URL": "postgres://p", "FLASHSALE_LUA_DIR": str(folder)}
    return read_settings(Environment(needed | more))


def test_defaults_wait_longer_for_gateways_than_a_confirm_counts(tmp_path: Path) -> None:
    assert settings(tmp_path).attest_seconds > settings(tmp_path).confirm_timeout_seconds


@pytest.mark.parametrize("limits", [{ATTEST: "3"}, {ATTEST: "0.5", CONFIRM: "0.5"}, {ATTEST: "3.5", CONFIRM: "4"}])
def test_limit_within_which_a_confirm_counts_is_refused(limits: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{ATTEST} is .*, and must be longer than {CONFIRM} of the gateways"):
        settings(tmp_path, **limits)


def test_shorter_limits_are_accepted_together(tmp_path: Path) -> None:
    assert settings(tmp_path, **{ATTEST: "0.2", CONFIRM: "0.1"}).attest_seconds == 0.2
