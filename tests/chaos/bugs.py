"""Bugs that an engineer could make, as replacements of text: `flashsale chaos` must find each of them."""

from collections.abc import Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    file: str
    old: str
    """It occurs exactly once in the file."""
    new: str


class Bug(NamedTuple):
    name: str
    words: str
    edits: Sequence[Edit]
    kinds: Sequence[str]
    """The faults that it takes; all kinds are injected if it is empty."""


GATEWAY = "services/gateway/src/flashsale_gateway"
RECOVERY = "libs/recovery/src/flashsale_recovery"
CONSUMER = "libs/consumer/src/flashsale_consumer/consumer.py"
# Faults of Redis wait for each other, those of others do not: promotions would make a round last minutes.
LOSSES = ("redis.lost_disk", "redis.old_volume")
# Only these: then each loss takes something away.
LOSSES_ALONE = (*LOSSES, "redis.stale_promotion")
BROKER = ("net.delay", "net.drop_up", "net.drop_down", "net.blackhole")

BUGS: Sequence[Bug] = (
    Bug(
        "ack-before-commit",
        "A worker acknowledges its messages before it handles them.",
        (
            Edit(
                CONSUMER,
                "        results = await self._handle_until_durable([_delivery(message) for message in batch], consuming)\n",
                "        await batch[-1].ack(multiple=True)\n"
                "        results = await self._handle_until_durable([_delivery(message) for message in batch], consuming)\n",
            ),
            Edit(
                CONSUMER,
                "        async with asyncio.timeout(self._settings.amqp_timeout_seconds):\n"
                "            await batch[-1].ack(multiple=True)\n",
                "",
            ),
        ),
        ("crash", "kill"),
    ),
    Bug(
        "no-fence",
        "A script writes to every Redis that has a fence, whatever its state and history.",
        (Edit("lua/lib/fence.lua", "  local fault = fence_fault(f, known)\n", "  local fault = not f[1] and 'missing'\n"),),
        (*LOSSES, "kill"),
    ),
    Bug(
        "blind-release",
        "A hold that was cancelled is released once more when it is due.",
        (Edit("lua/expire.lua", "if not record or record[STATE] ~= 'R' or listed", "if not record or record[STATE] == 'P' or listed"),),
        (),
    ),
    Bug(
        "delete-before-confirm",
        "A gateway deletes an entry from its outbox when it publishes it, not when the broker has confirmed it.",
        (
            Edit(
                f"{GATEWAY}/outbox/direct.py",
                "        try:\n            await self._publisher.publish(message)\n",
                "        self._confirmed.extend(message)\n        self._cleanup_needed.set()\n"
                "        try:\n            await self._publisher.publish(message)\n",
            ),
            Edit(
                f"{GATEWAY}/outbox/direct.py",
                "            self._confirmed.extend(message)\n            self._confirms.confirm(message)\n",
                "            self._confirms.confirm(message)\n",
            ),
        ),
        ("kill", *BROKER),
    ),
    Bug(
        "webhook-before-confirm",
        "A webhook is answered once Redis has the payment.",
        (
            Edit(
                f"{GATEWAY}/decide.py",
                "            return [answer if isinstance(answer, Exception) else unconfirmed for answer in answers]\n",
                "            return answers\n",
            ),
            Edit(
                f"{GATEWAY}/decide.py",
                "else Provisional(answer, confirm, unconfirmed) for answer in answers]",
                "else answer for answer in answers]",
            ),
        ),
        (*LOSSES, "server.kill", "pause"),
    ),
    Bug(
        "order-before-confirm",
        "An order of a `confirmed` sale is answered once Redis has it.",
        (
            Edit(
                f"{GATEWAY}/decide.py",
                "        if not awaited:\n            return answers\n",
                "        if True:\n            return answers\n",
            ),
        ),
        ("node.lost",),
    ),
    Bug(
        "seq-restarts",
        "A new incarnation begins at position 1 again.",
        (Edit(f"{RECOVERY}/recovery.py", "else highest + SEQ_JUMP", "else 1"),),
        (*LOSSES, "kill"),
    ),
    Bug(
        "regression-accepted",
        "The keeper accepts the history of every Redis whose incarnation is the newest, and does not compare positions.",
        (
            Edit(f"{RECOVERY}/next_step.py", "    if fence.seq < highest:\n", "    if fence.seq < ledger.first_seq - 1:\n"),
            Edit("lua/attest.lua", "if f[1] == 'open' and known > tonumber(f[4]) then", "if false then"),
            Edit("lua/lib/fence.lua", "  elseif (tonumber(known) or 0) > tonumber(f[4]) then\n", "  elseif false then\n"),
        ),
        (*LOSSES, "kill"),
    ),
    Bug(
        "refunds-not-restored",
        "A rebuild forgets which payments of an order were refunded.",
        (
            Edit(
                f"{RECOVERY}/rebuild/join.py",
                "        refunded_payment_ids=refunded[:REFUNDS_MAX],\n",
                "        refunded_payment_ids=(),\n",
            ),
        ),
        (*LOSSES, "kill"),
    ),
    Bug(
        "publish-without-confirms",
        "A gateway takes an entry for confirmed once it is written to the socket.",
        (
            Edit(
                f"{GATEWAY}/outbox/relay.py",
                "connection.channel(publisher_confirms=True, on_return_raises=True)",
                "connection.channel(publisher_confirms=False)",
            ),
        ),
        ("net.drop_up", "net.cut", "net.reset", "net.blackhole", "server.kill"),
    ),
    Bug(
        "drain-skipped",
        "A rebuild reads the ledger before the queue has reached it, and waits for no entry.",
        (
            Edit(
                f"{RECOVERY}/recovery.py",
                "        await self._drain_all(started, say, every_worker=bool(attested.silent) or not witnesses.knew_all)\n",
                "",
            ),
            Edit(
                f"{RECOVERY}/recovery.py",
                "wait_for_entries(self._redis, self._ledger, expected, self._options.holes_seconds)",
                "wait_for_entries(self._redis, self._ledger, expected, 0)",
            ),
        ),
        LOSSES_ALONE,
    ),
    Bug(
        "deficit-ignored",
        "A rebuild restores all holds, also those whose units were sold again.",
        (Edit(f"{RECOVERY}/rebuild/deficit.py", "    return max(0, held + sold - total)\n", "    return 0\n"),),
        LOSSES_ALONE,
    ),
    Bug(
        "forged-accepted",
        "A gateway does not check who signed a buyer token.",
        (Edit("libs/core/src/flashsale_core/buyer_token.py", "            raise Rejected(FORGED)\n", "            pass\n"),),
        ("kill",),
    ),
    Bug(
        "price-ignored",
        "A payment of any amount pays an order.",
        (Edit("lua/settle.lua", "  return not change.price or payment[4]", "  return true or payment[4]"),),
        ("kill",),
    ),
)
