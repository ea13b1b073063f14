"""The orders that the ledger-api returned because Redis no longer has their sale. It has no broker, so there is no message."""

from collections.abc import Sequence
from datetime import datetime

from flashsale_core.messages import OrdersReturned, ReturnedLine
from flashsale_core.timestamps import to_ms
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import LateReturn, Place
from flashsale_notifier.shop_messages import events_of
from flashsale_notifier.unpublished import Found, Page


def late_returns(repository: Repository) -> Page:
    async def page(after: Place, until: datetime, limit: int) -> Sequence[Found]:
        rows = await repository.late_returns(after, until, limit)
        return [Found(row.place, events_of([_message(row)], with_reserved=False)) for row in rows]

    return page


def _message(row: LateReturn) -> OrdersReturned:
    """What the gateway would have published, so that a shop receives the same events."""
    line = ReturnedLine(row.order_id, row.user_id, row.quantity, to_ms(row.deadline), row.payment_id, row.is_restocked)
    return OrdersReturned(v=1, sale=row.sale_id, epoch=row.epoch, at=to_ms(row.at), orders=[line])
