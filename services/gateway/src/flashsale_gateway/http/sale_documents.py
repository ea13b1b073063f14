"""Sales on the wire: a stored sale as JSON, and a stock request as a definition."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from flashsale_core.owners import is_released
from flashsale_core.prices import NO_PRICE, price_text, read_price
from flashsale_core.records import MAX_RELEASED
from flashsale_core.sale_times import SALE_TIME_RULE, is_sale_time
from flashsale_core.timestamps import rfc3339_of_ms, to_ms
from flashsale_core.topology import default_window
from flashsale_gateway.http.body_schemas import StockRequest
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.stock_conditions import ANY, Condition

ADMIN = "admin"
"""The owner of sales set through /admin."""


def to_json(sale_id: str, fields: Mapping[str, str]) -> dict[str, Any]:
    requests, starts_ms, ends_ms = int(fields["rate_requests"]), int(fields["starts_ms"]), int(fields["ends_ms"])
    return {
        "productId": sale_id,
        "stock": int(fields["total"]),
        "available": int(fields["available"]),
        "reserved": int(fields["reserved"]),
        "sold": int(fields["sold"]),
        "state": fields["state"],
        "startsAt": rfc3339_of_ms(starts_ms) if starts_ms else None,
        "endsAt": rfc3339_of_ms(ends_ms) if ends_ms else None,
        "maxPerUser": int(fields["max_per_user"]) or None,
        "maxReleasedPerUser": int(fields.get("max_released", MAX_RELEASED)) or None,
        "paymentWindowSeconds": int(fields["hold_seconds"]),
        "rateLimit": {"requests": requests, "seconds": int(fields["rate_seconds"])} if requests else None,
        "latePayment": fields["late_payment"],
        "price": _price(fields.get("price", NO_PRICE)),
        "durability": fields.get("durability", "fsync"),
        "owner": "" if is_released(fields["owner"]) else fields["owner"],
        "generation": int(fields["generation"]),
    }


def to_definition(request: StockRequest, windows: Sequence[int], condition: Condition = ANY) -> dict[str, Any]:
    """The argument of `define`; fields left out stay as they are. Raises Problem when fields contradict each other or the installation."""
    _check(request, windows)
    wanted: dict[str, Any] = {"owner": ADMIN, "generation": 0}
    _put(wanted, "total", request.stock, int)
    _put(wanted, "add", request.add, int)
    wanted |= condition.fields(is_needed="add" in wanted)
    wanted["default_hold_seconds"] = default_window(windows)
    _put(wanted, "starts_ms", request.startsAt, to_ms)
    _put(wanted, "ends_ms", request.endsAt, to_ms)
    _put(wanted, "max_per_user", request.maxPerUser, int)
    _put(wanted, "max_released", request.maxReleasedPerUser, int)
    _put(wanted, "hold_seconds", request.paymentWindowSeconds, int)
    _put(wanted, "late_payment", request.latePayment, str)
    _put(wanted, "durability", request.durability, str)
    if request.price is not msgspec.UNSET:
        wanted["price"] = price_text(request.price.amountMinor, request.price.currency) if request.price else NO_PRICE
    _put(wanted, "rate_requests", request.rateLimit, lambda rate: rate.requests)
    if isinstance(request.rateLimit, msgspec.Struct):
        wanted["rate_seconds"] = request.rateLimit.seconds
    _put(wanted, "state", request.paused, lambda paused: "paused" if paused else "open")
    return wanted


def contradicting_times(request: StockRequest, sale: Mapping[str, str]) -> Problem:
    """The problem when the one time that `request` sets contradicts the other time, which `sale` has already."""
    if isinstance(request.endsAt, datetime):
        return Problem("bad_request", f"Must be after startsAt, {rfc3339_of_ms(int(sale['starts_ms']))}", field="endsAt")
    return Problem("bad_request", f"Must be before endsAt, {rfc3339_of_ms(int(sale['ends_ms']))}", field="startsAt")


def _price(text: str) -> dict[str, Any] | None:
    """Raises ValueError if it was written by hand and cannot be read."""
    price = read_price(text)
    return {"amountMinor": price.amount_minor, "currency": price.currency} if price else None


def _put(wanted: dict[str, Any], name: str, value: Any, convert: Any) -> None:
    if value is not msgspec.UNSET:
        wanted[name] = 0 if value is None else convert(value)


def _check(request: StockRequest, windows: Sequence[int]) -> None:
    if (request.stock is msgspec.UNSET) == (request.add is msgspec.UNSET):
        raise Problem("bad_request", "Send either stock, all units, or add, the difference", field="stock")
    window = request.paymentWindowSeconds
    if window is not msgspec.UNSET and window not in windows:
        raise Problem("bad_request", f"Must be one of {', '.join(map(str, windows))}", field="paymentWindowSeconds")
    starts, ends = request.startsAt, request.endsAt
    _require_sale_time("startsAt", starts)
    _require_sale_time("endsAt", ends)
    if isinstance(starts, datetime) and isinstance(ends, datetime) and ends <= starts:
        raise Problem("bad_request", "Must be after startsAt", field="endsAt")


def _require_sale_time(field: str, moment: datetime | msgspec.UnsetType | None) -> None:
    if isinstance(moment, datetime) and not is_sale_time(to_ms(moment)):
        raise Problem("bad_request", f"Must be {SALE_TIME_RULE}", field=field)
