"""Which messages are parked, on real RabbitMQ and Postgres, and the `flashsale parked` commands."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import aio_pika
import msgspec
import pytest
from typer.testing import CliRunner

from flashsale_cli.main import app
from flashsale_consumer import Consumer, ConsumerSettings, Delivery, Poison, Watch, suspicious, watch_parked
from flashsale_consumer.metrics import PARKED_MESSAGES
from flashsale_core import topology
from flashsale_core.errors import Retryable
from flashsale_core.messages import Position, encode, join
from flashsale_core.tracing import Tracing
from flashsale_local_stack import Stack
from flashsale_order_worker.handlers import OrderEvents
from tests.integration.broker import consuming, control, counted, headers, open_broker, until
from tests.integration.ledger import open_ledger
from tests.integration.order_events import consumer, open_repository, reserved

QUEUE, PARKED = topology.ORDERS_QUEUE, topology.PARKED_ORDERS_QUEUE
REDELIVERIES = 26
"""More than the 20 deliveries after which RabbitMQ 4 drops a message by default, as did the policies of earlier releases."""


async def redeliver(amqp_url: str, queue: str, messages: int) -> None:
    """Deliver each message of `queue` as often as to workers whose sessions end while the ledger is down."""
    async with await aio_pika.connect(amqp_url) as connection:
        for _ in range(REDELIVERIES):
            async with connection.channel() as channel:
                source = await channel.get_queue(queue)
                for _ in range(messages):
                    await source.get()


async def test_valid_orders_are_not_parked_while_the_ledger_is_down(infra: Mapping[str, str]) -> None:
    url, amqp_url = infra["DATABASE_URL"], infra["AMQP_URL"]
    async with open_broker(amqp_url) as broker, open_ledger(url) as ledger, open_repository(url) as repository:
        events, away = OrderEvents(repository, Tracing(None)), 3

        async def away_at_first(batch: Sequence[Delivery]) -> Sequence[Poison]:
            nonlocal away
            away -= 1
            if away >= 0:
                raise Retryable("Postgres is away", 0.01)
            return await events(batch)

        await broker.publish(QUEUE, *[encode(reserved(f"o{number}")) for number in range(5)])
        await redeliver(amqp_url, QUEUE, 5)
        async with consuming(consumer(infra, away_at_first)):
            await until(lambda: counted(ledger.count(), 5))
        assert [await broker.take_all(queue) for queue in (QUEUE, PARKED)] == [[], []]


@pytest.fixture
def short_consumer_timeout(infra_stack: Stack) -> Iterator[None]:
    """The broker closes a channel whose deliveries are not acknowledged within 0.3 s; the default is 30 minutes."""
    setting = "application:set_env(rabbit, consumer_timeout, {}), application:set_env(rabbit, channel_tick_interval, {})."
    control(infra_stack, "eval", setting.format(300, 200))
    yield
    control(infra_stack, "eval", setting.format(1_800_000, 60_000))


@pytest.mark.usefixtures("short_consumer_timeout")
async def test_valid_orders_survive_channels_that_the_broker_closes(infra: Mapping[str, str]) -> None:
    async with (
        open_broker(infra["AMQP_URL"]) as broker,
        open_ledger(infra["DATABASE_URL"]) as ledger,
        open_repository(infra["DATABASE_URL"]) as repository,
    ):
        events = OrderEvents(repository, Tracing(None))

        async def away_until_redelivered(batch: Sequence[Delivery]) -> Sequence[Poison]:
            if any(delivery.headers.get("x-delivery-count", 0) < 2 for delivery in batch):
                raise Retryable("Postgres is away", 0.1)
            return await events(batch)

        await broker.publish(QUEUE, *[encode(reserved(f"o{number}")) for number in range(5)])
        async with consuming(consumer(infra, away_until_redelivered)):
            await until(lambda: counted(ledger.count(), 5))
        assert await broker.take_all(PARKED) == []
        # If a slow worker's acknowledgement came too late, the broker has closed its channel once more, and delivers again what is written.
        assert all(message.redelivered for message in await broker.take_all(QUEUE))


async def test_only_a_message_that_fails_alone_is_parked(infra: Mapping[str, str]) -> None:
    url, amqp_url = infra["DATABASE_URL"], infra["AMQP_URL"]
    async with open_broker(amqp_url) as broker, open_ledger(url) as ledger, open_repository(url) as repository:
        events = OrderEvents(repository, Tracing(None))
        bad = encode(reserved("bad"))

        async def fails(batch: Sequence[Delivery]) -> Sequence[Poison]:
            if any(delivery.body == bad for delivery in batch):
                raise ZeroDivisionError("a fault of ours")
            return await events(batch)

        await broker.publish(QUEUE, encode(reserved("a")), bad, encode(reserved("b")))
        await redeliver(amqp_url, QUEUE, 3)
        async with consuming(consumer(infra, fails)):
            await until(lambda: counted(ledger.count(), 2))
        parked = await broker.take_all(PARKED)
        assert headers(parked) == [("2-0", "failed")]
        assert "ZeroDivisionError: a fault of ours" in str(parked[0].headers["x-error"])
        assert await broker.take_all(QUEUE) == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from flashsale_consumer import Consumer, ConsumerSettings

async def die(batch):
    os.kill(os.getpid(), signal.SIGKILL)

url, notes = sys.argv[1:]
asyncio.run(Consumer(ConsumerSettings(url, "orders", 16, 1_000_000, 10, 10, Path(notes)), die).run())
"""


