"""One sale: its numbers now, its history, who changed it, and what may be changed."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import plot, requests
from flashsale_console.answers import PageError, page
from flashsale_console.pages.changes import DONE
from flashsale_console.pages.sales import sale_view
from flashsale_console.sale_views import SaleView
from flashsale_console.services import console_of
from flashsale_core.errors import Retryable
from flashsale_core.ids import is_sale_id

CHANGES_SHOWN = 20
PAGE_WAIT_SECONDS = 0.1
"""How long a page waits for the plots of a large sale, before it is shown without them."""
PLOTS_WAIT_SECONDS = 8.0


async def show(request: Request) -> Response:
    console = console_of(request)
    row, sale, fault = await find(request)
    changes = await console.ledger.rows("sale_changes", sale.sale_id, sale.epoch, CHANGES_SHOWN)
    done = DONE.get(requests.query(request, KNOWN).get("done", ""), "")
    shown = {"sale": sale, "row": row, "fault": fault, "changes": changes, "done": done}
    return page(request, "sale.html", shown | await _plots(request, sale, PAGE_WAIT_SECONDS))


async def live(request: Request) -> Response:
    """The numbers alone, for a page that is open."""
    _, sale, fault = await find(request)
    return page(request, "sale_numbers.html", {"sale": sale, "fault": fault})


async def plots(request: Request) -> Response:
    """The plots alone, for a page that is open."""
    _, sale, _ = await find(request)
    return page(request, "sale_plots.html", {"sale": sale} | await _plots(request, sale, PLOTS_WAIT_SECONDS))


KNOWN = ("epoch", "done")


async def find(request: Request) -> tuple[Mapping[str, Any], SaleView, str]:
    """The sale that the path names. Raises PageError if there is none."""
    sale_id = request.path_params["sale_id"]
    epoch = requests.query(request, KNOWN).get("epoch", "0")
    try:
        if not is_sale_id(sale_id):
            raise LookupError(sale_id)
        return await sale_view(console_of(request), sale_id, requests.whole(epoch, "epoch"))
    except LookupError:
        detail = "A sale that was just created is here as soon as the ledger has it."
        raise PageError(404, f"There is no sale {sale_id[:64]}", detail) from None


async def _plots(request: Request, sale: SaleView, wait_seconds: float) -> dict[str, Any]:
    try:
        history = await console_of(request).histories.within(wait_seconds, sale.sale_id, sale.epoch)
    except Retryable as error:
        return {"history": None, "why": str(error)}
    if history is None:
        return {"history": None, "why": ""}
    return {
        "history": history,
        "why": "",
        "demand": plot.demand_svg(history),
        "sold_plot": plot.sold_svg(history, sale.stock),
        "step": plot.span_words(history.step_seconds),
        "table": plot.table(history),
    }
