"""What tests take away from a running stack: the broker's answers, and what Redis had not published yet."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg

from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_local_stack import Stack, wait_until
from tests.integration.client import Client
from tests.integration.stores import redis_client
from tests.waiting import until

CONNECT_SECONDS = 60.0
FREEZE_SECONDS = 30.0
ANSWERS_SECONDS = 60.0
KILLS, ANSWERS_PER_LIFE = 3, 30
"""A gateway is killed once it has answered that often."""


@contextmanager
def frozen_broker(stack: Stack, client: Client) -> Iterator[None]:
    """Connections to the broker, also that of the client's gateway, stay open and get no answer."""
    assert wait_until(lambda: b"\nflashsale_broker_up 1.0\n" in client.get("/metrics").raw, CONNECT_SECONDS)
    (pid,) = [status.pid for status in stack.status() if status.name == "rabbitmq"]
    assert pid is not None
    os.killpg(pid, signal.SIGSTOP)
    try:
        # A signal reaches a thread when it is next scheduled: until then the broker may confirm.
        assert wait_until(lambda: {"T"} <= set(_states(pid)) <= {"T", "Z"}, FREEZE_SECONDS)
        yield
    finally:
        os.killpg(pid, signal.SIGCONT)


def _states(group: int) -> Iterator[str]:
    """The state of each thread of a process group, as a letter (proc_pid_stat(5))."""
    for task in Path("/proc").glob("[0-9]*/task/*/stat"):
        with suppress(OSError):
            state, _, its_group, *_ = task.read_text().rpartition(")")[2].split()
            if int(its_group) == group:
                yield state


async def lose_gateways(stack: Stack, answered: Sequence[Mapping[str, str]]) -> None:
    """Kill the gateway KILLS times, each with all entries that nobody has published, while threads that fill `answered` ask it."""
    for _ in range(KILLS):
        enough = sum(map(len, answered)) + ANSWERS_PER_LIFE
        await until(lambda enough=enough: sum(map(len, answered)) >= enough, ANSWERS_SECONDS)  # type: ignore[misc]
        stack.kill("gateway")
        forget_unpublished(stack)
        stack.start("gateway")


def forget_unpublished(stack: Stack) -> None:
    """Delete the entries that nobody has published, as a lost disk does, while no gateway runs."""
    with redis_client(stack.env()["REDIS_URL"]) as redis:
        for shard in range(SHARDS_DEFAULT):
            for stream in (shard_keys(shard).direct, shard_keys(shard).outbox):
                redis.delete(stream)


async def lost_entries(database_url: str) -> int:
    """How many entries the keeper has reported as lost so far."""
    return await ledger_number(database_url, "select coalesce(sum(lost_entries), 0) from shards")


async def orders_in_ledger(database_url: str, sale: str) -> int:
    return await ledger_number(database_url, "select count(*) from orders where sale_id = $1", sale)


async def ledger_number(database_url: str, query: str, *arguments: str) -> int:
    ledger = await asyncpg.connect(database_url)
    try:
        return int(await ledger.fetchval(query, *arguments))
    finally:
        await ledger.close()