async def test_message_that_kills_its_worker_is_parked_after_three_deaths(infra: Mapping[str, str], tmp_path: Path) -> None:
    amqp_url, seen = infra["AMQP_URL"], list[bytes]()

    async def handle(batch: Sequence[Delivery]) -> Sequence[Poison]:
        seen.extend(delivery.body for delivery in batch)
        return []

    async with open_broker(amqp_url) as broker:
        await broker.publish(QUEUE, b"killer", b"good")
        await redeliver(amqp_url, QUEUE, 2)
        for _ in range(suspicious.CRASHES_MAX):
            worker = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, amqp_url, str(tmp_path))
            assert await worker.wait() == -signal.SIGKILL
        async with consuming(Consumer(ConsumerSettings(amqp_url, QUEUE, 16, 1_000_000, 10, 10, tmp_path), handle)):
            await until(lambda: counted(_count(amqp_url, PARKED), 1))
            await until(lambda: seen == [b"good"])
        (parked,) = await broker.take_all(PARKED)
        assert (parked.body, parked.headers["x-reason"]) == (b"killer", "crashed")
    assert os.listdir(tmp_path) == []


async def test_depth_of_a_parked_queue_is_a_metric(infra: Mapping[str, str]) -> None:
    async with open_broker(infra["AMQP_URL"]) as broker:
        watching = asyncio.create_task(watch_parked(Watch(infra["AMQP_URL"], PARKED, 10, 0.02)))
        await broker.publish(PARKED, b"a", b"b")
        await until(lambda: _depth() == 2)
        await broker.take_all(PARKED)
        await until(lambda: _depth() == 0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _depth() -> float:
    return next((sample.value for metric in PARKED_MESSAGES.collect() for sample in metric.samples if sample.labels["queue"] == PARKED), -1)


@pytest.fixture
async def parked(infra: Mapping[str, str]) -> list[str]:
    """The ids of three messages that a worker parked; the queue also has one message of another program."""

    async def poison(batch: Sequence[Delivery]) -> Sequence[Poison]:
        return [Poison(index, "rejected", "no such day") for index in range(len(batch))]

    async with open_broker(infra["AMQP_URL"]) as broker:
        await broker.publish(QUEUE, *[encode(reserved(name)) for name in "abc"])
        async with consuming(consumer(infra, poison)):
            await until(lambda: counted(_count(infra["AMQP_URL"], PARKED), 3))
        async with await aio_pika.connect(infra["AMQP_URL"]) as connection, connection.channel() as channel:
            await channel.default_exchange.publish(aio_pika.Message(b"\xff?"), PARKED)
    return ["1-0", "2-0", "3-0"]


async def _count(amqp_url: str, queue: str) -> int:
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0


async def count(infra: Mapping[str, str], queue: str) -> int:
    return await _count(infra["AMQP_URL"], queue)


async def run(infra: Mapping[str, str], *words: str, **env: str) -> tuple[int, Any]:
    """The exit status and the printed JSON. The command runs its own event loop, so it needs its own thread."""
    done = await asyncio.to_thread(CliRunner().invoke, app, ["parked", *words, "--json"], env={"AMQP_URL": infra["AMQP_URL"], **env})
    return done.exit_code, json.loads(done.stdout) if done.stdout.startswith("{") else done.output


async def test_list_and_show_leave_messages_parked(infra: Mapping[str, str], parked: list[str]) -> None:
    status, document = await run(infra, "list")
    orders, timeouts = document["queues"]
    assert (status, timeouts) == (0, {"queue": topology.PARKED_TIMEOUT_QUEUE, "messages": 0, "lookedAt": 0, "oldest": None, "reasons": {}})
    assert (orders["queue"], orders["messages"], orders["reasons"]) == (PARKED, 4, {"rejected": 3, "unknown": 1})
    assert (orders["oldest"]["id"], orders["oldest"]["parkedAt"][-1]) == ("1-0", "Z")
    status, document = await run(infra, "show", "2-0")
    (message,) = document["messages"]
    assert (status, message["origin"], message["error"], message["body"]) == (0, QUEUE, "no such day", encode(reserved("b")).decode())
    (foreign,) = [message for message in (await run(infra, "show"))[1]["messages"] if message["id"] not in parked]
    assert (foreign["reason"], foreign["body"], foreign["bodyBase64"]) == ("unknown", "\\xff?", "/z8=")
    assert (await run(infra, "show", "9-0"))[0] == 1
    assert [(await run(infra, "list", "--limit", "1"))[1]["queues"][0][name] for name in ("messages", "lookedAt")] == [4, 1]
    listed = await asyncio.to_thread(CliRunner().invoke, app, ["parked", "list"], env={"AMQP_URL": infra["AMQP_URL"]})
    assert "rejected 3" in listed.stdout


async def test_replayed_messages_reach_the_ledger_and_others_stay_parked(infra: Mapping[str, str], parked: list[str]) -> None:
    status, document = await run(infra, "replay", "2-0", "9-0")
    assert (status, await count(infra, PARKED), await count(infra, QUEUE)) == (1, 3, 1), document
    assert (await run(infra, "replay", "--all", "--queue", PARKED))[0] == 0
    assert (await count(infra, PARKED), await count(infra, QUEUE)) == (0, 4)
    url = infra["DATABASE_URL"]
    async with open_ledger(url) as ledger, open_repository(url) as repository:
        async with consuming(consumer(infra, OrderEvents(repository, Tracing(None)))):
            await until(lambda: counted(_count(infra["AMQP_URL"], PARKED), 1))
            await until(lambda: counted(ledger.count(), 3))
        assert await ledger.states() == dict.fromkeys("abc", "reserved")
    _, document = await run(infra, "show")
    assert [(message["reason"], message["origin"]) for message in document["messages"]] == [("undecodable", QUEUE)]


async def test_message_without_a_route_is_replayed_into_the_ledger(infra: Mapping[str, str]) -> None:
    url, queue = infra["DATABASE_URL"], topology.UNROUTED_QUEUE
    probe = aio_pika.Message(b"", expiration=timedelta(milliseconds=1))
    async with open_broker(infra["AMQP_URL"]) as broker, open_ledger(url) as ledger, open_repository(url) as repository:
        await broker.take_all(queue)
        # A payment window that the broker has no queue for, and a gateway's question for the policy behind the first order.
        await broker.announce("order.reserved.7", encode(reserved("a")))
        async with await aio_pika.connect(infra["AMQP_URL"]) as connection, connection.channel() as channel:
            await (await channel.get_exchange(topology.EVENTS_EXCHANGE)).publish(probe, "probe")
        await broker.announce("order.reserved.7", encode(reserved("b")))
        _, document = await run(infra, "show", "--queue", queue)
        messages = [(message["reason"], message["origin"], message["error"]) for message in document["messages"]]
        assert messages == [("unrouted", QUEUE, "no queue was bound to order.reserved.7")] * 2
        # `drop --all` and `replay --all` are for what workers parked.
        assert ((await run(infra, "drop", "--all", "--yes"))[1], await count(infra, queue)) == ({"dropped": []}, 2)
        status, document = await run(infra, "replay", "--all", "--queue", queue)
        assert (status, len(document["replayed"]), await count(infra, queue)) == (0, 2, 0)
        async with consuming(consumer(infra, OrderEvents(repository, Tracing(None)))):
            await until(lambda: counted(ledger.count(), 2))
        assert (await ledger.states(), await count(infra, PARKED)) == (dict.fromkeys("ab", "reserved"), 0)


async def test_drop_deletes_messages_and_requires_yes_for_all(infra: Mapping[str, str], parked: list[str]) -> None:
    for words in (["drop"], ["drop", "--all"], ["drop", "1-0", "--all"], ["replay"]):
        assert (await run(infra, *words))[0] == 2
    assert ((await run(infra, "drop", "1-0"))[0], await count(infra, PARKED), await count(infra, QUEUE)) == (0, 3, 0)
    # Entries of two streams may have one id: only the one that was looked at is deleted.
    async with await aio_pika.connect(infra["AMQP_URL"]) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"another", message_id="2-0"), PARKED)
    exact_ids = [message["exactId"] for message in (await run(infra, "show", "2-0"))[1]["messages"]]
    status, output = await run(infra, "drop", "2-0", "3-0")
    assert (status, "2 different messages" in output, await count(infra, PARKED)) == (2, True, 4)
    status, document = await run(infra, "drop", exact_ids[1])
    assert (status, [message["id"] for message in document["dropped"]], await count(infra, PARKED)) == (0, ["2-0"], 3)
    assert ((await run(infra, "drop", "2-0"))[0], await count(infra, PARKED)) == (0, 2)
    assert ((await run(infra, "drop", "--all", "--yes"))[0], await count(infra, PARKED)) == (0, 0)


