"""What tests take away from a running stack: the broker's answers, and what Redis had not published yet."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_local_stack import Stack
from tests.integration.stores import redis_client


@contextmanager
def frozen_broker(stack: Stack) -> Iterator[None]:
    """Connections to the broker stay open and get no answer."""
    (pid,) = [status.pid for status in stack.status() if status.name == "rabbitmq"]
    assert pid is not None
    os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)


def forget_unpublished(stack: Stack) -> None:
    """Delete the entries that nobody has published, as a lost disk does, while no gateway runs."""
    with redis_client(stack.env()["REDIS_URL"]) as redis:
        for shard in range(SHARDS_DEFAULT):
            for stream in (shard_keys(shard).direct, shard_keys(shard).outbox):
                redis.delete(stream)
