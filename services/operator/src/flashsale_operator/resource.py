"""A FlashSale resource, as the operator reads it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from flashsale_core.prices import NO_PRICE, price_text
from flashsale_core.records import MAX_RELEASED
from flashsale_core.topology import WINDOWS_DEFAULT, default_window
from flashsale_operator.engine import claimed_by

GROUP = "flashsale.dev"
VERSION = "v1alpha1"
PLURAL = "flashsales"
PREFIX = "operator.flashsale.dev"
FINALIZER = f"{PREFIX}/finalizer"
"""A change would leave finalizers behind that no operator removes."""


class DeletionPolicy(StrEnum):
    DRAIN = "Drain"
    RETAIN = "Retain"


@dataclass(frozen=True, slots=True)
class Resource:
    namespace: str
    name: str
    uid: str
    generation: int
    product_id: str
    definition: Mapping[str, int | str]
    """The fields that the sale's hash in Redis must have, without owner and generation."""
    deletion_policy: DeletionPolicy
    epoch: int
    """status.epoch: when the sale was created in Redis, in Unix ms; 0 before. A sale that was loaded once is never created again."""

    version: str = ""
    """The apiserver's resourceVersion of what was read."""
    controller: str = ""
    """The installation that has claimed the resource; empty before one has."""
    finalizers: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether the resource stays until the operator has removed its sale."""
        return FINALIZER in self.finalizers

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def owner(self) -> str:
        return f"{self.full_name}/{self.uid}"


def read_resource(body: Mapping[str, Any], windows: Sequence[int] = WINDOWS_DEFAULT) -> Resource:
    """Read a resource. The apiserver has already validated `spec` against the schema and filled in its defaults.

    A resource without a payment window gets the default one of `windows`, those that are installed, in seconds.
    """
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    return Resource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        product_id=spec.get("productId") or metadata["name"],
        definition=_definition(spec, windows),
        deletion_policy=DeletionPolicy(spec.get("deletionPolicy", DeletionPolicy.DRAIN)),
        epoch=int(status.get("epoch") or 0),
        version=metadata.get("resourceVersion") or "",
        controller=claimed_by(body),
        finalizers=tuple(metadata.get("finalizers") or ()),
    )


def _definition(spec: Mapping[str, Any], windows: Sequence[int]) -> dict[str, int | str]:
    rate, price = spec.get("rateLimit") or {}, spec.get("price")
    return {
        "total": spec["stock"],
        "starts_ms": _ms(spec.get("startsAt")),
        "ends_ms": _ms(spec.get("endsAt")),
        "max_per_user": spec.get("maxPerUser") or 0,
        "max_released": spec.get("maxReleasedPerUser", MAX_RELEASED),
        "hold_seconds": spec.get("paymentWindowSeconds") or default_window(windows),
        "rate_requests": rate.get("requests") or 0,
        "rate_seconds": rate.get("seconds") or 1,
        "late_payment": spec.get("latePayment", "refund"),
        "durability": spec.get("durability", "fsync"),
        "price": price_text(price["amountMinor"], price["currency"]) if price else NO_PRICE,
        "state": "paused" if spec.get("paused") else "open",
    }


def _ms(moment: str | None) -> int:
    """Unix ms; 0 when there is no time, -1 when only the apiserver can read it. The time 0 itself becomes 1.

    1 and -1 are outside the range of sale times, so `plan` refuses them.
    """
    if not moment:
        return 0
    try:
        return round(datetime.fromisoformat(moment.upper()).timestamp() * 1000) or 1
    except (ValueError, OverflowError):
        return -1
