"""/admin/refunds: the refunds that are due, and those that were settled."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from flashsale_core.ids import is_sale_id
from flashsale_ledger_api import requests
from flashsale_ledger_api.answers import json
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES
from flashsale_ledger_api.refund_documents import FIRST, STATES, key_of, read_key, to_document

PARAMETERS = ("state", "productId", "after", "limit")


async def list_refunds(request: Request) -> Response:
    values = requests.query(request, PARAMETERS)
    states, sales = _states(values), _sales(values)
    after = read_key(values["after"]) if "after" in values else FIRST
    size = requests.limit(values)
    # One more than asked for shows whether another page follows.
    rows = await requests.ledger_of(request).rows(QUERIES["list_refunds"], states, sales, *after, size + 1)
    page, now = rows[:size], datetime.now(UTC)
    following = str(key_of(page[-1])) if len(rows) > size else None
    return json({"refunds": [to_document(row, now) for row in page], "next": following})


def _states(values: dict[str, str]) -> list[str]:
    if "state" not in values:
        return []
    states = values["state"].split(",")
    if not set(states) <= set(STATES):
        raise Problem("bad_request", f"Must be {', '.join(STATES)}, or several of them with commas between", field="state")
    return states


def _sales(values: dict[str, str]) -> list[str]:
    if "productId" not in values:
        return []
    if not is_sale_id(values["productId"]):
        raise Problem("bad_request", "Must be a product id", field="productId")
    return [values["productId"]]
