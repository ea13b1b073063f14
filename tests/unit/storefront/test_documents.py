"""What the public is shown of a sale."""

import json

import pytest

from flashsale_storefront.answers import is_current
from flashsale_storefront.documents import State, body_at, describe, recovering
from flashsale_storefront.wording import price_of

FIELDS = {
    "state": "open", "starts_ms": "1000", "ends_ms": "9000", "available": "3", "reserved": "2", "total": "10", "max_per_user": "0",
    "hold_seconds": "300", "price": "4900 EUR", "owner": "shop-7",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "now_ms", "state"),
    [
        ({}, 999, State.NOT_STARTED),
        ({}, 1000, State.ON_SALE),
        ({"available": "0"}, 1000, State.SOLD_OUT),
        ({"available": "0"}, 999, State.NOT_STARTED),
        ({}, 9000, State.ENDED),
        ({"state": "paused"}, 999, State.PAUSED),
        ({"state": "closed"}, 1000, State.ENDED),
        ({"starts_ms": "0", "ends_ms": "0"}, 10**12, State.ON_SALE),
    ],
)
def test_state_is_what_an_order_would_be_answered(fields: dict[str, str], now_ms: int, state: State) -> None:
    assert describe("shoe", FIELDS | fields, now_ms).state == state


def test_document_names_no_owner_and_has_the_time_of_its_answer() -> None:
    assert json.loads(body_at(describe("shoe", FIELDS, 1000), 1500)) == {
        "productId": "shoe", "state": "on_sale", "available": 3, "reserved": 2, "stock": 10, "startsAt": "1970-01-01T00:00:01.000Z",
        "endsAt": "1970-01-01T00:00:09.000Z", "price": {"amountMinor": 4900, "currency": "EUR"}, "maxPerUser": None,
        "paymentWindowSeconds": 300, "serverTime": "1970-01-01T00:00:01.500Z",
    }  # fmt: skip


def test_price_has_the_decimals_of_its_currency() -> None:
    prices = [None, {"amountMinor": 4900, "currency": "EUR"}, {"amountMinor": 250_000, "currency": "PYG"}]
    assert [price_of(price) for price in prices] == ["", "49.00 EUR", "250,000 PYG"]


def test_recovering_sale_shows_no_number() -> None:
    assert json.loads(body_at(recovering("shoe"), 0)) == {
        "productId": "shoe", "state": "recovering", "serverTime": "1970-01-01T00:00:00.000Z"
    }  # fmt: skip


@pytest.mark.parametrize("broken", [{"available": "x"}, {"price": "cheap"}])
def test_broken_data_is_an_error_and_never_a_number(broken: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"cheap|invalid literal"):
        describe("shoe", FIELDS | broken, 1000)


@pytest.mark.parametrize(
    ("condition", "expected"), [(b"", False), (b'W/"a"', True), (b'"a"', True), (b'"b", W/"a"', True), (b"*", True), (b'"ab"', False)]
)
def test_condition_is_compared_weakly(condition: bytes, expected: bool) -> None:
    assert is_current(condition, b'W/"a"') is expected
