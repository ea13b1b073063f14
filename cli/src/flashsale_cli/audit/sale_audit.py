"""The audit of one sale: all its orders are read, but only a page of them is in memory at a time."""

from collections import Counter
from dataclasses import dataclass, field
from zlib import crc32

from flashsale_cli.audit import compare
from flashsale_cli.audit.differences import Difference, Findings, Kind
from flashsale_cli.audit.facts import Counters, OrderTotals, SaleNumbers
from flashsale_cli.audit.read_ledger import LedgerReader
from flashsale_cli.audit.read_redis import Page, RedisReader
from flashsale_core.orders import State

BUYERS_IN_MEMORY_MAX = 500_000
SCANS_MAX = 3


@dataclass(slots=True)
class Scan:
    """The results of one pass over all orders."""

    orders: int = 0
    in_ledger: int = 0
    sums: dict[State, OrderTotals] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)

    def add(self, page: Page) -> None:
        self.orders += len(page.records) + len(page.unreadable)
        for record in page.records.values():
            self.sums[record.state] = self.sums.get(record.state, OrderTotals()) + OrderTotals(1, record.quantity)


@dataclass(frozen=True, slots=True)
class SaleAudit:
    redis: RedisReader
    ledger: LedgerReader
    counters: Counters
    grace_ms: int
    findings: Findings

    async def run(self) -> SaleNumbers:
        scan = await self._scan_orders()
        ledger = await self.ledger.sale(self.counters.sale_id, self.counters.epoch)
        self.findings.merge(scan.findings)
        self.findings.add(compare.compare_counters(self.counters, scan.sums))
        self.findings.add(compare.compare_ledger(self.counters, scan.sums, ledger))
        if sum(total.orders for total in ledger.sums.values()) != scan.in_ledger:
            await self._name_missing()
        await self._compare_buyers()
        return SaleNumbers(self.counters, scan.sums, ledger.sums)

    async def _scan_orders(self) -> Scan:
        """Read all orders, again if Redis returned an order twice, which can happen while it resizes the hash."""
        scan = Scan()
        for _ in range(SCANS_MAX):
            scan = Scan()
            async for page in self.redis.order_pages(self.counters.sale_id):
                await self._compare_page(page, scan)
            if scan.orders == await self.redis.order_count(self.counters.sale_id):
                break
        return scan

    async def _compare_page(self, page: Page, scan: Scan) -> None:
        sale_id = self.counters.sale_id
        rows = await self.ledger.orders(sale_id, self.counters.epoch, [*page.records, *page.unreadable])
        held = [order_id for order_id, record in page.records.items() if record.state is State.RESERVED]
        deadlines = await self.redis.deadlines(sale_id, held)
        overdue_before_ms = await self.redis.now_ms() - self.grace_ms
        scan.add(page)
        scan.in_ledger += len(rows)
        scan.findings.add(compare.compare_orders(self.counters, page.records, rows, deadlines, overdue_before_ms))
        scan.findings.add(
            Difference(Kind.RECORD_UNREADABLE, f"{sale_id}.{order_id}", "the record cannot be read") for order_id in page.unreadable
        )

    async def _name_missing(self) -> None:
        sale_id = self.counters.sale_id
        async for rows in self.ledger.order_pages(sale_id, self.counters.epoch):
            self.findings.add(compare.compare_missing(sale_id, rows, await self.redis.orders(sale_id, list(rows))))

    async def _compare_buyers(self) -> None:
        """Compare the units of each buyer, in passes of at most about BUYERS_IN_MEMORY_MAX buyers each."""
        sale_id = self.counters.sale_id
        parts = 1 + await self.redis.buyer_count(sale_id) // BUYERS_IN_MEMORY_MAX
        for part in range(parts):
            expected = await self._tally_buyers(part, parts)
            noted: dict[str, int] = {}
            async for buyers in self.redis.buyer_pages(sale_id):
                noted |= {user: units for user, units in buyers.items() if _part(user, parts) == part}
            self.findings.add(compare.compare_buyers(sale_id, expected, noted))

    async def _tally_buyers(self, part: int, parts: int) -> Counter[str]:
        units: Counter[str] = Counter()
        for _ in range(SCANS_MAX):
            units, orders = Counter(), 0
            async for page in self.redis.order_pages(self.counters.sale_id):
                orders += len(page.records) + len(page.unreadable)
                for record in page.records.values():
                    if record.state in compare.HOLDING and _part(record.user_id, parts) == part:
                        units[record.user_id] += record.quantity
            if orders == await self.redis.order_count(self.counters.sale_id):
                break
        return units


def _part(user: str, parts: int) -> int:
    return crc32(user.encode()) % parts
