"""Decides what to do about one resource, from its spec and from its sale in Redis. Pure.

Changes are made by the `define` script, which is fenced by owner and generation, so a plan made from outdated data does no harm.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from flashsale_core.owners import is_released, namespace_of
from flashsale_core.sale_times import SALE_TIME_RULE, is_sale_time
from flashsale_operator.resource import Resource

COUNTERS = ("total", "available", "reserved", "sold")
_CLOSED = "the sale was closed in Redis and cannot be opened again; delete this resource and create it again"


class StallReason(StrEnum):
    """Why a resource is stalled; used as the reason of its conditions."""

    DATA_LOST = "DataLost"
    NOT_OWNER = "NotOwner"
    INCONSISTENT = "Inconsistent"
    BELOW_COMMITTED = "BelowCommitted"
    CLOSED = "Closed"
    WINDOW_NOT_INSTALLED = "WindowNotInstalled"
    TIMES_IMPOSSIBLE = "TimesImpossible"
    REDIS_NOT_DURABLE = "RedisNotDurable"
    RECOVERING = "Recovering"


@dataclass(frozen=True, slots=True)
class Define:
    """Run the `define` script with the resource's definition."""

    why: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Release the sale's ownership in the name of its dead owner, then define the sale."""

    owner: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Stall:
    """The sale cannot be changed as the resource asks; `message` explains to the merchant why and what to do."""

    reason: StallReason
    message: str


Step = Define | Adopt | Keep | Stall


@dataclass(frozen=True, slots=True)
class Unusable:
    """Fields of a definition that no sale can have. A sale that exists keeps its own values of them, and gets the others."""

    fields: frozenset[str] = frozenset()
    stall: Stall | None = None
    """None if there are no such fields."""


def unusable(resource: Resource, windows: Sequence[int]) -> Unusable:
    """What of the resource's definition cannot be used; `windows` are in seconds."""
    window = _uninstalled(int(resource.definition["hold_seconds"]), windows)
    times = _impossible_times(int(resource.definition["starts_ms"]), int(resource.definition["ends_ms"]))
    # Both may be wrong at once: the first is named, and neither gets into a sale.
    fields = (("hold_seconds",) if window else ()) + (("starts_ms", "ends_ms") if times else ())
    if window:
        return Unusable(frozenset(fields), Stall(StallReason.WINDOW_NOT_INSTALLED, window))
    return Unusable(frozenset(fields), Stall(StallReason.TIMES_IMPOSSIBLE, times) if times else None)


def plan(resource: Resource, sale: Mapping[str, str], windows: Sequence[int]) -> Step:
    """The next step for a resource. `sale` is the sale's hash in Redis, empty when there is none; `windows` are in seconds."""
    left_out = unusable(resource, windows)
    if not sale and left_out.stall is not None:
        return left_out.stall
    if not sale:
        return _lost(resource) if resource.epoch else Define("the sale does not exist yet")
    if not _may_define(resource, sale.get("owner", "")):
        return _of_another(resource, sale["owner"])
    fault = inconsistency(sale)
    if fault:
        return Stall(
            StallReason.INCONSISTENT,
            f"the sale takes no orders because its numbers in Redis contradict each other ({fault}); "
            f"run `flashsale audit {resource.product_id}`",
        )
    if resource.epoch and int(sale["epoch"]) != resource.epoch:
        return _lost(resource)
    if sale["state"] == "closed":
        return Stall(StallReason.CLOSED, _CLOSED)
    step = _difference(resource, sale, left_out.fields)
    return left_out.stall or step if isinstance(step, Keep) else step


def _uninstalled(hold_seconds: int, windows: Sequence[int]) -> str | None:
    """What is wrong with the payment window, or None."""
    if hold_seconds in windows:
        return None
    return (
        f"paymentWindowSeconds {hold_seconds} is not installed; use one of {', '.join(map(str, windows))}, "
        "or add it to paymentWindows in the chart's values"
    )


def _impossible_times(starts_ms: int, ends_ms: int) -> str | None:
    """What is wrong with the times, or None. The schema refuses such times, but the installed one may be older than this operator."""
    for field, ms in (("startsAt", starts_ms), ("endsAt", ends_ms)):
        if ms and not is_sale_time(ms):
            return f"{field} must be {SALE_TIME_RULE}; correct it"
    return "endsAt must be after startsAt; correct one of them" if ends_ms and ends_ms <= starts_ms else None


def _of_another(resource: Resource, owner: str) -> Step:
    if not _same_name(resource, owner):
        return not_owner(resource, owner)
    if not resource.epoch:
        return Adopt(owner)
    uid = owner.rpartition("/")[2]
    return Stall(
        StallReason.NOT_OWNER,
        f"sale {resource.product_id} belongs to another {_name_of(owner)} (uid {uid}), in this cluster or in another one that uses "
        "the same Redis; to take the sale over, delete this resource and create it again",
    )


