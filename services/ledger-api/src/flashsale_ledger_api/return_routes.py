"""/admin/orders/{order}/return: take back a paid order whose sale was removed."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flashsale_ledger_api import late_returns, requests
from flashsale_ledger_api.admin_audit import audited
from flashsale_ledger_api.answers import json
from flashsale_ledger_api.late_returns import ReturnRequest

_DECODER = msgspec.json.Decoder(ReturnRequest)


async def return_order(request: Request) -> Response:
    """A repeat of a request that was carried out has no further effect."""
    with audited(request, "order.return", "order_id") as change:
        order = requests.order_of(request)
        wanted = await requests.body(request, _DECODER, requests.settings_of(request))
        async with requests.ledger_of(request).transaction() as connection:
            document, is_repeat = await late_returns.return_order(connection, order, wanted.reason, request.state.who)
        change.result = "replayed" if is_repeat else "returned"
        change.fields["refund_id"] = document["refundId"]
    return json(document, {"idempotent-replayed": "true"} if is_repeat else None)
