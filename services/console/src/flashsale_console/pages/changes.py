"""Changes of a sale: asked once, with what will happen in numbers, then sent to the gateway; and who changed what."""

import secrets
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import requests
from flashsale_console.answers import PageError, page
from flashsale_console.changes import ACTIONS, Change, WrongInputError, plan, require_possible
from flashsale_console.engine import Answer
from flashsale_console.pages.outcomes import Subject, answer_change
from flashsale_console.pages.sales import sale_view
from flashsale_console.requests import LATEST, PAGE_SIZE, Key
from flashsale_console.sale_views import SaleView
from flashsale_console.services import Console, console_of
from flashsale_core.ids import is_sale_id

DONE = {
    "pause": "The sale is paused.",
    "resume": "The sale goes on.",
    "add": "The stock was changed.",
    "stock": "The stock was set.",
    "close": "The sale has ended.",
    "remove": "The sale was removed.",
    "holds": "The sale has ended; it can be removed once no unit is held.",
}


async def ask(request: Request) -> Response:
    """Say what will happen, before anything does."""
    values = requests.query(request, ("action", "units"))
    action = requests.choice(values, "action", ACTIONS, "")
    sale = await _changeable(request)
    try:
        change = plan(action, sale, values.get("units", ""))
        require_possible(change, sale)
    except WrongInputError as error:
        return page(request, "wrong_input.html", {"sale": sale, "error": str(error)}, 400)
    # The request's id: a form that is sent twice changes the sale once.
    shown = {"sale": sale, "change": change, "units": values.get("units", ""), "request_id": secrets.token_hex(16)}
    return page(request, "ask.html", shown)


async def carry_out(request: Request) -> Response:
    console = console_of(request)
    fields = await requests.form(request, console.settings)
    sale = await _changeable(request)
    if requests.whole(fields.get("epoch", ""), "epoch") != sale.epoch:
        # The engine knows a sale by its name only, and an end has no generation: it would end the new sale, for ever.
        detail = "The sale of the form was removed, and this one has its name. Look at it before you change it."
        raise PageError(409, f"{sale.sale_id} is another sale now", detail)
    try:
        # The engine decides whether it is possible: a repeat finds the numbers that the first one left, and the engine answers it as done.
        change = plan(fields.get("action", ""), sale, fields.get("units", ""))
    except WrongInputError as error:
        return page(request, "wrong_input.html", {"sale": sale, "error": str(error)}, 400)
    answer = await _send(console, request.state.user.name, sale, change, fields)
    subject = Subject("sale", sale.sale_id, f"/sales/{sale.sale_id}", "The change was not made", change.title)
    done = "holds" if answer.status == 202 else change.action
    return answer_change(request, change.action, answer, subject, f"/sales/{quote(sale.sale_id)}?done={done}")


async def _send(console: Console, person: str, sale: SaleView, change: Change, fields: dict[str, str]) -> Answer:
    if change.end_mode:
        return await console.engine.end_sale(person, sale.sale_id, change.end_mode)
    generation, request_id = requests.whole(fields.get("generation", ""), "generation"), fields.get("request_id", "")
    if len(request_id) != 32 or not request_id.isalnum() or not request_id.isascii():
        raise PageError(400, "This is no form of the console", "Go back to the sale and begin again.")
    return await console.engine.set_sale(person, {**change.document, "requestId": request_id}, generation)


async def _changeable(request: Request) -> SaleView:
    """The sale as it is now. Raises PageError unless it can be changed here."""
    sale_id = request.path_params["sale_id"]
    try:
        if not is_sale_id(sale_id):
            raise LookupError(sale_id)
        _, sale, fault = await sale_view(console_of(request), sale_id)
    except LookupError:
        raise PageError(404, f"There is no sale {sale_id[:64]}") from None
    if sale.flashsale:
        detail = f"The FlashSale {sale.flashsale} owns it: change it there, and the operator carries it out."
        raise PageError(409, f"{sale.sale_id} is not changed here", detail)
    if fault or not sale.is_live:
        raise PageError(503 if fault else 409, f"{sale.sale_id} cannot be changed", fault or "Redis has this sale no more.")
    return sale


async def list_changes(request: Request) -> Response:
    """Who changed what, the latest first."""
    values = requests.query(request, ("after",))
    after = requests.read_key(values["after"], 3) if "after" in values else Key(LATEST, ("", "0", ""))
    sale_id, epoch, kind = after.parts
    rows = await console_of(request).ledger.rows("all_changes", after.at, sale_id, requests.whole(epoch, "after"), kind, PAGE_SIZE + 1)
    following = None
    if len(rows) > PAGE_SIZE:
        last = rows[PAGE_SIZE - 1]
        following = requests.link("/changes", after=Key(last["at"], (last["sale_id"], str(last["epoch"]), last["change"])))
    return page(request, "changes.html", {"changes": rows[:PAGE_SIZE], "next": following, "is_first": "after" not in values})