def acting_owner(resource: Resource, sale: Mapping[str, str]) -> str:
    """The owner in whose name a deletion ends the sale.

    It is the resource itself, a dead resource of the same name, or nobody if the sale is closed and was released.
    """
    owner = sale.get("owner", "")
    orphaned = _same_name(resource, owner) and not resource.epoch
    ended = is_released(owner) and _may_define(resource, owner) and sale.get("state") == "closed"
    return owner if orphaned or ended else resource.owner


def _may_define(resource: Resource, owner: str) -> bool:
    """Whether the sale is the resource's, or was released by somebody of its namespace."""
    return owner == resource.owner or (is_released(owner) and namespace_of(owner) in ("", resource.namespace))


def _same_name(resource: Resource, owner: str) -> bool:
    """Whether the owner is or was a resource of this name.

    A name has one resource at a time, so an owner with another uid is dead: it was removed without its finalizer being run.
    """
    return owner.rpartition("/")[0] == resource.full_name


def _difference(resource: Resource, sale: Mapping[str, str], left_out: Set[str]) -> Step:
    if sale["owner"] != resource.owner:
        return Define("the sale was released by its owner")
    generation = int(sale["generation"]) - int(sale.get("base", 0))
    if generation > resource.generation:
        # A newer generation is already in Redis: our copy of the resource is outdated, and the newer one will arrive.
        return Keep()
    # A sale that an older release defined has no price field, which means none.
    wanted = [(name, str(value)) for name, value in sorted(resource.definition.items()) if name not in left_out]
    differing = [name for name, value in wanted if sale.get(name, "") != value]
    if differing:
        return Define(f"{', '.join(differing)} differ")
    return Define("a new generation") if generation < resource.generation else Keep()


def inconsistency(sale: Mapping[str, str]) -> str | None:
    """What is contradictory or unreadable in a sale's hash; None when nothing is."""
    try:
        total, available, reserved, sold = (int(sale[name]) for name in COUNTERS)
        for name in ("epoch", "generation"):
            int(sale[name])
        int(sale.get("base", 0))
        for name in ("owner", "state"):
            sale[name]
    except (KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    if min(available, reserved, sold) < 0 or available + reserved + sold != total:
        return f"total {total}, available {available}, reserved {reserved}, sold {sold}"
    return None


def define_answer(status: str, sale: Mapping[str, str], resource: Resource) -> Stall | None:
    """The stall that a status of the `define` script means; None when the script succeeded."""
    match status:
        case "below_committed":
            committed = int(sale["reserved"]) + int(sale["sold"])
            return Stall(
                StallReason.BELOW_COMMITTED,
                f"stock {resource.definition['total']} is below the {committed} units already committed "
                f"({sale['reserved']} reserved, {sale['sold']} sold); the sale continues with {sale['total']} units. "
                f"Raise stock to {committed} or more, or wait for holds to expire",
            )
        case "not_owner":
            return not_owner(resource, sale.get("owner", ""))
        case "closed":
            return Stall(StallReason.CLOSED, _CLOSED)
        case _:
            return None


def not_owner(resource: Resource, owner: str) -> Stall:
    """Names only what the resource's own namespace has: product ids are shared by all namespaces, and others are nobody's business."""
    match namespace_of(owner):
        case "":
            words = f"belongs to {owner!r} (set through POST /admin/stock)"
        case resource.namespace:
            words = f"belongs to {_name_of(owner)}"
        case _:
            words = "belongs to another namespace; choose another productId, or ask whoever runs this installation"
    return Stall(StallReason.NOT_OWNER, f"sale {resource.product_id} {words}")


def _name_of(owner: str) -> str:
    return f"FlashSale {owner.rpartition('/')[0]}"


def _lost(resource: Resource) -> Stall:
    return Stall(
        StallReason.DATA_LOST,
        f"sale {resource.product_id} was loaded before and is gone from Redis; it is not loaded again with its full stock, "
        "because units may be sold already. The ledger has what was sold: close the sale's shard (runbook: FlashsaleStalled), and the "
        "keeper restores the sale from there. This resource is Ready again after that",
    )


def recovering(resource: Resource) -> Stall:
    """The stall of a sale whose shard of Redis is not open. Its sentence is the same in each step, so that a recovery writes it once."""
    return Stall(
        StallReason.RECOVERING,
        f"sale {resource.product_id} takes no orders until the keeper has compared its shard of Redis with the ledger and opened it; "
        "that needs nobody, and the gateway's /readyz names the step",
    )
