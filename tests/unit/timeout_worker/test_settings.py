"""The timeout-worker's settings: either clock can be switched off, and errors name the variable."""

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_timeout_worker.settings import read_settings

NEEDED = {"AMQP_URL": "amqp://broker/", "REDIS_URL": "redis://sales/"}


def test_both_clocks_run_by_default_and_can_be_switched_off() -> None:
    off = {"FLASHSALE_TIMEOUT_WORKER_CONSUME": "false", "FLASHSALE_TIMEOUT_WORKER_SWEEP": "false"}
    both = [read_settings(Environment(NEEDED | more)) for more in ({}, off)]
    assert [(read.consume, read.sweep, read.sweep_interval_ms, read.sweep_grace_ms, read.probe_port) for read in both] == [
        (True, True, 500, 250, 9102),
        (False, False, 500, 250, 9102),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("REDIS_URL", ""), ("FLASHSALE_LUA_DIR", "nowhere"), ("FLASHSALE_TIMEOUT_WORKER_SWEEP", "no")],
)
def test_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(Environment(NEEDED | {name: value}))
