"""Returns of orders whose sale was removed from Redis: only the ledger knows them then, and only a refund is left to do."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from flashsale_core.ids import OrderRef
from flashsale_ledger import PoolConnection
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES
from flashsale_ledger_api.refund_changes import Reason
from flashsale_ledger_api.refunds import show


class ReturnRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/orders/{id}/return."""

    reason: Annotated[Reason, Meta(description="Why the order is returned; it is kept in the refund's history")]


async def return_order(connection: PoolConnection, order: OrderRef, reason: str, who: str) -> tuple[dict[str, Any], bool]:
    """Mark the order as returned, and make the refund of its payment due. Call in a transaction.

    Returns the refund with its history, and whether the order was returned before. Its units stay sold.
    Raises Problem: unknown_order, sale_not_removed, not_paid, or not_ready while the ledger lacks the payment.
    """
    row = await connection.fetchrow(QUERIES["lock_order"], order.sale_id, order.order_id)
    if row is None:
        raise Problem("unknown_order", f"No order {order}")
    is_repeat = row["state"] == "returned"
    if not is_repeat:
        _check(row)
        await connection.execute(QUERIES["return_order"], order.sale_id, row["epoch"], order.order_id, who, reason)
    refund_id = await connection.fetchval(QUERIES["refund_of_order"], order.sale_id, row["epoch"], order.order_id)
    if refund_id is None:
        raise Problem("not_ready", "The payment of this order is still on its way to the ledger")
    return await show(connection, refund_id), is_repeat


def _check(row: Any) -> None:
    if row["sale_state"] != "removed":
        raise Problem("sale_not_removed", "Send this to the gateway, which can also put the units on sale again")
    if row["state"] != "paid":
        raise Problem("not_paid", f"The order is {row['state']}")
    if row["result"] != "paid":
        raise Problem("not_ready", "The payment of this order is still on its way to the ledger")
