"""The list of sales, the latest defined first."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import requests
from flashsale_console.answers import page
from flashsale_console.live_sales import SaleLook
from flashsale_console.requests import LATEST, PAGE_SIZE, Key
from flashsale_console.sale_views import SaleView, view
from flashsale_console.services import Console, console_of
from flashsale_core.errors import Retryable

STATES = ("open", "paused", "closed", "removed")
FIRST = Key(LATEST, ("", "0"))
RECOVERING = "Redis is being recovered"


async def show(request: Request) -> Response:
    console = console_of(request)
    values = requests.query(request, ("state", "q", "after"))
    state, text = requests.choice(values, "state", STATES, ""), values.get("q", "")[:64]
    after = requests.read_key(values["after"], 2) if "after" in values else FIRST
    epoch = requests.whole(after.parts[1], "after")
    rows = await console.ledger.rows("list_sales", state, text, after.at, after.parts[0], epoch, PAGE_SIZE + 1)
    views, fault = await _views(console, rows[:PAGE_SIZE])
    following = None
    if len(rows) > PAGE_SIZE:
        last = rows[PAGE_SIZE - 1]
        key = Key(last["defined_at"], (last["sale_id"], str(last["epoch"])))
        following = requests.link("/sales", state=state, q=text, after=key)
    first = requests.link("/sales", state=state, q=text)
    shown = {"sales": views, "fault": fault, "state": state, "q": text, "next": following, "first": first, "is_first": after is FIRST}
    return page(request, "sales.html", shown | {"states": STATES})


async def _views(console: Console, rows: Sequence[Mapping[str, Any]]) -> tuple[list[SaleView], str]:
    """The sales, and why their numbers are not of this moment; empty if they are."""
    now = datetime.now(UTC)
    try:
        looks = await console.live.sales([row["sale_id"] for row in rows])
    except Retryable as error:
        return [view(row, {}, now, "away") for row in rows], str(error)
    views = [_view(row, look, now) for row, look in zip(rows, looks, strict=True)]
    return views, RECOVERING if any(sale.phase == "recovering" for sale in views) else ""


async def sale_view(console: Console, sale_id: str, epoch: int = 0) -> tuple[Mapping[str, Any], SaleView, str]:
    """The ledger's row of a sale, the sale as it is now, and why its numbers are not of this moment. Raises LookupError without a row."""
    row, look = await asyncio.gather(console.ledger.row("show_sale", sale_id, epoch), console.live.sale(sale_id), return_exceptions=True)
    if isinstance(row, BaseException):
        raise row
    if row is None:
        raise LookupError(sale_id)
    if isinstance(look, Retryable):
        return row, view(row, {}, datetime.now(UTC), "away"), str(look)
    if isinstance(look, BaseException):
        raise look
    return row, _view(row, look, datetime.now(UTC)), "" if look.is_open else RECOVERING


def _view(row: Mapping[str, Any], look: SaleLook, now: datetime) -> SaleView:
    return view(row, look.fields, now, "" if look.is_open else "recovering")
