"""Orders: found by their id or by their buyer, each with its history."""

import asyncio
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flashsale_console import requests
from flashsale_console.answers import PageError, page
from flashsale_console.requests import LATEST, PAGE_SIZE, Key
from flashsale_console.services import console_of
from flashsale_core.errors import Retryable
from flashsale_core.ids import ID_LENGTH_MAX, OrderRef, parse_order_ref


async def search(request: Request) -> Response:
    """The orders of the buyer whose id the text is. An order id leads to the order, unless a buyer has such an id."""
    values = requests.query(request, ("q", "after"))
    text = values.get("q", "")[:ID_LENGTH_MAX]
    order = parse_order_ref(text)
    after = requests.read_key(values["after"], 2) if "after" in values else Key(LATEST, ("", ""))
    shown: dict[str, Any] = {"q": text, "orders": [], "next": None, "is_first": "after" not in values, "order": order}
    if text:
        rows = await console_of(request).ledger.rows("orders_of_buyer", text, after.at, *after.parts, PAGE_SIZE + 1)
        if order is not None and not rows and "after" not in values:
            return RedirectResponse(f"/orders/{order}", 303)
        shown["orders"] = rows[:PAGE_SIZE]
        if len(rows) > PAGE_SIZE:
            last = rows[PAGE_SIZE - 1]
            shown["next"] = requests.link("/orders", q=text, after=Key(last["updated_at"], (last["sale_id"], last["order_id"])))
    return page(request, "orders.html", shown)


class Known(NamedTuple):
    """What Redis and the ledger have of an order; at least one of them has it."""

    order: OrderRef
    row: Any
    live: Any

    # Redis decides, so its record counts before the ledger's row.
    @property
    def quantity(self) -> int:
        return int(self.live.quantity if self.live else self.row["quantity"])

    @property
    def buyer(self) -> str:
        return str(self.live.user_id if self.live else self.row["user_id"])


async def show(request: Request) -> Response:
    console, ledger = console_of(request), console_of(request).ledger
    done = requests.query(request, ("done",)).get("done", "")
    order, row, live = known = await find(request)
    shown: dict[str, Any] = {"order": order, "row": row, "live": live, "events": [], "refunds": [], "reported": None, "done": done}
    if row is not None:
        payments = [row["payment_id"]] if row["payment_id"] else []
        payments += list(live.refunded_payment_ids) if live else []
        shown["events"] = await ledger.rows("order_events", order.sale_id, row["epoch"], order.order_id)
        shown["reported"] = await reported_refund(request, known)
        shown["refunds"] = await console.ledger.rows("order_refunds", payments, *order)
    return page(request, "order.html", shown)


async def find(request: Request) -> Known:
    """The order that the path names. Raises PageError if there is none."""
    order = parse_order_ref(request.path_params["order_id"])
    if order is None:
        raise PageError(404, "There is no such order", "An order id is a product id, a dot and 20 characters.")
    row, live = await asyncio.gather(console_of(request).ledger.row("show_order", *order), _live(request, order))
    if row is None and live is None:
        raise PageError(404, f"There is no order {order}")
    return Known(order, row, live)


async def reported_refund(request: Request, known: Known) -> dict[str, Any] | None:
    """What the provider reported as paid back of an order that is still paid; None if that is nothing, or if somebody has decided."""
    if known.row is None:
        return None
    order = known.order
    return await console_of(request).ledger.row("reported_refund", order.sale_id, known.row["epoch"], order.order_id)


async def _live(request: Request, order: OrderRef) -> Any:
    """Redis' record of the order; None if it has none, or does not answer: then the ledger's row is what is known."""
    try:
        return await console_of(request).live.order(*order)
    except Retryable:
        return None
