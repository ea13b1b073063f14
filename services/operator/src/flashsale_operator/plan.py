"""What to do about one resource, from what it wants and what Redis says. Pure.

Everything that is set goes through the `define` script, which is fenced by owner and generation: a plan made from an old view does no harm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flashsale_core.sale_times import SALE_TIME_RULE, is_sale_time
from flashsale_operator.resource import Resource

COUNTERS = ("total", "available", "reserved", "sold")


class Trouble(StrEnum):
    """Why a resource is stalled; the reason of its conditions."""

    DATA_LOST = "DataLost"
    NOT_OWNER = "NotOwner"
    INCONSISTENT = "Inconsistent"
    BELOW_COMMITTED = "BelowCommitted"
    CLOSED = "Closed"
    WINDOW_NOT_INSTALLED = "WindowNotInstalled"
    TIMES_IMPOSSIBLE = "TimesImpossible"
    REDIS_NOT_DURABLE = "RedisNotDurable"


@dataclass(frozen=True, slots=True)
class Define:
    """Run the `define` script with the resource's definition."""

    why: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Let go of the sale in the name of its dead owner, then define it."""

    owner: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing may be done; `message` tells the merchant why and what helps."""

    trouble: Trouble
    message: str


Step = Define | Adopt | Keep | Stall


def plan(resource: Resource, sale: Mapping[str, str], windows: Sequence[int]) -> Step:
    """`sale` is the sale's hash in Redis; empty when there is none."""
    hold_seconds = resource.definition["hold_seconds"]
    if hold_seconds not in windows:
        return Stall(
            Trouble.WINDOW_NOT_INSTALLED,
            f"paymentWindowSeconds {hold_seconds} is not installed; use one of {', '.join(map(str, windows))}, "
            "or add it to the chart's paymentWindows",
        )
    impossible = _impossible_times(int(resource.definition["starts_ms"]), int(resource.definition["ends_ms"]))
    if impossible:
        return Stall(Trouble.TIMES_IMPOSSIBLE, impossible)
    if not sale:
        return _lost(resource) if resource.epoch else Define("the sale does not exist yet")
    if sale.get("owner", "") not in ("", resource.owner):
        return _of_another(resource, sale["owner"])
    fault = inconsistency(sale)
    if fault:
        return Stall(
            Trouble.INCONSISTENT,
            f"the sale's numbers in Redis contradict each other ({fault}), so it takes no orders; "
            f"run `flashsale audit {resource.product_id}`",
        )
    if resource.epoch and int(sale["epoch"]) != resource.epoch:
        return _lost(resource)
    if sale["state"] == "closed":
        return Stall(Trouble.CLOSED, "the sale was closed in Redis and cannot be opened again; delete this resource and create it anew")
    return _difference(resource, sale)


def _impossible_times(starts_ms: int, ends_ms: int) -> str | None:
    """What is wrong with them. The schema refuses such times; it may be older than we are."""
    for field, ms in (("startsAt", starts_ms), ("endsAt", ends_ms)):
        if ms and not is_sale_time(ms):
            return f"{field} must be {SALE_TIME_RULE}; correct it"
    return "endsAt must be after startsAt; correct one of them" if ends_ms and ends_ms <= starts_ms else None


def _of_another(resource: Resource, owner: str) -> Step:
    if not _same_name(resource, owner):
        return Stall(Trouble.NOT_OWNER, f"product {resource.product_id} belongs to {owner_in_words(owner)}")
    if not resource.epoch:
        return Adopt(owner)
    uid = owner.rpartition("/")[2]
    return Stall(
        Trouble.NOT_OWNER,
        f"product {resource.product_id} belongs to another {owner_in_words(owner)} (uid {uid}), of this cluster or of another one on the "
        "same Redis; to take it over, delete this resource and create it anew",
    )


def acting_owner(resource: Resource, sale: Mapping[str, str]) -> str:
    """In whose name a deletion ends the sale: its own, that of a dead one of its name, or nobody's if it is closed and let go of."""
    owner = sale.get("owner", "")
    orphaned = _same_name(resource, owner) and not resource.epoch
    ended = not owner and sale.get("state") == "closed"
    return owner if orphaned or ended else resource.owner


def _same_name(resource: Resource, owner: str) -> bool:
    """Whether the owner is, or was, a resource of this name. A name has one resource at a time: the other one is dead, gone without us."""
    return owner.rpartition("/")[0] == f"{resource.namespace}/{resource.name}"


def _difference(resource: Resource, sale: Mapping[str, str]) -> Step:
    if sale["owner"] != resource.owner:
        return Define("the sale was released by its owner")
    generation = int(sale["generation"]) - int(sale.get("base", 0))
    if generation > resource.generation:
        # Our view is older than what was set already: the newer one is on its way to us.
        return Keep()
    differing = [name for name, wanted in sorted(resource.definition.items()) if sale.get(name) != str(wanted)]
    if differing:
        return Define(f"{', '.join(differing)} differ")
    return Define("a new generation") if generation < resource.generation else Keep()


def inconsistency(sale: Mapping[str, str]) -> str | None:
    """What cannot be true in a sale's hash; None when all of it can."""
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


def define_answer(status: str, sale: Mapping[str, str], wanted: Mapping[str, Any]) -> Stall | None:
    """What an answer of the `define` script means when it is no success."""
    match status:
        case "below_committed":
            committed = int(sale["reserved"]) + int(sale["sold"])
            return Stall(
                Trouble.BELOW_COMMITTED,
                f"stock {wanted['total']} is below the {committed} units already committed "
                f"({sale['reserved']} reserved, {sale['sold']} sold); the sale goes on with {sale['total']}. "
                f"Raise stock to {committed} or more, or wait for holds to expire",
            )
        case "not_owner":
            return Stall(Trouble.NOT_OWNER, f"the product belongs to {owner_in_words(sale.get('owner', ''))}")
        case "closed":
            return Stall(Trouble.CLOSED, "the sale was closed in Redis and cannot be opened again; delete this resource and create it anew")
        case _:
            return None


def owner_in_words(owner: str) -> str:
    namespace, _, rest = owner.partition("/")
    name = rest.rpartition("/")[0]
    return f"FlashSale {namespace}/{name}" if name else f"{owner!r} (set through POST /admin/stock)"


def _lost(resource: Resource) -> Stall:
    return Stall(
        Trouble.DATA_LOST,
        f"product {resource.product_id} was loaded before and is gone from Redis, so it is not sold again by itself: "
        "units may be sold already. Restore Redis from its disk or a backup; "
        "to start over with the full stock, delete this resource and create it anew",
    )
