"""The bodies of answers, as the OpenAPI document describes them. Their names are the document's, and their fields the API's."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flashsale_gateway.http.body_schemas import PRICE_RULE, Price, RateLimit

Text = Annotated[str, Meta(min_length=1)]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
StateName = Literal["reserved", "paid", "expired", "cancelled", "returned"]


class AnswerBody(msgspec.Struct, kw_only=True):
    pass


class OrderAccepted(AnswerBody):
    status: Literal["success"]
    orderId: Text
    state: Literal["reserved", "paid"]
    productId: Text
    quantity: int
    expiresAt: Time


class Order(AnswerBody):
    orderId: Text
    state: StateName
    productId: Text
    quantity: int
    expiresAt: Time


class OrderReturned(AnswerBody):
    orderId: Text
    state: Literal["returned"]
    productId: Text
    quantity: int
    restocked: Annotated[bool, Meta(description="As the first request asked: an order is returned once")]
    paymentId: Annotated[Text, Meta(description="The payment whose refund is due")]


class Session(AnswerBody):
    token: Text
    userId: Text
    expiresAt: Time


class Sale(AnswerBody):
    productId: Text
    stock: int
    available: int
    reserved: int
    sold: int
    state: Literal["open", "paused", "closed"]
    startsAt: Time | None
    endsAt: Time | None
    maxPerUser: int | None
    maxReleasedPerUser: int | None
    paymentWindowSeconds: int
    rateLimit: RateLimit | None
    latePayment: Literal["refund", "reacquire"]
    price: Annotated[Price | None, Meta(description=PRICE_RULE)]
    durability: Literal["fsync", "confirmed"]
    owner: Text
    generation: int


class Sales(AnswerBody):
    sales: list[Sale]


class SaleEnded(AnswerBody):
    productId: Text
    state: Literal["closed", "removed", "released"]
    reserved: int


class PaymentOutcome(AnswerBody):
    result: Literal["paid", "replayed", "refund_due", "undecided", "noted"]
    reason: str


class ProblemDocument(AnswerBody):
    type: str
    title: Text
    status: int
    code: Text
    detail: str | msgspec.UnsetType = msgspec.UNSET
    field: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
