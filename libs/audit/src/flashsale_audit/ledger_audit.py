"""Compares the orders of a sale in Redis with those in the ledger."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from flashsale_audit import compare
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.differences import Difference, Findings, Kind
from flashsale_audit.lines import Columns, columns_of, joined, read_line
from flashsale_audit.look import Look
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RedisReader
from flashsale_audit.records import Record
from flashsale_audit.refund_audit import RememberedRefunds
from flashsale_audit.scan import OrderPage

PAGE = 5000
"""Orders of one query, about 30 ms of Postgres: each query costs the auditor as much as some hundred orders."""
COUNT_TRIES = 3
"""How often orders are counted again because one was reserved in the millisecond of the look."""
SUSPECTS_MAX = 200
LOOK_MAX = 2000
SUSPECT_SECONDS = 2.0
"""How long an order that differs may wait for others, before they are judged together."""


@dataclass(slots=True)
class LedgerAudit:
    redis: RedisReader
    ledger: LedgerReader
    catch_up: CatchUp
    sale_id: str
    epoch: int
    findings: Findings
    pace: Callable[[], Awaitable[None]]
    refunds: RememberedRefunds
    in_ledger: int = 0
    """Orders of the pages that were in the ledger."""
    without_row: int = 0
    """Orders in Redis that are not in the ledger, which was proven."""
    _unread: list[Columns] = field(default_factory=list)
    _suspects: dict[str, Record] = field(default_factory=dict)
    _suspected_at: float = 0.0

    async def add_look(self, look: Look) -> None:
        """Compare the orders of a look. Those that differ are compared again once the ledger has caught up."""
        if look.unreadable:
            known = len(await self.ledger.orders(self.sale_id, self.epoch, look.unreadable))
            self.in_ledger += known
            self.without_row += len(look.unreadable) - known
        columns, others = columns_of(look.records)
        self._suspect(others)
        await self._add(columns, look.refunded)

    async def add_page(self, page: OrderPage) -> None:
        """As `add_look`, for the orders in the columns of a page."""
        await self._add(page.columns, page.refunded)

    async def _add(self, columns: Columns, refunded: Mapping[str, Sequence[str]]) -> None:
        if columns.size:
            self._unread.append(columns)
        if sum(page.size for page in self._unread) >= PAGE:
            await self._compare()
        if len(self._suspects) >= SUSPECTS_MAX or (self._suspects and monotonic() - self._suspected_at > SUSPECT_SECONDS):
            await self._judge()
        await self.refunds.add(refunded)

    async def finish(self) -> None:
        """Compare and judge what is left."""
        await self._compare()
        await self._judge()
        await self.refunds.finish()

    async def _compare(self) -> None:
        columns, self._unread = joined(self._unread), []
        unlike, missing = await self.ledger.unlike(self.sale_id, self.epoch, columns)
        self.in_ledger += columns.size - missing
        self._suspect({order_id: read_line(line) for order_id, line in unlike.items()})

    def _suspect(self, records: Mapping[str, Record]) -> None:
        if records and not self._suspects:
            self._suspected_at = monotonic()
        self._suspects |= records

    async def _judge(self) -> None:
        suspects = list(self._suspects.items())
        self._suspects = {}
        # One look cannot read more.
        for first in range(0, len(suspects), LOOK_MAX):
            differences = await self._confirmed(dict(suspects[first : first + LOOK_MAX]))
            self.without_row += sum(difference.kind is Kind.ORDER_MISSING_IN_LEDGER for difference in differences)
            self.findings.add(differences)

    async def may_lack_orders(self) -> bool:
        """Whether Redis may lack an order that the ledger has: at a moment of Redis' clock, their numbers did not fit."""
        fits = False
        for _ in range(COUNT_TRIES):
            look = await self.redis.look(self.sale_id)
            if look.counters is None or not await self.catch_up.received():
                return True
            rows = await self.ledger.as_of.orders(self.sale_id, self.epoch, look.now_ms)
            fits = rows.before <= look.counters.orders - self.without_row <= rows.with_moment
            if rows.before == rows.with_moment:
                break
        return not fits

    async def name_missing(self) -> None:
        """Name the ledger's orders that are not in Redis. The ledger is read first, so it cannot be ahead."""
        async for rows in self.ledger.order_pages(self.sale_id, self.epoch):
            known = await self.redis.known(self.sale_id, list(rows))
            self.findings.add(compare.compare_missing(self.sale_id, rows, known))
            await self.pace()

    async def _confirmed(self, suspects: Mapping[str, Record]) -> list[Difference]:
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
