"""The engine's own state: shards, outboxes, parked messages and the audit's findings. It is read only."""

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console.answers import page
from flashsale_console.services import console_of


async def show(request: Request) -> Response:
    return await _render(request, "system.html")


async def live(request: Request) -> Response:
    """The tables alone, for a page that is open."""
    return await _render(request, "system_tables.html")


async def _render(request: Request, template: str) -> Response:
    console = console_of(request)
    facts = await console.watch.facts()
    has_metrics = bool(console.settings.metrics_urls)
    shown = {"facts": facts, "shards": console.watch.shards, "services": console.watch.services, "has_metrics": has_metrics}
    return page(request, template, shown)
