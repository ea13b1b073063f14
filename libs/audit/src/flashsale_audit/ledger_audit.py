"""Compares the orders of a sale in Redis with those in the ledger."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from flashsale_audit import compare
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.differences import Difference, Findings
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RedisReader
from flashsale_core.records import OrderRecord

SUSPECTS_MAX = 200


@dataclass(slots=True)
class LedgerAudit:
    redis: RedisReader
    ledger: LedgerReader
    catch_up: CatchUp
    sale_id: str
    epoch: int
    findings: Findings
    pace: Callable[[], Awaitable[None]]
    in_ledger: int = 0
    """Orders of the pages that were in the ledger."""
    _suspects: dict[str, OrderRecord] = field(default_factory=dict)

    async def add_page(self, records: Mapping[str, OrderRecord], unreadable: Sequence[str]) -> None:
        """Compare a page of orders. Those that differ are compared again once the ledger has caught up."""
        rows = await self.ledger.orders(self.sale_id, self.epoch, [*records, *unreadable])
        self.in_ledger += len(rows)
        self._suspects |= {order_id: record for order_id, record in records.items() if compare.differs(record, rows.get(order_id))}
        if len(self._suspects) >= SUSPECTS_MAX:
            await self.finish()

    async def finish(self) -> None:
        """Judge the orders that differed."""
        suspects, self._suspects = self._suspects, {}
        self.findings.add(await self._confirmed(suspects))

    async def name_missing(self) -> None:
        """Name the ledger's orders that are not in Redis. The ledger is read first, so it cannot be ahead."""
        async for rows in self.ledger.order_pages(self.sale_id, self.epoch):
            known = await self.redis.known(self.sale_id, list(rows))
            self.findings.add(compare.compare_missing(self.sale_id, rows, known))
            await self.pace()

    async def _confirmed(self, suspects: Mapping[str, OrderRecord]) -> list[Difference]:
        held: list[Difference] = []
        if not suspects:
            return held
        async for _ in self.catch_up.rounds():
            rows = await self.ledger.orders(self.sale_id, self.epoch, list(suspects))
            after = (await self.redis.look(self.sale_id, list(suspects))).records
            held = [
                difference
                for order_id, before in suspects.items()
                for difference in compare.compare_row(f"{self.sale_id}.{order_id}", before, rows.get(order_id), after.get(order_id, before))
            ]
            if not held:
                break
        return held
