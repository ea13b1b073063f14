"""Builds a resource's status: conditions, phase and stock numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from flashsale_operator.plan import COUNTERS, Stall, StallReason
from flashsale_operator.resource import Resource

FIELDS_OF_A_SALE = ("page", "paymentWindowSeconds", "stock")
"""What the status has of the sale in Redis; absent without a sale that the resource owns."""


class Phase(StrEnum):
    """A one-word summary for people; programs read the conditions."""

    PENDING = "Pending"
    SCHEDULED = "Scheduled"
    LIVE = "Live"
    PAUSED = "Paused"
    SOLD_OUT = "SoldOut"
    ENDED = "Ended"
    STALLED = "Stalled"
    DRAINING = "Draining"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a reconciliation."""

    sale: Mapping[str, str]
    """The hash of the sale if this resource owns it; empty when there is no such sale or it could not be read."""
    stall: Stall | None = None
    waiting: str | None = None
    """Why the sale could not be read for now: Redis is away, and a retry will help."""
    draining: str | None = None
    """What a deletion waits for."""


class _Condition(NamedTuple):
    kind: str
    holds: bool
    reason: str
    message: str = ""


def status_of(
    resource: Resource, verdict: Verdict, previous: Mapping[str, Any], now_ms: int, now: str, storefront: str = ""
) -> dict[str, Any]:
    """The complete status. `now` is `now_ms` as RFC 3339; a condition's transition time changes only with its status.

    `storefront` is the origin at which buyers reach the storefront, empty if it is not known.
    """
    known = {condition["type"]: condition for condition in previous.get("conditions") or ()}
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "productId": resource.product_id,
        "phase": _phase(resource, verdict, previous, now_ms).value,
        "conditions": [
            _document(condition, resource.generation, known.get(condition.kind), now) for condition in _conditions(resource, verdict, known)
        ],
    }
    if resource.controller:
        status["controllerName"] = resource.controller
    if epoch := resource.epoch or int(verdict.sale.get("epoch", 0)):
        status["epoch"] = epoch
    if verdict.sale:
        page = {"page": f"{storefront}/s/{resource.product_id}"} if storefront else {}
        return status | page | _of_sale(verdict.sale)
    kept = FIELDS_OF_A_SALE if _keeps_stock(verdict) else ()
    return status | {name: previous[name] for name in kept if previous.get(name)}


def _of_sale(sale: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"stock": {name: int(sale[name]) for name in COUNTERS if _is_number(sale.get(name))}}
    if _is_number(sale.get("hold_seconds")):
        fields["paymentWindowSeconds"] = int(sale["hold_seconds"])
    return fields


def without_stock(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name != "stock"}


def transitions(previous: Mapping[str, Any], status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conditions whose status changed; a new condition counts if it is True."""
    known = {condition["type"]: condition["status"] for condition in previous.get("conditions") or ()}
    return [condition for condition in status["conditions"] if known.get(condition["type"], "False") != condition["status"]]


def _conditions(resource: Resource, verdict: Verdict, known: Mapping[str, Mapping[str, Any]]) -> list[_Condition]:
    if verdict.waiting is not None:
        return [
            _Condition("Ready", False, "RedisUnavailable", verdict.waiting),
            _Condition("Reconciling", True, "RedisUnavailable", verdict.waiting),
            _Condition("Stalled", False, "Progressing"),
            *_kept(known, "RedisUnavailable", verdict.waiting),
        ]
    stall, draining = verdict.stall, verdict.draining
    if draining is not None:
        ready = _Condition("Ready", False, "Draining", draining)
    elif stall is not None:
        ready = _Condition("Ready", False, stall.reason.value, stall.message)
    else:
        ready = _Condition("Ready", True, "Reconciled", f"sale {resource.product_id} in Redis matches this resource")
    return [
        ready,
        _Condition("Reconciling", draining is not None, "Draining" if draining is not None else "Reconciled", draining or ""),
        _Condition("Stalled", stall is not None, stall.reason.value if stall else "Progressing", stall.message if stall else ""),
        *_stock_conditions(verdict, known),
    ]


def _stock_conditions(verdict: Verdict, known: Mapping[str, Mapping[str, Any]]) -> list[_Condition]:
    if _keeps_stock(verdict):
        return _kept(known, StallReason.RECOVERING.value)
    stall, loaded = verdict.stall, bool(verdict.sale)
    sold_out = loaded and verdict.sale.get("available") == "0"
    missing = "DataLost" if stall is not None and stall.reason is StallReason.DATA_LOST else "NotLoaded"
    return [
        _Condition("StockLoaded", loaded, "Loaded" if loaded else missing),
        _Condition("SoldOut", sold_out, "SoldOut" if sold_out else "UnitsLeft" if loaded else missing),
    ]


def _keeps_stock(verdict: Verdict) -> bool:
    """Whether the last known stock stays in the status: neither an absent Redis nor its recovery changes what was sold."""
    return verdict.waiting is not None or (verdict.stall is not None and verdict.stall.reason is StallReason.RECOVERING)


def _kept(known: Mapping[str, Mapping[str, Any]], reason: str, message: str = "") -> list[_Condition]:
    return [_Condition(kind, _held(known.get(kind)), reason, message) for kind in ("StockLoaded", "SoldOut")]


def _phase(resource: Resource, verdict: Verdict, previous: Mapping[str, Any], now_ms: int) -> Phase:
    if verdict.draining is not None:
        return Phase.DRAINING
    if verdict.stall is not None:
        return Phase.STALLED
    if verdict.waiting is not None or not verdict.sale:
        return Phase(previous.get("phase") or Phase.PENDING)
    ends_ms, starts_ms = int(resource.definition["ends_ms"]), int(resource.definition["starts_ms"])
    if ends_ms and now_ms >= ends_ms:
        return Phase.ENDED
    if resource.definition["state"] == "paused":
        return Phase.PAUSED
    if now_ms < starts_ms:
        return Phase.SCHEDULED
    return Phase.SOLD_OUT if verdict.sale.get("available") == "0" else Phase.LIVE


def _document(condition: _Condition, generation: int, known: Mapping[str, Any] | None, now: str) -> dict[str, Any]:
    status = "True" if condition.holds else "False"
    same = known is not None and known["status"] == status
    return {
        "type": condition.kind,
        "status": status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": known["lastTransitionTime"] if same and known is not None else now,
    }


def _held(known: Mapping[str, Any] | None) -> bool:
    return known is not None and known["status"] == "True"


def _is_number(text: str | None) -> bool:
    return text is not None and text.lstrip("-").isdigit()
