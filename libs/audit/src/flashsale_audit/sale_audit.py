"""The audit of one sale: all its orders are read, but only a page of them is in memory at a time."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import getrandbits

from flashsale_audit import compare
from flashsale_audit.buyer_audit import BuyerAudit
from flashsale_audit.buyers import BuyerPass
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.confirm import confirmed
from flashsale_audit.differences import Difference, Findings
from flashsale_audit.facts import Counters, OrderTotals, SaleNumbers, TotalsByState
from flashsale_audit.ledger_audit import LedgerAudit
from flashsale_audit.look import Look, totals
from flashsale_audit.motion import Motion, compare_sums
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RedisReader
from flashsale_audit.skipped import Skipped
from flashsale_core.orders import State


@dataclass(slots=True)
class OrderPass:
    """One pass over all orders of a sale: its sums, and the counters at its first and last page."""

    looks: list[Counters] = field(default_factory=list)
    orders: int = 0
    sums: dict[State, OrderTotals] = field(default_factory=dict)

    def add(self, page: Look, counters: Counters) -> None:
        self.looks = [*self.looks[:1], counters]
        self.orders += len(page.records) + len(page.unreadable)
        for state, total in totals(page.records).items():
            self.sums[state] = self.sums.get(state, OrderTotals()) + total

    @property
    def motion(self) -> Motion:
        return Motion(self.looks[0], self.looks[-1])

    @property
    def each_once(self) -> bool:
        """Whether the number of orders fits. While Redis shrinks a hash, a scan may return an order twice."""
        return self.orders <= self.looks[-1].orders


@dataclass(frozen=True, slots=True)
class SaleAudit:
    redis: RedisReader
    ledger: LedgerReader
    catch_up: CatchUp
    counters: Counters
    grace_ms: int
    findings: Findings
    pace: Callable[[], Awaitable[None]]
    skipped: Skipped

    async def run(self) -> SaleNumbers | None:
        """None if the sale was removed, replaced or recovered while it was read; then nothing is known about it."""
        findings = Findings()
        order_pass, buyers = OrderPass(), BuyerPass(getrandbits(32) | 1)
        ledger = LedgerAudit(self.redis, self.ledger, self.catch_up, self.sale_id, self.epoch, findings, self.pace)
        if not await self._read_orders(order_pass, buyers, ledger, findings):
            return None
        await ledger.finish()
        await BuyerAudit(self.redis, self.sale_id, findings, self.pace, self.skipped).run(buyers)
        if not await self._report(findings):
            return None
        findings.add(await confirmed(self._read_definition, self.catch_up))
        findings.add(await confirmed(self._read_history, self.catch_up))
        findings.add(await self._totals(order_pass))
        sums = await self.ledger.sums(self.sale_id, self.epoch)
        if sum(total.orders for total in sums.values()) != ledger.in_ledger:
            await ledger.name_missing()
        if not await self._report(findings):
            return None
        return SaleNumbers(order_pass.looks[-1], order_pass.sums, sums)

    @property
    def sale_id(self) -> str:
        return self.counters.sale_id

    @property
    def epoch(self) -> int:
        return self.counters.epoch

    async def _read_orders(self, order_pass: OrderPass, buyers: BuyerPass, ledger: LedgerAudit, findings: Findings) -> bool:
        """False if the sale is not the same at each page."""
        counters = self.counters
        async for page in self.redis.look_pages(self.sale_id):
            if page.counters is None or not self._is_same(page.counters):
                return False
            counters = page.counters
            order_pass.add(page, counters)
            buyers.add(page)
            overdue_before_ms = page.now_ms - self.grace_ms
            findings.add(compare.compare_page(self.sale_id, page.records, page.unreadable, page.deadlines, overdue_before_ms))
            await ledger.add_page(page.records, page.unreadable)
            if not findings.clean() and not await self._report(findings):
                return False
            await self.pace()
        findings.add(compare.compare_counters(counters))
        if order_pass.motion.same_sale and order_pass.each_once:
            findings.add(compare_sums(order_pass.motion, order_pass.sums))
        return True

    async def _report(self, findings: Findings) -> bool:
        """Move what was found into the report, while the sale is still the same; False if it is not."""
        if not self._is_same(await self.redis.counters(self.sale_id)):
            return False
        self.findings.merge(findings)
        findings.counts.clear()
        findings.samples.clear()
        return True

    async def _read_definition(self) -> Sequence[Difference]:
        before = await self.redis.counters(self.sale_id)
        row = await self.ledger.sale(self.sale_id, self.epoch)
        after = await self.redis.counters(self.sale_id)
        if before is None or after is None or before.definition != after.definition:
            return ()
        return list(compare.compare_definition(before, row))

    async def _read_history(self) -> Sequence[Difference]:
        return list(compare.compare_history(self.sale_id, await self.ledger.history(self.sale_id, self.epoch)))

    async def _totals(self, order_pass: OrderPass) -> Sequence[Difference]:
        """The sums of both stores can be compared only while nothing moves. Otherwise the orders were compared one by one."""
        held: Sequence[Difference] = ()
        if not order_pass.motion.still:
            return held
        async for _ in self.catch_up.rounds():
            sums: TotalsByState = await self.ledger.sums(self.sale_id, self.epoch)
            now = await self.redis.counters(self.sale_id)
            if now is None or not Motion(order_pass.looks[0], now).still:
                return ()
            held = list(compare.compare_totals(now, order_pass.sums, sums))
            if not held:
                break
        return held

    def _is_same(self, counters: Counters | None) -> bool:
        return counters is not None and (counters.epoch, counters.incarnation) == (self.epoch, self.counters.incarnation)
