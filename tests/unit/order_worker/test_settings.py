"""The order-worker's settings: defaults, and errors that name the variable."""

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_order_worker.settings import Settings, read_settings

NEEDED = {"AMQP_URL": "amqp://broker/", "DATABASE_URL": "postgresql://ledger/flashsale"}


def test_every_other_setting_has_a_default() -> None:
    assert read_settings(Environment(NEEDED)) == Settings(
        amqp_url="amqp://broker/?connect_timeout_seconds=3",
        database_url="postgresql://ledger/flashsale",
        installation="flashsale",
        statement_cache=100,
        probe_host="0.0.0.0",  # noqa: S104 - a pod listens on all its addresses
        probe_port=9101,
        batch_messages=128,
        batch_bytes_max=1_000_000,
        gather_ms=25,
        amqp_timeout_seconds=10,
        statement_timeout_seconds=30,
        retry_seconds=1,
        refunds_interval_seconds=15,
        shutdown_timeout_seconds=20,
        log_level="INFO",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "ledger:5432"),
        ("AMQP_URL", "amqp://user:password@:5672/"),
        ("FLASHSALE_ORDER_WORKER_BATCH_MESSAGES", "0"),
        ("FLASHSALE_ORDER_WORKER_STATEMENT_TIMEOUT_SECONDS", "soon"),
    ],
)
def test_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(Environment(NEEDED | {name: value}))
