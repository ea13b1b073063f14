"""What a worker receives, and what it returns: deliveries, poison and publications."""

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
    consumer: str = ""
    """The tag of the consumer that received it: each session with the broker has its own."""


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that can never be processed: its index in the batch, and why."""

    index: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Publication:
    """A message that the broker must confirm before the batch that caused it is acknowledged."""

    exchange: str
    routing_key: str
    body: bytes
    life_seconds: float
    """The message leaves its queue after this time (its `expiration`)."""


def once_each(poisons: Iterable[Poison]) -> list[Poison]:
    """The first poison of each delivery: a delivery is parked as a whole, and once."""
    first: dict[int, Poison] = {}
    for poison in poisons:
        first.setdefault(poison.index, poison)
    return list(first.values())


Handle = Callable[[Sequence[Delivery]], Awaitable[Sequence[Poison | Publication]]]
"""Processes a batch and returns when its effects are durable: the poison in it, and what is to be published before it is acknowledged.

Raises flashsale_core.errors.Retryable when the same batch may succeed later: it is called again with it after a pause.
"""
