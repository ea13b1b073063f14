"""The sales whose end has passed. Nothing happens in Redis at that moment, so there is no message."""

from collections.abc import Sequence
from datetime import datetime

from flashsale_core.timestamps import rfc3339, to_ms
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import EndedSale, Place
from flashsale_notifier.shop_messages import ShopEvent, sale_ended
from flashsale_notifier.unpublished import Found, Page


def ended_sales(repository: Repository) -> Page:
    async def page(after: Place, until: datetime, limit: int) -> Sequence[Found]:
        return [Found(sale.place, [_event(sale)]) for sale in await repository.ended_sales(after, until, limit)]

    return page


def _event(sale: EndedSale) -> ShopEvent:
    return sale_ended(sale.sale_id, sale.epoch, to_ms(sale.ends_at), {"stock": sale.total, "endsAt": rfc3339(sale.ends_at)})
