from typing import Any

import msgspec
import pytest

from flashsale_gateway.http.body_schemas import (
    OrderRequest,
    PaymentWebhook,
    RefundWebhook,
    make_reader,
    read_order,
    read_stock,
    read_webhook,
)
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.payments import to_payment

ORDER = {"userId": "bob", "productId": "iphone", "quantity": 2, "requestId": "r-1"}
STOCK = {"productId": "iphone", "stock": 10}
PAYMENT: dict[str, Any] = {
    "type": "payment.succeeded",
    "timestamp": "2026-01-01T00:00:00Z",
    "data": {"orderId": "iphone.x", "paymentId": "p1", "amountMinor": 100, "currency": "EUR"},
}
LONG = "x" * 256
WRONG_ORDERS: list[tuple[str, Any]] = [
    ("userId", 7), ("userId", ""), ("userId", LONG), ("userId", "a b"), ("userId", "bob\n"), ("userId", ["bob"]),
    ("userId", "#bob"), ("userId", 'b"ob'), ("userId", "b\\ob"), ("userId", "b\x7fob"), ("userId", "böb"), ("productId", {}),
    ("productId", ""), ("productId", LONG), ("productId", "a:b"), ("productId", "a|b"),
    ("productId", "a{b}"), ("quantity", 0), ("quantity", -1), ("quantity", 1.5), ("quantity", 1.0), ("quantity", "1"), ("quantity", True),
    ("quantity", 10**30), ("quantity", None), ("requestId", 1), ("requestId", ""), ("requestId", LONG), ("requestId", "r\n"),
    ("extra", 1), ("deep", {"a": {"b": {}}}),
]  # fmt: skip
WRONG_STOCKS: list[tuple[str, Any]] = [
    ("stock", -1), ("stock", "1"), ("stock", 10**10), ("stock", None), ("startsAt", "soon"), ("startsAt", 5),
    ("startsAt", "2026-01-01T00:00:00"), ("endsAt", False), ("maxPerUser", 0), ("maxPerUser", -2), ("paymentWindowSeconds", 0),
    ("paymentWindowSeconds", None), ("rateLimit", 5), ("rateLimit.requests", {"requests": 0, "seconds": 1}),
    ("rateLimit.seconds", {"requests": 1}), ("rateLimit.burst", {"requests": 1, "seconds": 1, "burst": 2}), ("latePayment", "keep"),
    ("paused", "yes"), ("owner", "me"),
]  # fmt: skip
WRONG_DATA: list[tuple[str, Any]] = [
    ("orderId", 1), ("orderId", ""), ("orderId", LONG), ("orderId", "a b"), ("paymentId", ""), ("paymentId", None), ("paymentId", LONG),
    ("amountMinor", -1), ("amountMinor", 10**13), ("amountMinor", 1.5), ("paymentId", "a|b"),
    ("paymentId", "a b"), ("currency", "euro"), ("currency", "Eur"), ("currency", 5),
]  # fmt: skip


def body(document: Any) -> bytes:
    return msgspec.json.encode(document)


def refusal(read: Any, raw: bytes) -> tuple[str, str]:
    with pytest.raises(Problem) as caught:
        read(raw)
    return caught.value.code, caught.value.document.get("field", "")


def refusal_text(read: Any, raw: bytes) -> Any:
    with pytest.raises(Problem) as caught:
        read(raw)
    return caught.value.document


def test_order_is_decoded() -> None:
    assert msgspec.structs.asdict(read_order(body(ORDER))) == ORDER


@pytest.mark.parametrize(("field", "value"), [*WRONG_ORDERS, ("requestId", "a\0b"), ("userId", "a\0b"), ("productId", "a\0b")])
def test_orders_are_refused_in_the_words_of_the_schema(field: str, value: Any) -> None:
    wrong = body(ORDER | {field: value})
    assert refusal_text(read_order, wrong) == refusal_text(make_reader(OrderRequest), wrong)


def test_order_without_request_id_is_left_to_the_header() -> None:
    assert read_order(body({name: value for name, value in ORDER.items() if name != "requestId"})).requestId is None


@pytest.mark.parametrize(
    "user", ["auth0|65a1f3", "eu-west-1:7c9e", "o'brien@example.com", "-bob", "x" * 255, "!$%&'()*+,/:;<=>?@[]^_`{|}~", "b#"]
)
def test_user_ids_of_identity_providers_are_accepted(user: str) -> None:
    order = ORDER | {"userId": user, "requestId": user}
    assert msgspec.structs.asdict(read_order(body(order))) == order


def test_refusal_of_an_id_describes_valid_ids() -> None:
    with pytest.raises(Problem) as caught:
        read_order(body(ORDER | {"userId": "a b"}))
    assert caught.value.document["detail"] == (
        "Expected 1 to 255 printable ASCII characters without spaces, '\"' and '\\', the first not '#'"
    )


