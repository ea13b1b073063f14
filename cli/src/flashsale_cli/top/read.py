"""Reads the gateway's sales and the services' metrics, all at once, each with its own timeout. A failed read is a value, never raised."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, time
from urllib.parse import urlsplit

import aiohttp

from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import document_of, segment, send_request
from flashsale_cli.sales_client import Sale, sales_page
from flashsale_cli.top.reading import OTHER_SALES, SALE_ORDERS, Reading, Scrape, Target, parse_samples
from flashsale_core.errors import FlashsaleError, SettingsError

PROBE_PORTS = {"order-worker": "FLASHSALE_ORDER_WORKER_PROBE_PORT", "timeout-worker": "FLASHSALE_TIMEOUT_WORKER_PROBE_PORT"}
HOST_DEFAULT = "127.0.0.1"
TIMEOUT_SECONDS = 2.0
SALES_READ_MAX = 100
"""Sales that are read, in the order of their names, if no sale is named. The busiest sales are read in addition."""
BUSY_READ_MAX = 50


@dataclass(frozen=True, slots=True)
class Sources:
    """What to read. Without products, all sales."""

    url: str
    """The gateway."""
    targets: Sequence[Target]
    products: Sequence[str] = ()


def targets(environment: CliEnvironment, gateway: str, urls: Sequence[str] = ()) -> list[Target]:
    """The gateway's /metrics and those at `urls`, or without `urls` those of the workers. Raises SettingsError if one is not a URL."""
    named = [Target("", _metrics_url(url)) for url in urls]
    workers = named or [Target(service, _worker_url(environment, port)) for service, port in PROBE_PORTS.items()]
    own = Target("gateway", f"{gateway}/metrics")
    # A target that is named twice would be counted twice.
    return list(dict.fromkeys([own, *(target for target in workers if target.url != own.url)]))


def _metrics_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise SettingsError(f"--metrics {url} is not a URL; write for example http://127.0.0.1:9101/metrics")
    return url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/metrics"


def _worker_url(environment: CliEnvironment, port_variable: str) -> str:
    host, port = environment.text("FLASHSALE_PROBE_HOST", default=HOST_DEFAULT), environment.text(port_variable, default="")
    return f"http://{_connectable(host)}:{port}/metrics" if port else ""


def _connectable(host: str) -> str:
    """The host to connect to for a host to listen on: every address becomes the loopback address, and IPv6 is bracketed."""
    loopback = {"0.0.0.0": HOST_DEFAULT, "::": "::1"}.get(host, host)  # noqa: S104 - looked up, not listened on
    return f"[{loopback}]" if ":" in loopback else loopback


async def read(session: aiohttp.ClientSession, sources: Sources) -> Reading:
    scrapes, result = await asyncio.gather(_scrape_all(session, sources.targets), _read_sales(session, sources))
    if not sources.products and result.more:
        result = await _with_busy(session, sources.url, result, busy(scrapes))
    return Reading(
        at_seconds=monotonic(),
        at_unix_seconds=time(),
        sales={sale["productId"]: sale for sale in result.sales},
        scrapes=scrapes,
        sales_error=result.error,
        missing=result.missing,
        more_sales=result.more,
    )


@dataclass(frozen=True, slots=True)
class _SalesResult:
    sales: Sequence[Sale] = ()
    missing: Sequence[str] = ()
    error: FlashsaleError | None = None
    more: bool = False


def busy(scrapes: Sequence[Scrape]) -> list[str]:
    """The sales for which gateways have counted orders, most orders first."""
    orders: dict[str, float] = {}
    for labels, value in (item for scrape in scrapes for item in (scrape.samples or {}).get(SALE_ORDERS, {}).items()):
        name = dict(labels)["sale"]
        orders[name] = orders.get(name, 0.0) + value
    orders.pop(OTHER_SALES, None)
    return sorted(orders, key=lambda name: (-orders[name], name))[:BUSY_READ_MAX]


async def _read_sales(session: aiohttp.ClientSession, sources: Sources) -> _SalesResult:
    try:
        if sources.products:
            return await _named(session, sources.url, sources.products)
        page = await sales_page(session, sources.url, limit=SALES_READ_MAX)
        return _SalesResult(page, more=len(page) == SALES_READ_MAX)
    except FlashsaleError as error:
        return _SalesResult(error=error)


async def _named(session: aiohttp.ClientSession, url: str, products: Sequence[str]) -> _SalesResult:
    answers = await asyncio.gather(*(send_request(session, "GET", f"{url}/sales/{segment(product)}") for product in products))
    sales = [document_of(answer, 200) for answer in answers if answer.status != 404]
    return _SalesResult(sales, [product for product, answer in zip(products, answers, strict=True) if answer.status == 404])


async def _with_busy(session: aiohttp.ClientSession, url: str, first: _SalesResult, names: Sequence[str]) -> _SalesResult:
    known = {sale["productId"] for sale in first.sales}
    try:
        others = await _named(session, url, [name for name in names if name not in known])
    except FlashsaleError as error:
        return _SalesResult(error=error)
    return _SalesResult([*first.sales, *others.sales], more=True)


async def _scrape_all(session: aiohttp.ClientSession, targets: Sequence[Target]) -> list[Scrape]:
    return await asyncio.gather(*(_scrape(session, target) for target in targets))


async def _scrape(session: aiohttp.ClientSession, target: Target) -> Scrape:
    if not target.url:
        return Scrape(target, monotonic(), None, "its address is not known; name it with --metrics")
    try:
        async with session.get(target.url) as answer:
            text = await answer.text()
            if answer.status != 200:
                return Scrape(target, monotonic(), None, f"it answered {answer.status}")
            return Scrape(target, monotonic(), parse_samples(text))
    except TimeoutError:
        return Scrape(target, monotonic(), None, f"no answer within {TIMEOUT_SECONDS:.0f} s")
    except (aiohttp.ClientError, OSError) as error:
        return Scrape(target, monotonic(), None, _reason(error))
    except ValueError as error:
        return Scrape(target, monotonic(), None, f"its answer is not in Prometheus' text format: {error}")


def _reason(error: Exception) -> str:
    """The system's own message if there is one, because those of the library fill a line."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error) or type(error).__name__
