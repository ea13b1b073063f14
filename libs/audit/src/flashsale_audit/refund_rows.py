"""Reads the refunds of the ledger that orders in Redis remember. They are read by their number, for no index leads to those of a sale."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

Refund = tuple[str, str]
"""An order and a payment for it."""
PAGE = 2000
# As in read_ledger.py, the lateral join forces one index lookup for each.
_WITHOUT_PAYMENT = """
    select wanted.order_id, wanted.payment_id from unnest($2::text[], $3::text[]) as wanted (order_id, payment_id)
      left join lateral (
        select true as is_known from payments p
         where (p.payment_id, p.sale_id, p.order_id) = (wanted.payment_id, $1, wanted.order_id) and p.result <> 'failed' limit 1
    ) known on true where is_known is null
"""
# Payments of unknown orders are strays in Redis, and the refund of a returned order is that of the payment that bought it.
# `is true` keeps the planner from a join, which would sort all refunds for each page.
_PAGE = """
    select refund_id, sale_id, order_id, payment_id from refunds
     where refund_id > $1 and reason not in ('unknown_order', 'returned')
       and ((sale_id, epoch) in (select * from unnest($2::text[], $3::bigint[]))) is true
     order by refund_id limit $4
"""


@dataclass(frozen=True, slots=True)
class RefundRows:
    database: "asyncpg.Connection[asyncpg.Record]"

    async def without_payment(self, sale_id: str, refunds: Sequence[Refund]) -> list[Refund]:
        """Those among them whose payment the ledger does not have."""
        # Postgres refuses a text with this character.
        strange = [refund for refund in refunds if "\0" in "".join(refund)]
        known = [refund for refund in refunds if refund not in strange] if strange else refunds
        columns = [order_id for order_id, _ in known], [payment_id for _, payment_id in known]
        rows = await self.database.fetch(_WITHOUT_PAYMENT, sale_id, *columns) if known else []
        return [*strange, *[(order_id, payment_id) for order_id, payment_id in rows]]

    async def pages(self, epochs: Mapping[str, int]) -> AsyncIterator[dict[str, list[Refund]]]:
        """The refunds of these epochs by sale, without those that orders do not remember."""
        last = 0
        while epochs and (rows := await self.database.fetch(_PAGE, last, list(epochs), list(epochs.values()), PAGE)):
            page: dict[str, list[Refund]] = {}
            for _, sale_id, order_id, payment_id in rows:
                page.setdefault(sale_id, []).append((order_id, payment_id))
            yield page
            last = rows[-1]["refund_id"]
