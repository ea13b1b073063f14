"""Every kind of difference, the promise that it breaks, and whether it can disappear by itself."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

SAMPLES_MAX = 10


class Promise(StrEnum):
    """The promises in the words of docs and demo; each is one line of the verdict."""

    NOT_OVERSOLD = "never one unit too many"
    NOT_FORGOTTEN = "every accepted order is kept"
    ONE_ORDER = "every buyer's count matches the orders"
    GIVEN_BACK = "every unpaid unit is released, once, on time"
    MONEY = "no money without an order or a refund"
    LEDGER = "the ledger is complete, nothing waits"


class Kind(StrEnum):
    COUNTERS_UNBALANCED = "counters_unbalanced"
    COUNTER_NEGATIVE = "counter_negative"
    RESERVED_UNITS = "reserved_units"
    SOLD_UNITS = "sold_units"
    OVERSOLD = "oversold"
    LEDGER_OVERSOLD = "ledger_oversold"
    ACCEPTED_MISSING = "accepted_missing"
    ORDER_MISSING_IN_REDIS = "order_missing_in_redis"
    SALE_MISSING_IN_REDIS = "sale_missing_in_redis"
    RECORD_UNREADABLE = "record_unreadable"
    BUYER_UNITS = "buyer_units"
    BUYER_RELEASED = "buyer_released"
    TERMS_STALE = "terms_stale"
    DEADLINE_MISSING = "deadline_missing"
    DEADLINE_DIFFERS = "deadline_differs"
    DEADLINE_WITHOUT_HOLD = "deadline_without_hold"
    OVERDUE = "overdue"
    PAID_WITHOUT_PAYMENT = "paid_without_payment"
    PAID_TWICE = "paid_twice"
    PAYMENT_WITHOUT_ORDER = "payment_without_order"
    REFUND_MISSING = "refund_missing"
    REFUND_WITHOUT_PAYMENT = "refund_without_payment"
    REFUND_DIFFERS = "refund_differs"
    REFUND_OVERPAID = "refund_overpaid"
    MONEY_UNBALANCED = "money_unbalanced"
    SALE_MISSING_IN_LEDGER = "sale_missing_in_ledger"
    SALE_DIFFERS = "sale_differs"
    ORDER_MISSING_IN_LEDGER = "order_missing_in_ledger"
    ORDER_DIFFERS = "order_differs"
    LEDGER_SUMS = "ledger_sums"
    HISTORY_MISSING = "history_missing"
    HISTORY_DIFFERS = "history_differs"
    OUTBOX_WAITING = "outbox_waiting"
    LEDGER_BEHIND = "ledger_behind"
    LEDGER_HOLE = "ledger_hole"


PROMISES: Mapping[Kind, Promise] = MappingProxyType(
    {
        Kind.COUNTERS_UNBALANCED: Promise.NOT_OVERSOLD,
        Kind.COUNTER_NEGATIVE: Promise.NOT_OVERSOLD,
        Kind.RESERVED_UNITS: Promise.NOT_OVERSOLD,
        Kind.SOLD_UNITS: Promise.NOT_OVERSOLD,
        Kind.OVERSOLD: Promise.NOT_OVERSOLD,
        Kind.LEDGER_OVERSOLD: Promise.NOT_OVERSOLD,
        Kind.ACCEPTED_MISSING: Promise.NOT_FORGOTTEN,
        Kind.ORDER_MISSING_IN_REDIS: Promise.NOT_FORGOTTEN,
        Kind.SALE_MISSING_IN_REDIS: Promise.NOT_FORGOTTEN,
        Kind.RECORD_UNREADABLE: Promise.NOT_FORGOTTEN,
        Kind.BUYER_UNITS: Promise.ONE_ORDER,
        Kind.BUYER_RELEASED: Promise.ONE_ORDER,
        Kind.TERMS_STALE: Promise.ONE_ORDER,
        Kind.DEADLINE_MISSING: Promise.GIVEN_BACK,
        Kind.DEADLINE_DIFFERS: Promise.GIVEN_BACK,
        Kind.DEADLINE_WITHOUT_HOLD: Promise.GIVEN_BACK,
        Kind.OVERDUE: Promise.GIVEN_BACK,
        Kind.PAID_WITHOUT_PAYMENT: Promise.MONEY,
        Kind.PAID_TWICE: Promise.MONEY,
        Kind.PAYMENT_WITHOUT_ORDER: Promise.MONEY,
        Kind.REFUND_MISSING: Promise.MONEY,
        Kind.REFUND_WITHOUT_PAYMENT: Promise.MONEY,
        Kind.REFUND_DIFFERS: Promise.MONEY,
        Kind.REFUND_OVERPAID: Promise.MONEY,
        Kind.MONEY_UNBALANCED: Promise.MONEY,
        Kind.SALE_MISSING_IN_LEDGER: Promise.LEDGER,
        Kind.SALE_DIFFERS: Promise.LEDGER,
        Kind.ORDER_MISSING_IN_LEDGER: Promise.LEDGER,
        Kind.ORDER_DIFFERS: Promise.LEDGER,
        Kind.LEDGER_SUMS: Promise.LEDGER,
        Kind.HISTORY_MISSING: Promise.LEDGER,
        Kind.HISTORY_DIFFERS: Promise.LEDGER,
        Kind.OUTBOX_WAITING: Promise.LEDGER,
        Kind.LEDGER_BEHIND: Promise.LEDGER,
        Kind.LEDGER_HOLE: Promise.LEDGER,
    }
)

# The ledger follows Redis and releases follow deadlines, so these may disappear once what is under way has arrived.
SETTLING = frozenset(
    {
        Kind.ACCEPTED_MISSING,
        Kind.ORDER_MISSING_IN_REDIS,
        Kind.OVERDUE,
        Kind.PAID_WITHOUT_PAYMENT,
        Kind.PAYMENT_WITHOUT_ORDER,
        Kind.MONEY_UNBALANCED,
        *(kind for kind, promise in PROMISES.items() if promise is Promise.LEDGER),
    }
)


@dataclass(frozen=True, slots=True)
class Difference:
    kind: Kind
    subject: str
    """The sale, order, buyer, payment or stream it is about."""
    detail: str
    count: int = 1


@dataclass(slots=True)
class Findings:
    """The number of differences of each kind, and the first SAMPLES_MAX of them."""

    counts: Counter[Kind] = field(default_factory=Counter)
    samples: dict[Kind, list[Difference]] = field(default_factory=dict)

    def add(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self.counts[difference.kind] += difference.count
            kept = self.samples.setdefault(difference.kind, [])
            if len(kept) < SAMPLES_MAX:
                kept.append(difference)

    def merge(self, other: "Findings") -> None:
        self.counts.update(other.counts)
        for kind, samples in other.samples.items():
            self.samples[kind] = [*self.samples.get(kind, []), *samples][:SAMPLES_MAX]

    def clean(self) -> bool:
        return not self.counts

    def may_settle(self) -> bool:
        return any(kind in SETTLING for kind in self.counts)

    def broken(self, promise: Promise) -> int:
        """How many differences break `promise`."""
        return sum(count for kind, count in self.counts.items() if PROMISES[kind] is promise)
