"""Refunds as a queue, the oldest first; each one is settled through the ledger-api, which decides.

The queue `reported` has paid orders instead, which the provider reported as paid back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console import requests
from flashsale_console.answers import PageError, page
from flashsale_console.pages.outcomes import Subject, answer_change
from flashsale_console.requests import PAGE_SIZE, Key
from flashsale_console.services import console_of

STATES = ("due", "failed", "sent")
REPORTED = "reported"
FIRST = Key(requests.EPOCH, ("0",))
FIRST_REPORTED = Key(requests.EPOCH, ("", ""))


async def queue(request: Request) -> Response:
    values = requests.query(request, ("state", "after", "done"))
    state = requests.choice(values, "state", (*STATES, REPORTED), "due")
    if state == REPORTED:
        return await _reported(request, values)
    after = requests.read_key(values["after"], 1) if "after" in values else FIRST
    last_id = requests.whole(after.parts[0], "after")
    rows = await console_of(request).ledger.rows("list_refunds", state, after.at, last_id, PAGE_SIZE + 1)
    following = None
    if len(rows) > PAGE_SIZE:
        last = rows[PAGE_SIZE - 1]
        following = requests.link("/refunds", state=state, after=Key(last["created_at"], (str(last["refund_id"]),)))
    return _list(request, "refunds.html", state, rows, following, is_first=after is FIRST)


async def _reported(request: Request, values: Mapping[str, str]) -> Response:
    after = requests.read_key(values["after"], 2) if "after" in values else FIRST_REPORTED
    rows = await console_of(request).ledger.rows("list_reported", after.at, *after.parts, PAGE_SIZE + 1)
    following = None
    if len(rows) > PAGE_SIZE:
        last = rows[PAGE_SIZE - 1]
        following = requests.link("/refunds", state=REPORTED, after=Key(last["reported_at"], (last["sale_id"], last["order_id"])))
    return _list(request, "reported.html", REPORTED, rows, following, is_first=after is FIRST_REPORTED)


def _list(request: Request, template: str, state: str, rows: Sequence[Any], following: str | None, *, is_first: bool) -> Response:
    states = (*STATES, REPORTED)
    return page(request, template, {"rows": rows[:PAGE_SIZE], "state": state, "states": states, "next": following, "is_first": is_first})


async def show(request: Request) -> Response:
    values = requests.query(request, ("done",))
    return page(request, "refund.html", {"refund": await _refund(request), "done": values.get("done", "") == "1", "error": ""})


async def ask(request: Request) -> Response:
    values = requests.query(request, ("state", "reference", "reason"))
    refund = await _refund(request)
    document, error = _document(values)
    if error:
        return page(request, "refund.html", {"refund": refund, "done": False, "error": error}, 400)
    return page(request, "refund_ask.html", {"reference": "", "reason": "", **document, "refund": refund})


async def carry_out(request: Request) -> Response:
    console = console_of(request)
    fields = await requests.form(request, console.settings)
    refund = await _refund(request)
    document, error = _document(fields)
    if error:
        return page(request, "refund.html", {"refund": refund, "done": False, "error": error}, 400)
    # What the person saw decides: of two people the second one is refused, and sees what the first one did.
    document["expectedState"] = requests.choice(fields, "seen", STATES, "due")
    answer = await console.engine.change_refund(request.state.user.name, int(refund["refundId"]), document)
    path = f"/refunds/{refund['refundId']}"
    subject = Subject("refund", f"Refund {refund['refundId']}", path, "The refund was not changed")
    return answer_change(request, "refund", answer, subject, f"{path}?done=1")


async def _refund(request: Request) -> dict[str, Any]:
    """The refund with its history, as the ledger-api has it. Raises PageError with its words."""
    refund_id = requests.whole(request.path_params["refund_id"], "The refund's id")
    answer = await console_of(request).engine.show_refund(request.state.user.name, refund_id)
    if not answer.is_done:
        raise PageError(answer.status or 504, "The refund cannot be shown", f"{answer.words}.")
    return dict(answer.document)


def _document(fields: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The body for the ledger-api, and what is missing; empty if nothing is."""
    state = requests.choice(fields, "state", STATES, "sent")
    reference, reason = fields.get("reference", "").strip(), fields.get("reason", "").strip()
    if state == "sent":
        error = "" if reference else "Enter the provider's id of the refund, so that it can be found again."
        return {"state": state, "reference": reference}, error
    words = "why it failed" if state == "failed" else "why it is due again"
    return {"state": state, "reason": reason}, "" if reason else f"Enter {words}, so that the next person knows."