@pytest.mark.parametrize("payment", ["pi_3N", "ch_1/2+3=", "x" * 255, "PAY-[1]'~"])
def test_payment_ids_of_providers_are_accepted(payment: str) -> None:
    webhook = read_webhook(body(PAYMENT | {"data": {**PAYMENT["data"], "paymentId": payment, "currency": "eur"}}))
    assert isinstance(webhook, PaymentWebhook)
    assert (webhook.data.paymentId, to_payment(webhook, "")[1].currency) == (payment, "EUR")


@pytest.mark.parametrize(("field", "value"), WRONG_ORDERS)
def test_wrong_order_field_is_named(field: str, value: Any) -> None:
    if field == "requestId" and value is None:
        return
    assert refusal(read_order, body(ORDER | {field: value})) == ("bad_request", field)


@pytest.mark.parametrize("field", ["productId", "quantity"])
def test_missing_order_field_is_named(field: str) -> None:
    assert refusal(read_order, body({name: value for name, value in ORDER.items() if name != field})) == ("bad_request", field)


@pytest.mark.parametrize(("field", "value"), WRONG_STOCKS)
def test_wrong_stock_field_is_named(field: str, value: Any) -> None:
    assert refusal(read_stock, body(STOCK | {field.split(".")[0]: value})) == ("bad_request", field)


@pytest.mark.parametrize(("field", "value"), WRONG_DATA)
def test_wrong_payment_field_is_named(field: str, value: Any) -> None:
    assert refusal(read_webhook, body(PAYMENT | {"data": {**PAYMENT["data"], field: value}})) == ("bad_request", f"data.{field}")


@pytest.mark.parametrize("field", ["orderId", "paymentId", "amountMinor", "currency"])
def test_missing_payment_field_is_named(field: str) -> None:
    data = {name: value for name, value in PAYMENT["data"].items() if name != field}
    assert refusal(read_webhook, body(PAYMENT | {"data": data})) == ("bad_request", f"data.{field}")


@pytest.mark.parametrize(("field", "value"), [("type", 7), ("type", ""), ("type", None), ("timestamp", "now"), ("data", [])])
def test_wrong_webhook_field_is_named(field: str, value: Any) -> None:
    assert refusal(read_webhook, body(PAYMENT | {field: value})) == ("bad_request", field)


def test_fields_that_a_provider_adds_are_ignored() -> None:
    known = read_webhook(body(PAYMENT))
    data = {**PAYMENT["data"], "method": {"card": "visa"}}
    assert read_webhook(body(PAYMENT | {"id": "evt_1", "livemode": True, "data": data})) == known
    assert known is not None


REFUND: dict[str, Any] = {**PAYMENT, "type": "payment.refunded", "data": {**PAYMENT["data"], "amountMinor": 400, "refundId": "re_1"}}


def test_refund_names_its_payment_and_its_own_id() -> None:
    webhook = read_webhook(body(REFUND))
    assert isinstance(webhook, RefundWebhook)
    assert (webhook.data.paymentId, webhook.data.refundId, webhook.data.amountMinor) == (REFUND["data"]["paymentId"], "re_1", 400)


@pytest.mark.parametrize(
    ("field", "value"), [("refundId", ""), ("refundId", None), ("amountMinor", 0), ("currency", "EURO"), ("orderId", "")]
)
def test_wrong_field_of_a_refund_is_named(field: str, value: Any) -> None:
    data = {**REFUND["data"], field: value}
    assert refusal(read_webhook, body(REFUND | {"data": data})) == ("bad_request", f"data.{field}")


@pytest.mark.parametrize("more", [{}, {"data": None}, {"data": [1]}, {"data": {"orderId": 7}}, {"timestamp": 1767225600, "data": PAYMENT}])
def test_event_of_another_type_is_none_with_any_fields(more: dict[str, Any]) -> None:
    assert read_webhook(body({"type": "charge.refunded", **more})) is None


@pytest.mark.parametrize("raw", [b'{"type":"charge.refunded"', b'["charge.refunded"]', b'{"kind":"charge.refunded"}', b'{"type":"a\xff"}'])
def test_webhook_without_a_readable_type_is_refused(raw: bytes) -> None:
    assert refusal(read_webhook, raw)[0] == "bad_request"


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b"[]", b"1", b'"x"', b"{} {}", b"[" * 10_000, b'{"a":' * 10_000, b"\x00", b"\xff\xfe"])
def test_body_that_cannot_be_decoded_is_refused(raw: bytes) -> None:
    assert refusal(read_order, raw)[0] == "bad_request"


def test_invalid_utf8_names_the_field_it_is_in() -> None:
    raw = b'{"userId":"b\xffb","productId":"iphone"}'
    assert refusal(read_order, raw) == ("bad_request", "userId")
