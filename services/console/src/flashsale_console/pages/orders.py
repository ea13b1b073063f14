"""Orders: found by their id or by their buyer, each with its history."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flashsale_console import requests
from flashsale_console.answers import PageError, page
from flashsale_console.requests import LATEST, PAGE_SIZE, Key
from flashsale_console.services import console_of
from flashsale_core.errors import Retryable
from flashsale_core.ids import ID_LENGTH_MAX, OrderRef, parse_order_ref


async def search(request: Request) -> Response:
    """An order id leads to the order; any other text is a buyer."""
    values = requests.query(request, ("q", "after"))
    text = values.get("q", "")[:ID_LENGTH_MAX]
    if "after" not in values and (order := parse_order_ref(text)) is not None:
        return RedirectResponse(f"/orders/{order}", 303)
    after = requests.read_key(values["after"], 2) if "after" in values else Key(LATEST, ("", ""))
    shown: dict[str, Any] = {"q": text, "orders": [], "next": None}
    if text:
        rows = await console_of(request).ledger.rows("orders_of_buyer", text, after.at, *after.parts, PAGE_SIZE + 1)
        shown["orders"] = rows[:PAGE_SIZE]
        if len(rows) > PAGE_SIZE:
            last = rows[PAGE_SIZE - 1]
            shown["next"] = requests.link("/orders", q=text, after=Key(last["updated_at"], (last["sale_id"], last["order_id"])))
    return page(request, "orders.html", shown)


async def show(request: Request) -> Response:
    console, ledger = console_of(request), console_of(request).ledger
    requests.query(request, ())
    order = parse_order_ref(request.path_params["order_id"])
    if order is None:
        raise PageError(404, "There is no such order", "An order id is a product id, a dot and 20 characters.")
    row, live = await asyncio.gather(ledger.row("show_order", *order), _live(request, order))
    if row is None and live is None:
        raise PageError(404, f"There is no order {order}")
    shown: dict[str, Any] = {"order": order, "row": row, "live": live, "events": [], "refunds": []}
    if row is not None:
        payments = [row["payment_id"]] if row["payment_id"] else []
        payments += list(live.refunded_payment_ids) if live else []
        shown["events"] = await ledger.rows("order_events", order.sale_id, row["epoch"], order.order_id)
        shown["refunds"] = await console.ledger.rows("order_refunds", payments, *order)
    return page(request, "order.html", shown)


async def _live(request: Request, order: OrderRef) -> Any:
    """Redis' record of the order; None if it has none, or does not answer: then the ledger's row is what is known."""
    try:
        return await console_of(request).live.order(*order)
    except Retryable:
        return None