async def test_drop_settles_the_positions_that_are_not_late(infra: Mapping[str, str]) -> None:
    async with open_broker(infra["AMQP_URL"]) as broker, open_ledger(infra["DATABASE_URL"]) as ledger:
        await ledger.connection.execute("insert into shards (shard, incarnation, first_seq, state, kept_seq) values (0, 1, 1, 'fenced', 7)")
        places = [Position(0, 1, 7), Position(0, 1, 8), Position(0, 2, 1_000_008)]
        await broker.publish(PARKED, join(encode(msgspec.structs.replace(reserved("a"), seq=place)) for place in places))
        status, document = await run(infra, "drop", "--all", "--yes", DATABASE_URL=infra["DATABASE_URL"])
        assert (status, await count(infra, PARKED)) == (0, 0), document
        assert await ledger.received() == [(0, 1, 7, 7), (0, 2, 1_000_008, 1_000_008)]


async def test_replay_without_its_route_loses_nothing(infra: Mapping[str, str], parked: list[str]) -> None:
    async def bind(there: bool) -> None:
        async with await aio_pika.connect(infra["AMQP_URL"]) as connection, connection.channel() as channel:
            queue = await channel.get_queue(QUEUE)
            key = topology.replay_routing_key(QUEUE)
            await (queue.bind if there else queue.unbind)(topology.PARKING_EXCHANGE, key)

    await bind(False)
    try:
        status, text = await run(infra, "replay", "--all")
    finally:
        await bind(True)
    assert (status, topology.CURE in text, await count(infra, PARKED)) == (3, True, 4), text


