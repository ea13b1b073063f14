"""Definitions that a merchant was answered and the ledger does not have: they were in an entry that was lost. Pure.

They are not confirmed in either durability, so even a `confirmed` sale may lose them, within the reported entries. But it sells no unit
before the definition with that unit is confirmed (decision 0033), so only an `fsync` sale may lose orders with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.sales import Sale
from flashsale_chaos.verdict.regressions import Regression


def lost_definitions(sales: Iterable[Sale], calls: Sequence[Call], totals: Mapping[str, int]) -> Iterator[Regression]:
    """`totals` has the stock of each sale in the ledger. A merchant only adds units, so the ledger must have the highest answered stock."""
    for sale in sales:
        defined = [call for call in calls if call.ask is Ask.DEFINE and call.sale == sale.sale_id]
        answered = max((call for call in defined if call.status in (200, 201)), key=lambda call: call.quantity, default=None)
        kept = totals.get(sale.sale_id, 0)
        if answered is not None and answered.quantity > kept:
            since = min(call.began for call in defined if call.quantity == answered.quantity)
            words = f"its definition with {answered.quantity} units was answered, and the ledger has {kept}"
            yield Regression(sale.sale_id, answered, since, is_order=False, words=words)


def unknown_sales(sales: Iterable[Sale], totals: Mapping[str, int]) -> set[str]:
    """The sales of which even the first definition was lost: their orders are lost with them."""
    return {sale.sale_id for sale in sales if sale.sale_id not in totals}
