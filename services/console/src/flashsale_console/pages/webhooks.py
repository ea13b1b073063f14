"""Webhooks: where events are sent, and what became of them. Endpoints are changed by `flashsale webhook`, which shows their secrets."""

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import requests
from flashsale_console.answers import page
from flashsale_console.attention import COUNT_MAX
from flashsale_console.requests import PAGE_SIZE
from flashsale_console.services import console_of

LAST_ID = 2**63 - 1


async def show(request: Request) -> Response:
    ledger = console_of(request).ledger
    values = requests.query(request, ("endpoint", "before"))
    endpoint = values.get("endpoint", "")[:40]
    before = requests.whole(values["before"], "before") if "before" in values else LAST_ID
    endpoints = await ledger.rows("endpoints", COUNT_MAX)
    rows = await ledger.rows("attempts", endpoint, before, PAGE_SIZE + 1)
    following = requests.link("/webhooks", endpoint=endpoint, before=rows[PAGE_SIZE - 1]["attempt_id"]) if len(rows) > PAGE_SIZE else None
    shown = {"endpoints": endpoints, "attempts": rows[:PAGE_SIZE], "endpoint": endpoint, "next": following, "is_first": before == LAST_ID}
    return page(request, "webhooks.html", shown)