async def test_installation_is_upgraded_and_a_worker_user_can_replay(
    infra: Mapping[str, str], infra_stack: Stack, parked: list[str], tmp_path: Path
) -> None:
    # The broker has the definitions from before decision 0017 and then loads the current ones, with a user for each service.
    old = {"delivery-limit": 20, "dead-letter-exchange": topology.PARKING_EXCHANGE, "dead-letter-routing-key": QUEUE}
    control(infra_stack, "set_policy", "work-orders", "^orders$", json.dumps(old), "--apply-to", "queues")
    users = topology.service_users(dict.fromkeys(("gateway", "order-worker", "timeout-worker", "keeper"), topology.password_hash("word")))
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps(topology.definitions(users, [5])))
    control(infra_stack, "import_definitions", str(file))
    try:
        own = {"AMQP_URL": re.sub("//.*@", "//order-worker:word@", infra["AMQP_URL"])}
        assert (await run(own, "replay", "--all", "--queue", PARKED))[0] == 0
        await redeliver(infra["AMQP_URL"], QUEUE, 4)
        assert (await count(infra, QUEUE), (await run(own, "list", "--queue", PARKED))[1]["queues"][0]["messages"]) == (4, 0)
        status, text = await run(own, "show", "--queue", topology.PARKED_TIMEOUT_QUEUE)
        assert (status, text) == (0, {"messages": []})
        status, text = await run(own, "replay", "--all", "--queue", topology.UNROUTED_QUEUE)
        assert (status, text) == (0, {"replayed": []})
    finally:
        for user in users:
            control(infra_stack, "delete_user", user.name)


def test_broker_that_does_not_answer_is_named(infra: Mapping[str, str]) -> None:
    done = CliRunner().invoke(app, ["parked", "list"], env={"AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/"})
    assert (done.exit_code, "RabbitMQ" in done.output) == (3, True)
