"""What a worker is given, and what it says of it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    body: bytes
    message_id: str
    redelivered: bool
    exchange: str = ""
    routing_key: str = ""
    tag: int = 0
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that can never be worked off: which of the batch, and why."""

    index: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Publication:
    """A message that the broker must have taken before the batch that led to it is acknowledged."""

    exchange: str
    routing_key: str
    body: bytes
    life_seconds: float
    """How long it may stay in its queue."""


def once_each(poisons: Iterable[Poison]) -> list[Poison]:
    """One per delivery, the first that is wrong with it: a delivery is parked whole, and once."""
    found: dict[int, Poison] = {}
    for poison in poisons:
        found.setdefault(poison.index, poison)
    return list(found.values())


Handle = Callable[[Sequence[Delivery]], Awaitable[Sequence[Poison | Publication]]]
"""Works off a batch and returns when that is durable, naming the poison in it and what is to be published before it is acknowledged.

Raises flashsale_core.errors.Retryable when the same batch may succeed later: it is handed over again after a pause.
"""
