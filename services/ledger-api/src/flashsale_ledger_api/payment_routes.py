"""/admin/orders/{order}/payments/{payment}: the decision for a shop whose payment is undecided at the gateway."""

from starlette.requests import Request
from starlette.responses import Response

from flashsale_ledger_api import payments, requests
from flashsale_ledger_api.answers import json


async def show_payment(request: Request) -> Response:
    requests.query(request, ())
    order, payment_id = request.path_params["order_id"], request.path_params["payment_id"]
    return json(await payments.show(requests.ledger_of(request), order, payment_id))
