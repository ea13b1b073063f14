"""A paid order that the provider reported as paid back stays paid: asked once, then sent to the ledger-api, which decides."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import requests
from flashsale_console.answers import PageError, page
from flashsale_console.pages.orders import find, reported_refund
from flashsale_console.pages.outcomes import Subject, answer_change
from flashsale_console.services import console_of


async def ask(request: Request) -> Response:
    reason = _reason(requests.query(request, ("reason",)))
    known = await find(request)
    reported = await reported_refund(request, known)
    if reported is None:
        raise PageError(409, "There is nothing to decide", "The provider reported no refund of it, or somebody has decided already.")
    return page(request, "leave_ask.html", {"order": known.order, "reason": reason, "reported": reported})


async def carry_out(request: Request) -> Response:
    console = console_of(request)
    fields = await requests.form(request, console.settings)
    reason, seen_minor = _reason(fields), requests.whole(fields.get("seen", ""), "seen")
    known = await find(request)
    answer = await console.engine.leave_paid(request.state.user.name, str(known.order), reason, seen_minor)
    path = f"/orders/{known.order}"
    subject = Subject("order", str(known.order), path, "The order was not changed")
    return answer_change(request, "leave_paid", answer, subject, f"{path}?done=left")


def _reason(values: Mapping[str, str]) -> str:
    """Raises PageError without one."""
    if not (reason := values.get("reason", "").strip()):
        raise PageError(400, "Enter why the order stays paid")
    return reason
