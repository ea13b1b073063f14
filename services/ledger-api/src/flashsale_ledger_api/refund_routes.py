"""/admin/refunds: the refunds that are due, and those that were settled."""

import re
from datetime import UTC, datetime
from typing import assert_never

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flashsale_ledger_api import refunds, requests
from flashsale_ledger_api.admin_audit import audited
from flashsale_ledger_api.answers import json
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES
from flashsale_ledger_api.refund_changes import Change, Decision, RefundRequest, check
from flashsale_ledger_api.refund_documents import FIRST, STATES, key_of, read_key, to_document

_DECODER = msgspec.json.Decoder(RefundRequest)
PARAMETERS = ("state", "reason", "productId", "after", "limit")
_REASON = re.compile(r"[a-z_]{1,40}")


async def list_refunds(request: Request) -> Response:
    values = requests.query(request, PARAMETERS)
    states, sales, reasons = _states(values), requests.sale_filter(values), _reasons(values)
    after = read_key(values["after"]) if "after" in values else FIRST
    size = requests.limit(values)
    # One more than asked for shows whether another page follows.
    rows = await requests.ledger_of(request).rows(QUERIES["list_refunds"], states, sales, reasons, *after, size + 1)
    page, now = rows[:size], datetime.now(UTC)
    following = str(key_of(page[-1])) if len(rows) > size else None
    return json({"refunds": [to_document(row, now) for row in page], "next": following})


async def show_refund(request: Request) -> Response:
    ledger, refund_id = requests.ledger_of(request), _refund_id(request)
    async with ledger.transaction() as connection:
        document = await refunds.show(connection, refund_id)
    return json(document)


async def change_refund(request: Request) -> Response:
    """Settle a refund, or note why that failed. A repeat of a request that was carried out has no further effect."""
    with audited(request, "refund.change", "refund_id") as change:
        refund_id = change.fields["refund_id"] = _refund_id(request)
        wanted = await requests.body(request, _DECODER, requests.settings_of(request))
        change.fields["state"] = wanted.state
        check(wanted)
        async with requests.ledger_of(request).transaction() as connection:
            decision = await refunds.change(connection, refund_id, wanted, request.state.who)
            document = await refunds.show(connection, refund_id)
        match decision:
            case Change():
                change.result = wanted.state
                return json(document)
            case Decision.REPLAYED:
                change.result = decision.value
                return json(document, {"idempotent-replayed": "true"})
            case Decision.CONFLICT:
                words = f"The refund is {document['state']}"
                raise Problem(
                    "refund_changed", f"{words}; to change it all the same, send expectedState {document['state']}", refund=document
                )
            case _:
                assert_never(decision)


def _refund_id(request: Request) -> int:
    text = request.path_params["refund_id"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Problem("unknown_refund", "A refund id is a whole number")
    return int(text)


def _states(values: dict[str, str]) -> list[str]:
    if "state" not in values:
        return []
    states = values["state"].split(",")
    if not set(states) <= set(STATES):
        raise Problem("bad_request", f"Must be {', '.join(STATES)}, or several of them with commas between", field="state")
    return states


def _reasons(values: dict[str, str]) -> list[str]:
    if "reason" not in values:
        return []
    if _REASON.fullmatch(values["reason"]) is None:
        raise Problem("bad_request", "Must be a reason of a refund, such as late", field="reason")
    return [values["reason"]]
