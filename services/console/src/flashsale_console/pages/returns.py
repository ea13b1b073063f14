"""The return of a paid order: asked once, with what will happen, then sent to the gateway, which decides."""

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import requests
from flashsale_console.answers import page
from flashsale_console.pages.orders import find
from flashsale_console.pages.outcomes import Subject, answer_change
from flashsale_console.services import console_of

CHOICES = ("yes", "no")


async def ask(request: Request) -> Response:
    """Say what will happen, before anything does."""
    values = requests.query(request, ("restock",))
    restock = requests.choice(values, "restock", CHOICES, "yes")
    known = await find(request)
    shown = {"order": known.order, "quantity": known.quantity, "buyer": known.buyer, "restock": restock}
    return page(request, "return_ask.html", shown)


async def carry_out(request: Request) -> Response:
    console = console_of(request)
    fields = await requests.form(request, console.settings)
    restock = requests.choice(fields, "restock", CHOICES, "no")
    known = await find(request)
    answer = await console.engine.return_order(request.state.user.name, str(known.order), restock=restock == "yes")
    path = f"/orders/{known.order}"
    subject = Subject("order", str(known.order), path, "The order was not returned")
    return answer_change(request, "return", answer, subject, f"{path}?done=returned")
