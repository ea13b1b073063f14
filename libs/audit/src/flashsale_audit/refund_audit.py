"""Compares the refunded payments that orders remember in Redis with the ledger: a payment that is forgotten could buy units later.

An order forgets none, and the ledger deletes no payment of a live sale. So a payment that an order remembered before the ledger caught up
must be in the ledger, and a refund that was read in the ledger must be remembered by the order afterwards.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from flashsale_audit import compare
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.differences import Difference, Findings
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RedisReader
from flashsale_audit.refund_rows import PAGE, Refund
from flashsale_audit.skipped import ShardNotOpenError, Skipped


@dataclass(slots=True)
class RememberedRefunds:
    """The refunded payments in Redis that the ledger does not have."""

    ledger: LedgerReader
    catch_up: CatchUp
    sale_id: str
    findings: Findings
    _unread: list[Refund] = field(default_factory=list)

    async def add(self, refunded: Mapping[str, Sequence[str]]) -> None:
        self._unread += [(order_id, payment_id) for order_id, payments in refunded.items() for payment_id in payments]
        if len(self._unread) >= PAGE:
            await self.finish()

    async def finish(self) -> None:
        """Compare what is left."""
        missing, self._unread = await self._without_row(self._unread), []
        held: Sequence[Refund] = ()
        if missing:
            async for _ in self.catch_up.rounds():
                held = missing = await self._without_row(missing)
                if not held:
                    break
        self.findings.add(compare.compare_remembered(self.sale_id, held))

    async def _without_row(self, refunds: Sequence[Refund]) -> list[Refund]:
        return await self.ledger.refunds.without_payment(self.sale_id, refunds)


@dataclass(frozen=True, slots=True)
class ForgottenRefunds:
    """The refunds of the ledger that their orders in Redis do not remember."""

    redis: RedisReader
    ledger: LedgerReader
    skipped: Skipped

    async def pages(self, epochs: Mapping[str, int]) -> AsyncIterator[Sequence[Difference]]:
        """The differences of the sales with these epochs, a page of refunds at a time. They are read once, whatever the number of sales."""
        async for page in self.ledger.refunds.pages(epochs):
            yield [each for sale_id, refunds in page.items() for each in await self._compared(sale_id, epochs[sale_id], refunds)]

    async def _compared(self, sale_id: str, epoch: int, refunds: Sequence[Refund]) -> Sequence[Difference]:
        remembered = await self.redis.refunded(sale_id, [order_id for order_id, _ in refunds])
        suspects = [(order_id, payment_id) for order_id, payment_id in refunds if payment_id not in remembered.get(order_id, ())]
        differences: list[Difference] = []
        try:
            # Each order in one look only, however many of its refunds are suspects.
            async for look in self.redis.looks(sale_id, list(dict.fromkeys(order_id for order_id, _ in suspects))):
                if look.counters is not None and look.counters.epoch == epoch:
                    differences += compare.compare_forgotten(sale_id, suspects, look.records, look.refunded)
        except (ShardNotOpenError, ValueError) as error:
            # A sale that could be read before: the next round names what is wrong with it.
            self.skipped.add(sale_id, error)
        return differences
