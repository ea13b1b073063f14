"""What a recovery waits for is longer than what it waits on."""

from flashsale_core.broker import HEARTBEAT_SECONDS
from flashsale_recovery.outcome import Options


def test_missing_entries_are_awaited_longer_than_a_frozen_worker_keeps_them() -> None:
    # RabbitMQ ends a connection after two or three heartbeats without a sign, and gives its messages to another consumer.
    assert min(Options("amqp:").holes_seconds, Options("amqp:").workers_seconds) > 3 * HEARTBEAT_SECONDS
