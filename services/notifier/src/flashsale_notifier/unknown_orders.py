"""The refunds of payments whose order Redis did not know. It may have been paid by the same payment, and then the ledger has no refund."""

from collections.abc import Sequence
from datetime import datetime

from flashsale_core.timestamps import to_ms
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import Place, StrayRefund
from flashsale_notifier.shop_messages import ShopEvent, refund_due
from flashsale_notifier.unpublished import Found, Page


def unknown_orders(repository: Repository) -> Page:
    async def page(after: Place, until: datetime, limit: int) -> Sequence[Found]:
        return [Found(row.place, [_event(row)]) for row in await repository.stray_refunds(after, until, limit)]

    return page


def _event(row: StrayRefund) -> ShopEvent:
    money = {"reason": row.reason, "amountMinor": row.amount_minor, "currency": row.currency}
    return refund_due(row.sale_id, row.epoch, row.order_id, row.payment_id, to_ms(row.created_at), money)
