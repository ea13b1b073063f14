"""What buyers and the payment provider asked, and what they were answered. Its size is bounded: the crowd pauses before it is full."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

CALLS_MAX = 200_000
NO_ANSWER = 0
REPEATED = frozenset({NO_ANSWER, 408, 429, 500, 503})
"""Answers that promise nothing: the request is repeated with the same id."""


class Ask(StrEnum):
    ORDER = "order"
    PAY = "pay"
    CANCEL = "cancel"
    RETURN = "return"
    LOOK = "look"
    DEFINE = "define"
    FORGED = "forged"
    """A request of an impostor. It names no order, so an order that it made is one that nobody asked for."""


class Call(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One request and its answer. Times are of the crowd's monotonic clock, in seconds."""

    ask: Ask
    sale: str
    gateway: int
    """Its place in the list of gateways."""
    began: float
    ended: float
    status: int
    """The status of HTTP; NO_ANSWER if there was none."""
    code: str = ""
    """`accepted` or `replayed` for an order, the result of a payment, or the code of a refusal."""
    order_id: str = ""
    """Without the sale. An order whose answer is unknown has the id that its request must get."""
    user: str = ""
    quantity: int = 0
    state: str = ""
    """The state of the order in the answer."""
    reason: str = ""
    """Why the answer to a payment is a refund."""
    expires_ms: int = 0
    payment_id: str = ""
    amount_minor: int = 0
    shown_id: str = ""
    """The order id in the answer, as clients name it."""


@dataclass(slots=True)
class History:
    calls: list[Call] = field(default_factory=list)
    gave_up: list[Call] = field(default_factory=list)
    """The last answers of requests that had no final answer when the crowd's patience ended."""

    latest: Call | None = None
    """The last order that a buyer was told is accepted."""
    sold_at: float = 0.0
    """When the latest accepted order was asked for."""
    sold_out: set[str] = field(default_factory=set)
    """Sales that refused an order since a merchant added units."""

    def add(self, call: Call) -> None:
        self.calls.append(call)
        if call.ask is Ask.ORDER and call.code == "accepted":
            self.sold_at, self.latest = max(self.sold_at, call.began), call
        if call.code == "out_of_stock":
            self.sold_out.add(call.sale)

    @property
    def is_full(self) -> bool:
        return len(self.calls) >= CALLS_MAX

    def of(self, sales: Collection[str]) -> list[Call]:
        return [call for call in self.calls if call.sale in sales]

    def forget(self, sales: Collection[str]) -> None:
        """Drop the calls of sales that are settled and judged."""
        self.calls = [call for call in self.calls if call.sale not in sales]
        self.gave_up = [call for call in self.gave_up if call.sale not in sales]
        self.latest = None

    def write(self, path: Path) -> None:
        """Write the calls as JSON lines, in the order of their answers."""
        path.write_bytes(_lines(self.calls))


def _lines(calls: Iterable[Call]) -> bytes:
    return b"".join(msgspec.json.encode(call) + b"\n" for call in calls)
