"""The return of a paid order: asked once, with what will happen, then sent to the gateway, which decides.

The gateway has no order whose sale was removed. That goes to the ledger-api, with a reason for the refund's history; its units stay sold.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import requests
from flashsale_console.answers import PageError, page
from flashsale_console.pages.orders import find
from flashsale_console.pages.outcomes import Subject, answer_change
from flashsale_console.services import console_of

CHOICES = ("yes", "no")
GONE = frozenset({"sale_removed", "unknown_order"})
"""Codes of the gateway's refusal of an order that only the ledger may have."""


async def ask(request: Request) -> Response:
    """Say what will happen, before anything does."""
    values = requests.query(request, ("restock", "reason"))
    restock = requests.choice(values, "restock", CHOICES, "yes")
    known = await find(request)
    if known.live:
        reason = ""
    else:
        restock, reason = "no", _reason(values)
    shown = {"order": known.order, "quantity": known.quantity, "buyer": known.buyer, "restock": restock, "reason": reason}
    return page(request, "return_ask.html", shown)


async def carry_out(request: Request) -> Response:
    console = console_of(request)
    fields = await requests.form(request, console.settings)
    restock = requests.choice(fields, "restock", CHOICES, "no")
    known = await find(request)
    person, reason = request.state.user.name, fields.get("reason", "").strip()
    answer = await console.engine.return_order(person, str(known.order), restock=restock == "yes")
    if answer.code in GONE and restock == "no" and reason:
        answer = await console.engine.return_removed(person, str(known.order), reason)
    path = f"/orders/{known.order}"
    subject = Subject("order", str(known.order), path, "The order was not returned")
    return answer_change(request, "return", answer, subject, f"{path}?done=returned")


def _reason(values: Mapping[str, str]) -> str:
    """Raises PageError without one."""
    if not (reason := values.get("reason", "")):
        raise PageError(400, "Enter why the order is returned")
    return reason
