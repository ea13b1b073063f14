"""The bodies of answers, as the OpenAPI document describes them. Their names are the document's, and their fields the API's."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from flashsale_ledger_api.refund_changes import State

Text = Annotated[str, Meta(min_length=1)]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Cursor = Annotated[str, Meta(description="The value of `after` for the next page")]


EventState = Annotated[
    Literal["due", "sent", "failed", "reported", "left"],
    Meta(description="From reported to left: somebody left the order as paid, although the provider had reported a refund of it"),
]


class AnswerBody(msgspec.Struct, kw_only=True):
    pass


class Refund(AnswerBody):
    refundId: Text
    state: State
    reason: Annotated[Text, Meta(description="late, sold_out, duplicate, cancelled, wrong_amount, unknown_order, returned or restored")]
    productId: str
    orderId: Text
    userId: Annotated[str | None, Meta(description="null if the ledger has no order of this name")]
    paymentId: Text
    amountMinor: Annotated[int, Meta(description="0 while it is not known: the payment was restored after a loss of data")]
    refundedMinor: Annotated[int, Meta(description="What the buyer has been paid back in all")]
    currency: str
    createdAt: Time
    changedAt: Time | None
    ageSeconds: int


class RefundEvent(AnswerBody):
    at: Time
    source: Literal["admin", "provider"]
    who: Annotated[str, Meta(description="The name of an admin key, or empty for the provider")]
    fromState: EventState
    toState: EventState
    refundedMinor: int
    reference: Annotated[str, Meta(description="The provider's id of the refund; may be empty")]
    reason: str


class RefundWithHistory(Refund):
    returnedBy: Annotated[str | None, Meta(description="Who took the order back; null if nobody did, or if it is not known")]
    history: list[RefundEvent]


class Refunds(AnswerBody):
    refunds: list[Refund]
    next: Annotated[Cursor | None, Meta(description="null on the last page")]


class Payment(AnswerBody):
    paymentId: Text
    orderId: Text
    productId: Annotated[str, Meta(description="Empty if the payment named no order of a sale")]
    result: Annotated[
        Literal["paid", "refund_due", "failed"],
        Meta(description="paid: it has paid its order, also if that was returned since. refund_due: it buys nothing, and has a refund"),
    ]
    reason: Annotated[str, Meta(description="Why a refund is due, as refunds have it; empty if the payment has paid its order")]
    amountMinor: Annotated[int, Meta(description="0 while it is not known: the payment was restored after a loss of data")]
    currency: str
    at: Time
    refundId: Annotated[str | None, Meta(description="Of its refund, or of the refund of its return; null if there is none")]


class ReportedRefund(AnswerBody):
    productId: str
    orderId: Text
    userId: str
    paymentId: Text
    amountMinor: Annotated[int, Meta(description="Of the payment; 0 if it is not known: it was restored after a loss of data")]
    currency: str
    reportedMinor: Annotated[int, Meta(description="What the provider reported in all")]
    reportedCurrency: Annotated[Text, Meta(description="Of the last report")]
    reference: Annotated[Text, Meta(description="The provider's id of the last refund")]
    reportedAt: Annotated[Time, Meta(description="When the last report arrived")]
    ageSeconds: int


class ReportedRefunds(AnswerBody):
    reportedRefunds: list[ReportedRefund]
    next: Annotated[Cursor | None, Meta(description="null on the last page")]


class LeftOrder(AnswerBody):
    orderId: Text
    paymentId: Text
    reportedMinor: Annotated[int, Meta(description="What the provider had reported; a later report is listed again")]
    reference: str
    reason: Text
    leftBy: Text
    leftAt: Time


class Event(AnswerBody):
    id: Annotated[Text, Meta(description="The webhook-id by which webhooks repeat it")]
    writtenAt: Time
    type: Text
    timestamp: Time
    data: dict[str, Any]


class Events(AnswerBody):
    events: list[Event]
    next: Annotated[Cursor, Meta(description="Never null: ask with it again later")]


class ProblemDocument(AnswerBody):
    """RFC 9457. `code` is stable; `field` names the part of the request that is wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str | msgspec.UnsetType = msgspec.UNSET
    field: str | msgspec.UnsetType = msgspec.UNSET
    refund: Annotated[RefundWithHistory | msgspec.UnsetType, Meta(description="With refund_changed: the refund as it is")] = msgspec.UNSET
