"""The rows that the notifier reads and writes."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from flashsale_notifier.retries import Verdict


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    url: str
    secrets: tuple[str, ...]
    """The first one is the newest; each signs."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A delivery whose attempt begins."""

    event_id: str
    tries: int
    """The number of this attempt, from 1."""
    body: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is over, with its verdict."""

    taken: Taken
    endpoint: str
    status: int | None
    duration_ms: int
    answer: str
    verdict: Verdict
    key: UUID = field(default_factory=uuid4)
    """By which a repeat is recognised, if the answer to its commit was lost."""


class Place(NamedTuple):
    """The place of a row among all of its kind, in the order of time."""

    at: datetime
    sale_id: str = ""
    epoch: int = 0
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class EndedSale:
    sale_id: str
    epoch: int
    ends_at: datetime
    total: int

    @property
    def place(self) -> Place:
        return Place(self.ends_at, self.sale_id, self.epoch)


@dataclass(frozen=True, slots=True)
class LateReturn:
    """An order that was returned after the removal of its sale."""

    sale_id: str
    epoch: int
    order_id: str
    at: datetime
    user_id: str
    quantity: int
    deadline: datetime
    payment_id: str
    is_restocked: bool

    @property
    def place(self) -> Place:
        return Place(self.at, self.sale_id, self.epoch, self.order_id)


@dataclass(frozen=True, slots=True)
class StrayRefund:
    """A refund of a payment whose order Redis did not know."""

    sale_id: str
    epoch: int
    order_id: str
    payment_id: str
    reason: str
    amount_minor: int
    currency: str
    created_at: datetime
    """When Redis decided."""
    written_at: datetime

    @property
    def place(self) -> Place:
        return Place(self.written_at, self.sale_id, self.epoch, f"{self.order_id} {self.payment_id}")


@dataclass(frozen=True, slots=True)
class Backlog:
    endpoint: str
    is_enabled: bool
    due: int
    oldest_seconds: float
