"""Requests to the gateway about sales: create, change, end and read them."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession

from flashsale_cli.http_client import Answer, document_of, segment, send_request
from flashsale_core.errors import Rejected

Sale = Mapping[str, Any]
PAGE = 1000


async def set_sale(session: ClientSession, url: str, token: str, wanted: Mapping[str, Any], if_match: int | None = None) -> Sale:
    """Create or change a sale. Raises Rejected with the gateway's problem text."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    headers |= {} if if_match is None else {"If-Match": f'"{if_match}"'}
    answer = await send_request(session, "POST", f"{url}/admin/stock", json.dumps(wanted).encode(), headers)
    if answer.code == "unknown_sale" and "stock" not in wanted:
        raise Rejected(f"there is no sale {wanted['productId']}; a new one needs --stock, all its units")
    sale: Sale = document_of(answer, 200, 201)
    return sale


async def return_order(session: ClientSession, url: str, token: str, order_id: str, *, restock: bool) -> Mapping[str, Any]:
    """Take a paid order back. May be repeated. Raises Rejected with the gateway's problem text."""
    returned: Mapping[str, Any] = document_of(await send_return(session, url, token, order_id, {"restock": restock}), 200)
    return returned


async def send_return(session: ClientSession, url: str, token: str, order_id: str, document: Mapping[str, Any]) -> Answer:
    """Ask the gateway, or the ledger-api for an order of a removed sale, to take a paid order back."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return await send_request(session, "POST", f"{url}/admin/orders/{segment(order_id)}/return", json.dumps(document).encode(), headers)


async def end_sale(session: ClientSession, url: str, token: str, product_id: str, mode: str) -> Mapping[str, Any]:
    """Close, remove or release a sale. Returns its `state`, and in `reserved` the units that removal waits for. Raises Rejected."""
    answer = await send_request(
        session, "DELETE", f"{url}/admin/sales/{segment(product_id)}?mode={mode}", None, {"Authorization": f"Bearer {token}"}
    )
    ended: Mapping[str, Any] = document_of(answer, 200, 202)
    return ended


async def get_sale(session: ClientSession, url: str, product_id: str) -> Sale:
    """Raises Rejected if there is no such sale."""
    sale: Sale = document_of(await send_request(session, "GET", f"{url}/sales/{segment(product_id)}"), 200)
    return sale


async def list_sales(session: ClientSession, url: str) -> list[Sale]:
    """All sales, read in pages."""
    sales: list[Sale] = []
    while True:
        page = await sales_page(session, url, sales[-1]["productId"] if sales else "")
        sales += page
        if len(page) < PAGE:
            return sales


async def sales_page(session: ClientSession, url: str, after: str = "", limit: int = PAGE) -> list[Sale]:
    """The first `limit` sales in the order of their names, after the name `after`."""
    beyond = f"&after={after}" if after else ""
    page: list[Sale] = document_of(await send_request(session, "GET", f"{url}/sales?limit={limit}{beyond}"), 200)["sales"]
    return page
