from typing import Any

import msgspec
import pytest

from flashsale_gateway.http.body_schemas import read_stock
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.sale_documents import to_definition, to_json

WINDOWS = (5, 300)
STORED = {
    "total": "10", "available": "7", "reserved": "2", "sold": "1", "state": "open", "starts_ms": "1767225600000", "ends_ms": "0",
    "max_per_user": "2", "max_released": "5", "hold_seconds": "300", "rate_requests": "0", "rate_seconds": "1", "late_payment": "refund",
    "owner": "admin", "generation": "3", "epoch": "1",
}  # fmt: skip


def definition(**fields: Any) -> dict[str, Any]:
    return to_definition(read_stock(msgspec.json.encode({"productId": "iphone", "stock": 5, **fields})), WINDOWS)


def test_fields_left_out_stay_as_they_are() -> None:
    assert definition() == {"owner": "admin", "generation": 0, "total": 5, "default_hold_seconds": 300}


@pytest.mark.parametrize(
    ("windows", "default"), [((15, 60, 300, 600), 300), ((60, 120), 120), ((600, 900), 600), ((15,), 15), ((200, 400), 200)]
)
def test_new_sale_gets_an_installed_payment_window(windows: tuple[int, ...], default: int) -> None:
    defined = to_definition(read_stock(b'{"productId":"iphone","stock":5}'), windows)
    assert (defined["default_hold_seconds"], "hold_seconds" in defined) == (default, False)


def test_null_removes_a_limit() -> None:
    assert definition(maxPerUser=None, maxReleasedPerUser=None, price=None, startsAt=None, rateLimit=None) == {
        "owner": "admin",
        "generation": 0,
        "total": 5,
        "default_hold_seconds": 300,
        "max_per_user": 0,
        "max_released": 0,
        "starts_ms": 0,
        "rate_requests": 0,
        "price": "",
    }


def test_every_field_reaches_the_definition() -> None:
    assert definition(
        startsAt="2026-01-01T00:00:00Z", endsAt="2026-01-01T02:00:00+01:00", maxPerUser=2, maxReleasedPerUser=5, paymentWindowSeconds=5,
        rateLimit={"requests": 3, "seconds": 10}, latePayment="reacquire", durability="confirmed", paused=True,
        price={"amountMinor": 1999, "currency": "eur"},
    ) == {
        "owner": "admin", "generation": 0, "total": 5, "default_hold_seconds": 300, "starts_ms": 1767225600000,
        "ends_ms": 1767229200000, "max_per_user": 2, "max_released": 5, "hold_seconds": 5,
        "rate_requests": 3, "rate_seconds": 10, "late_payment": "reacquire", "durability": "confirmed", "state": "paused",
        "price": "1999 EUR",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("paymentWindowSeconds", {"paymentWindowSeconds": 7}),
        ("endsAt", {"startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:00:00Z"}),
    ],
)
def test_contradiction_names_the_field(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Problem) as caught:
        definition(**fields)
    assert (caught.value.code, caught.value.document["field"]) == ("bad_request", field)


@pytest.mark.parametrize("field", ["startsAt", "endsAt"])
@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "1970-01-02T00:00:00+00:01",
        "3000-01-01T00:00:00Z", "2999-12-31T23:59:59.999999Z", "5138-11-16T09:46:40Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00",
    ],
)  # fmt: skip
def test_time_that_cannot_be_stored_everywhere_is_refused(field: str, moment: str) -> None:
    with pytest.raises(Problem) as caught:
        definition(**{field: moment})
    assert caught.value.document["field"] == field
    assert caught.value.document["detail"] == "Must be from 1970-01-02 to 2999-12-31, UTC"


def test_first_and_last_time_are_accepted_and_shown() -> None:
    times = {"startsAt": "1970-01-02T00:00:00.000Z", "endsAt": "2999-12-31T23:59:59.999Z"}
    defined = definition(**times)
    assert (defined["starts_ms"], defined["ends_ms"]) == (86_400_000, 32_503_679_999_999)
    shown = to_json("iphone", STORED | {name: str(defined[name]) for name in ("starts_ms", "ends_ms")})
    assert {name: shown[name] for name in times} == times


def test_stored_sale_is_shown_with_its_limits() -> None:
    assert to_json("iphone", STORED) == {
        "productId": "iphone", "stock": 10, "available": 7, "reserved": 2, "sold": 1, "state": "open",
        "startsAt": "2026-01-01T00:00:00.000Z", "endsAt": None, "maxPerUser": 2, "maxReleasedPerUser": 5,
        "paymentWindowSeconds": 300, "rateLimit": None,
        "latePayment": "refund", "price": None, "durability": "fsync", "owner": "admin", "generation": 3,
    }  # fmt: skip
    assert to_json("iphone", STORED | {"durability": "confirmed"})["durability"] == "confirmed"
    assert to_json("iphone", STORED | {"price": "1999 EUR"})["price"] == {"amountMinor": 1999, "currency": "EUR"}


@pytest.mark.parametrize(
    ("field", "price"),
    [
        ("price.amountMinor", {"amountMinor": 0, "currency": "EUR"}),
        ("price.amountMinor", {"amountMinor": 19.99, "currency": "EUR"}),
        ("price.currency", {"amountMinor": 1999, "currency": "euro"}),
        ("price.currency", {"amountMinor": 1999}),
        ("price", "19.99 EUR"),
    ],
)
def test_impossible_price_is_refused_by_name(field: str, price: Any) -> None:
    with pytest.raises(Problem) as caught:
        definition(price=price)
    assert (caught.value.code, caught.value.document["field"]) == ("bad_request", field)
