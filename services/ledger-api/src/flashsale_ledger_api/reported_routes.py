"""/admin/reported-refunds, and /admin/orders/{order}/leave-paid: what the provider paid back although no refund was due."""

from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flashsale_ledger_api import reported_refunds, requests
from flashsale_ledger_api.admin_audit import audited
from flashsale_ledger_api.answers import json
from flashsale_ledger_api.queries import QUERIES
from flashsale_ledger_api.reported_refunds import FIRST, LeaveRequest, key_of, read_key, to_document

_DECODER = msgspec.json.Decoder(LeaveRequest)
PARAMETERS = ("productId", "after", "limit")


async def list_reported_refunds(request: Request) -> Response:
    values = requests.query(request, PARAMETERS)
    after = read_key(values["after"]) if "after" in values else FIRST
    size = requests.limit(values)
    # One more than asked for shows whether another page follows.
    given = (requests.sale_filter(values), after.reported_at, *after.order, size + 1)
    rows = await requests.ledger_of(request).rows(QUERIES["list_reported"], *given)
    page, now = rows[:size], datetime.now(UTC)
    following = str(key_of(page[-1])) if len(rows) > size else None
    return json({"reportedRefunds": [to_document(row, now) for row in page], "next": following})


async def leave_order_paid(request: Request) -> Response:
    """A repeat of a request that was carried out has no further effect."""
    with audited(request, "order.leave_paid", "order_id") as change:
        order = requests.order_of(request)
        wanted = await requests.body(request, _DECODER, requests.settings_of(request))
        async with requests.ledger_of(request).transaction() as connection:
            document, is_repeat = await reported_refunds.leave_paid(connection, order, wanted, request.state.who)
        change.result = "replayed" if is_repeat else "left"
    return json(document, {"idempotent-replayed": "true"} if is_repeat else None)
