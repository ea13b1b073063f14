"""Reading the gateway's sales and the services' metrics, all at once, each within its time. Nothing that fails here raises."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, time

import aiohttp

from flashsale_cli.http_client import document_of, send_request
from flashsale_cli.sales_client import Sale, sales_page
from flashsale_cli.top.reading import Reading, Scrape, Target
from flashsale_cli.top.sale_now import ORDERS, OTHER
from flashsale_cli.top.samples import parse
from flashsale_core.errors import FlashsaleError

TIMEOUT_SECONDS = 2.0
SALES_READ_MAX = 100
"""Sales by name that are read when none is asked for; those that are ordered from are read beside them."""
BUSY_READ_MAX = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look at. No products are all sales."""

    url: str
    targets: Sequence[Target]
    products: Sequence[str] = ()


async def read(session: aiohttp.ClientSession, wanted: Wanted) -> Reading:
    scrapes, found = await asyncio.gather(_scrape_all(session, wanted.targets), _sales(session, wanted))
    if not wanted.products and found.more:
        found = await _with_busy(session, wanted.url, found, busy(scrapes))
    return Reading(
        at_seconds=monotonic(),
        at_unix_seconds=time(),
        sales={sale["productId"]: sale for sale in found.sales},
        scrapes=scrapes,
        sales_error=found.error,
        missing=found.missing,
        more_sales=found.more,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    sales: Sequence[Sale] = ()
    missing: Sequence[str] = ()
    error: FlashsaleError | None = None
    more: bool = False


def busy(scrapes: Sequence[Scrape]) -> list[str]:
    """Sales that a gateway has counted orders of, those with most orders first."""
    orders: dict[str, float] = {}
    for labels, value in (item for scrape in scrapes for item in (scrape.samples or {}).get(ORDERS, {}).items()):
        name = dict(labels)["sale"]
        orders[name] = orders.get(name, 0.0) + value
    orders.pop(OTHER, None)
    return sorted(orders, key=lambda name: (-orders[name], name))[:BUSY_READ_MAX]


async def _sales(session: aiohttp.ClientSession, wanted: Wanted) -> _Found:
    try:
        if wanted.products:
            return await _named(session, wanted.url, wanted.products)
        page = await sales_page(session, wanted.url, limit=SALES_READ_MAX)
        return _Found(page, more=len(page) == SALES_READ_MAX)
    except FlashsaleError as error:
        return _Found(error=error)


async def _named(session: aiohttp.ClientSession, url: str, products: Sequence[str]) -> _Found:
    answers = await asyncio.gather(*(send_request(session, "GET", f"{url}/sales/{product}") for product in products))
    sales = [document_of(answer, 200) for answer in answers if answer.status != 404]
    return _Found(sales, [product for product, answer in zip(products, answers, strict=True) if answer.status == 404])


async def _with_busy(session: aiohttp.ClientSession, url: str, found: _Found, names: Sequence[str]) -> _Found:
    known = {sale["productId"] for sale in found.sales}
    try:
        others = await _named(session, url, [name for name in names if name not in known])
    except FlashsaleError as error:
        return _Found(error=error)
    return _Found([*found.sales, *others.sales], more=True)


async def _scrape_all(session: aiohttp.ClientSession, targets: Sequence[Target]) -> list[Scrape]:
    return await asyncio.gather(*(_scrape(session, target) for target in targets))


async def _scrape(session: aiohttp.ClientSession, target: Target) -> Scrape:
    if not target.url:
        return Scrape(target, monotonic(), None, "nobody said where it is; name it with --metrics")
    try:
        async with session.get(target.url) as answer:
            text = await answer.text()
            if answer.status != 200:
                return Scrape(target, monotonic(), None, f"it answered {answer.status}")
            return Scrape(target, monotonic(), parse(text))
    except TimeoutError:
        return Scrape(target, monotonic(), None, f"no answer within {TIMEOUT_SECONDS:.0f} s")
    except (aiohttp.ClientError, OSError) as error:
        return Scrape(target, monotonic(), None, _reason(error))
    except ValueError as error:
        return Scrape(target, monotonic(), None, f"what it answered is no Prometheus text: {error}")


def _reason(error: Exception) -> str:
    """The system's own words where there are some: those of the library fill a line."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error) or type(error).__name__
