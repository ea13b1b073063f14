"""People at the page of the sale for the pictures: most keep it open, and some reload it again and again."""

import asyncio

import aiohttp

from tools.bench.live_streams import open_streams
from tools.dashboards.sale_demo import MORE_STOCK_SECOND, SECONDS, buyers_at

VISITORS, MORE_VISITORS = 180, 120
RELOADS_PER_BUYER = 0.2
STAY_SECONDS = 30
"""How long the visitors of the second rush stay."""
FOUND_SECONDS = 60.0


async def visit(storefront_url: str, product_id: str) -> None:
    """Visit the page for about SECONDS, from the announcement of the sale on. Raises TimeoutError if there is no page of it."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        page = f"{storefront_url}/s/{product_id}"
        await _find(session, page)
        group.create_task(_reload(session, page))
        events = f"/s/{product_id}/events"
        async with open_streams(storefront_url, events, VISITORS):
            await asyncio.sleep(MORE_STOCK_SECOND)
            async with open_streams(storefront_url, events, MORE_VISITORS):
                await asyncio.sleep(STAY_SECONDS)
            await asyncio.sleep(SECONDS - MORE_STOCK_SECOND - STAY_SECONDS)


async def _find(session: aiohttp.ClientSession, page: str) -> None:
    async with asyncio.timeout(FOUND_SECONDS):
        while await _get(session, page) != 200:  # noqa: ASYNC110 - a page cannot wake us
            await asyncio.sleep(0.2)


async def _reload(session: aiohttp.ClientSession, page: str) -> None:
    for second in range(SECONDS):
        await asyncio.gather(asyncio.sleep(1), *(_get(session, page) for _ in range(round(RELOADS_PER_BUYER * buyers_at(second)))))


async def _get(session: aiohttp.ClientSession, page: str) -> int:
    async with session.get(page) as answer:
        await answer.read()
        return answer.status
