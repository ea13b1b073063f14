"""The demo's provider pays back what is due, and reports it as a provider does: with signed webhooks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from aiohttp import ClientSession

from flashsale_cli.payments import Provider, RefundReport
from flashsale_cli.refunds_client import Refund, RefundsClient

LOOK_SECONDS = 0.25
SETTLE_SECONDS = 30.0
REFUNDS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Refunds:
    """The refunds of the demo's sale: how many the buyers' answers promised, were sent, and are still open."""

    expected: int = 0
    sent: int = 0
    open: int = 0

    @property
    def settled(self) -> bool:
        return self.sent >= self.expected and not self.open


def promised(results: Mapping[str, int]) -> int:
    """How many refunds these answers to payments promise. A replayed answer repeats the promise of the first one."""
    return sum(count for name, count in results.items() if name.startswith("refund_due") and "replayed" not in name)


async def settle(client: RefundsClient, session: ClientSession, provider: Provider, product_id: str, expected: int) -> Refunds:
    """Report each refund once it is due, until all are sent or SETTLE_SECONDS have passed. Raises Retryable and Rejected."""
    give_up_at, reported = monotonic() + SETTLE_SECONDS, set[str]()
    while True:
        refunds = await client.list(["due", "sent", "failed"], None, product_id, REFUNDS_MAX)
        waiting = [refund for refund in refunds if refund["state"] != "sent"]
        outcome = Refunds(expected, len(refunds) - len(waiting), len(waiting))
        if outcome.settled or monotonic() > give_up_at:
            return outcome
        for refund in waiting:
            if refund["refundId"] not in reported and await _report(refund, session, provider):
                reported.add(refund["refundId"])
        await asyncio.sleep(LOOK_SECONDS)


async def _report(refund: Refund, session: ClientSession, provider: Provider) -> bool:
    """Whether the gateway has accepted the report."""
    report = RefundReport(refund["orderId"], refund["paymentId"], f"re-{refund['refundId']}", refund["amountMinor"], refund["currency"])
    return (await provider.send(session, report)).startswith("noted")
