"""A resource's status: conditions, phase and numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from flashsale_operator.plan import COUNTERS, Stall, Trouble
from flashsale_operator.resource import Resource


class Phase(StrEnum):
    """One word for people; programs read the conditions."""

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
    """What a reconciliation came to."""

    sale: Mapping[str, str]
    """The hash of the sale that is ours; empty when there is none, or none could be read."""
    stall: Stall | None = None
    waiting: str | None = None
    """Why nothing can be told now, though trying again will help: Redis is away."""
    draining: str | None = None
    """What a deletion waits for."""


class _Condition(NamedTuple):
    kind: str
    holds: bool
    reason: str
    message: str = ""


def status_of(resource: Resource, verdict: Verdict, previous: Mapping[str, Any], now_ms: int, now: str) -> dict[str, Any]:
    """The whole status. `now` is `now_ms` as RFC 3339; a transition time moves only when its condition's status does."""
    known = {condition["type"]: condition for condition in previous.get("conditions") or ()}
    status: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "productId": resource.product_id,
        "phase": _phase(resource, verdict, previous, now_ms).value,
        "conditions": [_written(one, resource.generation, known.get(one.kind), now) for one in _conditions(resource, verdict, known)],
    }
    if epoch := resource.epoch or int(verdict.sale.get("epoch", 0)):
        status["epoch"] = epoch
    if verdict.sale:
        status["stock"] = {name: int(verdict.sale[name]) for name in COUNTERS if _is_number(verdict.sale.get(name))}
    elif verdict.waiting is not None and previous.get("stock"):
        status["stock"] = dict(previous["stock"])
    return status


def without_stock(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in status.items() if name != "stock"}


def transitions(previous: Mapping[str, Any], status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conditions whose status changed, or that hold from the first."""
    known = {condition["type"]: condition["status"] for condition in previous.get("conditions") or ()}
    return [one for one in status["conditions"] if known.get(one["type"], "False") != one["status"]]


def _conditions(resource: Resource, verdict: Verdict, known: Mapping[str, Mapping[str, Any]]) -> list[_Condition]:
    if verdict.waiting is not None:
        # What was last known of the stock stands: Redis being away is no news about it.
        kept = [_Condition(kind, _held(known.get(kind)), "RedisUnavailable", verdict.waiting) for kind in ("StockLoaded", "SoldOut")]
        return [
            _Condition("Ready", False, "RedisUnavailable", verdict.waiting),
            _Condition("Reconciling", True, "RedisUnavailable", verdict.waiting),
            _Condition("Stalled", False, "Progressing"),
            *kept,
        ]
    stall, draining, loaded = verdict.stall, verdict.draining, bool(verdict.sale)
    if draining is not None:
        ready = _Condition("Ready", False, "Draining", draining)
    elif stall is not None:
        ready = _Condition("Ready", False, stall.trouble.value, stall.message)
    else:
        ready = _Condition("Ready", True, "Reconciled", f"product {resource.product_id} is in Redis as this resource says")
    sold_out = loaded and verdict.sale.get("available") == "0"
    missing = "DataLost" if stall is not None and stall.trouble is Trouble.DATA_LOST else "NotLoaded"
    return [
        ready,
        _Condition("Reconciling", draining is not None, "Draining" if draining is not None else "Reconciled", draining or ""),
        _Condition("Stalled", stall is not None, stall.trouble.value if stall else "Progressing", stall.message if stall else ""),
        _Condition("StockLoaded", loaded, "Loaded" if loaded else missing),
        _Condition("SoldOut", sold_out, "SoldOut" if sold_out else "UnitsLeft" if loaded else missing),
    ]


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


def _written(condition: _Condition, generation: int, known: Mapping[str, Any] | None, now: str) -> dict[str, Any]:
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
