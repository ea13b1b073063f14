"""The calls about one order, and what its buyer may rely on. Pure."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from flashsale_chaos.history import Ask, Call
from flashsale_core.orders import State


class Story(msgspec.Struct):
    sale: str
    order_id: str
    calls: list[Call] = msgspec.field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.sale}.{self.order_id}"

    @property
    def began(self) -> float:
        """When it was first asked for."""
        return self.calls[0].began

    def answered(self, ask: Ask) -> list[Call]:
        """The calls that were answered with 200."""
        return [call for call in self.calls if call.ask is ask and call.status == 200]

    def asked(self, ask: Ask) -> list[Call]:
        return [call for call in self.calls if call.ask is ask]

    @property
    def accepted(self) -> Call | None:
        """The first answer that promised the order to its buyer."""
        return next(iter(self.answered(Ask.ORDER)), None)


def shown_state(call: Call) -> State | None:
    """The state in which an answer shows the order; None if it shows none."""
    return State(call.state) if call.status == 200 and call.state else None


def is_gone(call: Call) -> bool:
    """Whether the answer says that the order has expired or was cancelled."""
    return call.code == "order_gone"


def stories(calls: Iterable[Call]) -> dict[str, Story]:
    """By order id, with the sale; the calls of each in the order of their answers."""
    by_order: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        if call.order_id:
            by_order[call.sale, call.order_id].append(call)
    return {f"{sale}.{order_id}": Story(sale, order_id, of_order) for (sale, order_id), of_order in by_order.items()}
