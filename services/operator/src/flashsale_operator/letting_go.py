"""Whether a deletion ends although Redis cannot be used, so that no namespace hangs on the finalizer. Pure."""

from collections.abc import Mapping
from typing import Any

from flashsale_operator.events import Event
from flashsale_operator.plan import StallReason
from flashsale_operator.resource import DeletionPolicy, Resource

_BLOCKING = ("RedisUnavailable", StallReason.RECOVERING.value, StallReason.INCONSISTENT.value)


def is_blocked(status: Mapping[str, Any]) -> bool:
    """Whether the deletion waits for Redis itself, and not for holds."""
    return any(condition["status"] == "True" and condition["reason"] in _BLOCKING for condition in status["conditions"])


def is_due(blocked_since: float | None, now: float, limit_seconds: float) -> bool:
    return blocked_since is not None and now - blocked_since >= limit_seconds


def lets_go(resource: Resource, *, namespace_ends: bool) -> bool:
    """Whether a due deletion ends without Redis. Drain promises to wait for holds, which only a namespace that ends overrules."""
    return resource.deletion_policy is DeletionPolicy.RETAIN or namespace_ends


def let_go_event(resource: Resource, limit_seconds: float) -> Event:
    """The last word about the sale: what is left behind, and who can take it over."""
    return Event(
        "Warning",
        "DeletedWithoutRedis",
        f"Redis could not be used for {limit_seconds:.0f} s. If it comes back, sale {resource.product_id} is in it with its holds, of "
        f"{resource.owner}; a FlashSale named {resource.full_name} takes it over. "
        "Unpaid holds expire, orders stay in the ledger",
    )
