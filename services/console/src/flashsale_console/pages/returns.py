"""The return of a paid order: asked once, with what will happen, then sent to the gateway, which decides."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flashsale_console import metrics, requests
from flashsale_console.answers import page
from flashsale_console.pages.orders import Known, find
from flashsale_console.services import console_of

CHOICES = ("yes", "no")


async def ask(request: Request) -> Response:
    """Say what will happen, before anything does."""
    values = requests.query(request, ("restock",))
    restock = requests.choice(values, "restock", CHOICES, "yes")
    return page(request, "return_ask.html", _shown(await find(request)) | {"restock": restock})


async def carry_out(request: Request) -> Response:
    console = console_of(request)
    fields = await requests.form(request, console.settings)
    restock = requests.choice(fields, "restock", CHOICES, "no")
    known = await find(request)
    answer = await console.engine.return_order(request.state.user.name, str(known.order), restock=restock == "yes")
    metrics.CHANGES.labels("return", "done" if answer.is_done else answer.code).inc()
    if not answer.is_done:
        return page(request, "return_refused.html", _shown(known) | {"answer": answer}, answer.status or 504)
    return RedirectResponse(f"/orders/{known.order}?done=returned", 303)


def _shown(known: Known) -> dict[str, object]:
    return {"order": known.order, "quantity": known.quantity, "buyer": known.buyer}
