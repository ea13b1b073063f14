"""Sales over HTTP: what `sale`, `demo` and the benches ask of the gateway."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession

from flashsale_cli.web import ask, expect

Sale = Mapping[str, Any]
PAGE = 1000


async def set_sale(session: ClientSession, url: str, token: str, wanted: Mapping[str, Any]) -> Sale:
    """Create or change a sale. Raises Rejected with the gateway's words."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = await ask(session, "POST", f"{url}/admin/stock", json.dumps(wanted).encode(), headers)
    sale: Sale = expect(answer, 200, 201)
    return sale


async def end_sale(session: ClientSession, url: str, token: str, product_id: str, mode: str) -> Mapping[str, Any]:
    """Close or remove a sale; `state` says what it is now, `reserved` how many units removal waits for. Raises Rejected."""
    answer = await ask(session, "DELETE", f"{url}/admin/sales/{product_id}?mode={mode}", None, {"Authorization": f"Bearer {token}"})
    ended: Mapping[str, Any] = expect(answer, 200, 202)
    return ended


async def get_sale(session: ClientSession, url: str, product_id: str) -> Sale:
    sale: Sale = expect(await ask(session, "GET", f"{url}/sales/{product_id}"), 200)
    return sale


async def list_sales(session: ClientSession, url: str) -> list[Sale]:
    """All sales, page by page."""
    found: list[Sale] = []
    while True:
        page = await sales_page(session, url, found[-1]["productId"] if found else "")
        found += page
        if len(page) < PAGE:
            return found


async def sales_page(session: ClientSession, url: str, after: str = "", limit: int = PAGE) -> list[Sale]:
    """The first `limit` sales by name, past `after`."""
    beyond = f"&after={after}" if after else ""
    page: list[Sale] = expect(await ask(session, "GET", f"{url}/sales?limit={limit}{beyond}"), 200)["sales"]
    return page
