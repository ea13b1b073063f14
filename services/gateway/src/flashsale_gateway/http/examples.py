"""An example of each body, for the OpenAPI documents. A test holds each against its schema."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flashsale_gateway.http.answer_schemas import (
    AnswerBody,
    Order,
    OrderAccepted,
    OrderReturned,
    PaymentOutcome,
    Sale,
    SaleEnded,
    Sales,
    Session,
)
from flashsale_gateway.http.body_schemas import (
    Body,
    OrderRequest,
    OtherEvent,
    PaymentWebhook,
    RefundWebhook,
    ReturnRequest,
    SessionRequest,
    StockRequest,
)

_ORDER = {"orderId": "shoe.eQ6yDFhwRKT5n5wmHzcg", "productId": "shoe", "quantity": 1, "expiresAt": "2026-11-27T10:05:00.000Z"}
_TERMS = {
    "startsAt": "2026-11-27T10:00:00.000Z",
    "endsAt": None,
    "maxPerUser": 2,
    "paymentWindowSeconds": 300,
    "rateLimit": {"requests": 10, "seconds": 60},
    "price": {"amountMinor": 4900, "currency": "EUR"},
}
_SALE = {
    "productId": "shoe",
    "stock": 1000,
    "available": 640,
    "reserved": 60,
    "sold": 300,
    "state": "open",
    **_TERMS,
    "maxReleasedPerUser": 10,
    "latePayment": "refund",
    "durability": "fsync",
    "owner": "admin",
    "generation": 3,
}
_PAYMENT = {"orderId": "shoe.eQ6yDFhwRKT5n5wmHzcg", "paymentId": "pi_3Nq1", "amountMinor": 4900, "currency": "EUR"}

EXAMPLES: Mapping[type[AnswerBody | Body], Mapping[str, Any]] = MappingProxyType(
    {
        OrderRequest: {"userId": "ann", "productId": "shoe", "quantity": 1, "requestId": "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
        OrderAccepted: {"status": "success", "state": "reserved", **_ORDER},
        Order: {"state": "paid", **_ORDER},
        SessionRequest: {"userId": "ann"},
        Session: {"token": "fsb1.ann.1795773600.rD747ElTRdnqPmUCYwosqD7G", "userId": "ann", "expiresAt": "2026-11-27T10:00:00.000Z"},
        PaymentWebhook: {"type": "payment.succeeded", "timestamp": "2026-11-27T10:01:00Z", "data": _PAYMENT},
        RefundWebhook: {"type": "payment.refunded", "timestamp": "2026-11-27T11:00:00Z", "data": {**_PAYMENT, "refundId": "re_3Nq1"}},
        OtherEvent: {"type": "payment.created"},
        PaymentOutcome: {"result": "paid", "reason": ""},
        StockRequest: {"productId": "shoe", "stock": 1000, **_TERMS},
        Sale: _SALE,
        Sales: {"sales": [_SALE]},
        ReturnRequest: {"restock": True},
        OrderReturned: {
            "orderId": "shoe.eQ6yDFhwRKT5n5wmHzcg",
            "state": "returned",
            "productId": "shoe",
            "quantity": 1,
            "restocked": True,
            "paymentId": "pi_3Nq1",
        },
        SaleEnded: {"productId": "shoe", "state": "closed", "reserved": 2},
    }
)
