"""A queue of its own that gets every message of the outboxes, so that a history can be replayed by positions.

It is durable and bound as the queue `orders` is, so a message that the broker has confirmed is in it as well.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import aio_pika
import msgspec

from flashsale_chaos.verdict.facts import Line
from flashsale_core import messages
from flashsale_core.errors import Retryable
from flashsale_core.messages import LedgerMarker, PaymentRefunded, Position
from flashsale_core.topology import EVENTS_EXCHANGE
from flashsale_local_stack import Stack, binaries, configs
from flashsale_local_stack.state import load

QUEUE = "chaos.tap"
CREATE_SECONDS = 60.0
READ_SECONDS = 20.0


def create_tap(stack: Stack) -> None:
    """Create the queue in the stack's broker, which must run. Raises Retryable."""
    state, path = load(stack.home), stack.home / "rabbitmq" / "tap.json"
    if state is None:
        raise Retryable(f"there is no stack in {stack.home}")
    path.write_bytes(msgspec.json.encode(_definitions()))
    environment = configs.rabbitmq_env(state, str(stack.home), {"PATH": os.environ["PATH"]})
    command = [str(Path(binaries.rabbitmq_server()).with_name("rabbitmqctl")), "--quiet", "import_definitions", str(path)]
    done = subprocess.run(command, env=environment, cwd=path.parent, capture_output=True, text=True, check=False, timeout=CREATE_SECONDS)
    if done.returncode != 0:
        raise Retryable(f"the broker did not create {QUEUE}: {done.stdout}{done.stderr}")


async def read_tap(amqp_url: str) -> list[messages.Message]:
    """Take all messages that are in the queue. A message that was published twice is there twice. Raises TimeoutError and AMQP's errors."""
    taken: list[messages.Message] = []
    async with asyncio.timeout(READ_SECONDS), await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE, passive=True)
        left = queue.declaration_result.message_count or 0
        if left == 0:
            return []
        async with queue.iterator() as deliveries:
            async for delivery in deliveries:
                taken += messages.read(delivery.body).messages
                left -= 1
                if left == 0:
                    await delivery.ack(multiple=True)
                    return taken
    return taken


class TappedLines:
    """The lines of the entries of one shard since its sales began, each entry once."""

    def __init__(self) -> None:
        self._sales: Sequence[str] = ()
        self._entries: dict[Position, list[messages.Message]] = {}

    def add(self, taken: Iterable[messages.Message], shard: int, sales: Sequence[str]) -> None:
        """Add what was taken. With other sales than before, the entries of the former ones are dropped."""
        if sales != self._sales:
            self._sales, self._entries = sales, {}
        new: dict[Position, list[messages.Message]] = {}
        for message in taken:
            if not isinstance(message, LedgerMarker | PaymentRefunded) and message.seq is not None and message.seq.shard == shard:
                lines = new.setdefault(message.seq, [])
                if message not in lines:
                    lines.append(message)
        self._entries |= {position: lines for position, lines in new.items() if position not in self._entries}

    def lines(self) -> list[Line]:
        return [
            Line(position, place, message) for position in sorted(self._entries) for place, message in enumerate(self._entries[position])
        ]


def _definitions() -> dict[str, object]:
    queue = {"name": QUEUE, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
    keys = ("order.reserved.*", "order.expired", "order.cancelled", "payment.recorded", "sale.*")
    bindings = [
        {"source": EVENTS_EXCHANGE, "vhost": "/", "destination": QUEUE, "destination_type": "queue", "routing_key": key, "arguments": {}}
        for key in keys
    ]
    return {"queues": [queue], "bindings": bindings}
