"""The first page: what needs attention."""

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import attention
from flashsale_console.answers import page
from flashsale_console.services import console_of


async def show(request: Request) -> Response:
    return await _render(request, "attention.html")


async def live(request: Request) -> Response:
    """The list alone, for a page that is open."""
    return await _render(request, "attention_items.html")


async def _render(request: Request, template: str) -> Response:
    facts = await console_of(request).watch.facts()
    return page(request, template, {"items": attention.items_of(facts), "quiet": attention.quiet_words(facts)})
