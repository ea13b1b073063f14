"""What one call of lua/look.lua returned: values of one moment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flashsale_audit.facts import DEFINITION, Counters, TotalsByState, totals_of
from flashsale_audit.records import Record, read_records, read_refunded
from flashsale_core.records import is_tombstone, stale_terms


@dataclass(frozen=True, slots=True)
class Look:
    now_ms: int
    closed: str
    """Why the shard is not open; empty if it is."""
    cursor: int
    """Where the next page begins; 0 after the last one."""
    counters: Counters | None
    """None if there is no such sale."""
    records: Mapping[str, Record] = field(default_factory=dict)
    unreadable: Sequence[str] = ()
    refunded: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The payments that each order remembers as refunded."""
    deadlines: Mapping[str, int] = field(default_factory=dict)
    """By order id, in Unix milliseconds. A page has only those of orders that are held."""
    units: Mapping[str, int] = field(default_factory=dict)
    """By user: what the sale counts for the buyer's limit. By '#<user>': the buyer's released orders."""


def parse_look(sale_id: str, answer: Sequence[Any]) -> Look:
    """Raises ValueError if a counter of the sale or of a buyer is not a number."""
    now_ms, _, cursor, sale, size, ids, packed, scores, users, units, closed, incarnation = answer
    names = [order_id.decode() for order_id in ids]
    by_name = dict(zip(names, packed, strict=True))
    records, unreadable = read_records(by_name)
    return Look(
        now_ms=now_ms,
        closed=closed.decode(),
        cursor=int(cursor or 0),
        counters=read_counters(sale_id, dict(zip(sale[::2], sale[1::2], strict=True)), size, int(incarnation)),
        records=records,
        unreadable=unreadable,
        refunded=read_refunded(by_name),
        deadlines={name: int(score) for name, score in zip(names, scores, strict=True) if score is not None},
        units={user.decode(): int(count or 0) for user, count in zip(users, units, strict=True)},
    )


def read_counters(sale_id: str, fields: Mapping[bytes, bytes], orders: int, incarnation: int) -> Counters | None:
    if not fields or is_tombstone(fields):
        return None
    names = ("epoch", "total", "available", "reserved", "sold")
    if missing := [name for name in names if name.encode() not in fields]:
        raise ValueError(f"the sale has no {missing[0]}")
    numbers = {name: int(fields[name.encode()]) for name in names}
    # After lost data a rebuild raises the stock to what was paid (decision 0030): the sale is judged by the stock that was defined.
    numbers["total"] -= int(fields.get(b"oversold") or 0)
    limit = int(fields.get(b"max_per_user") or 0)
    return Counters(
        sale_id=sale_id,
        definition={name: fields.get(name.encode(), default.encode()).decode(errors="replace") for name, default in DEFINITION.items()}
        | {"total": str(numbers["total"])},
        stale_terms=stale_terms(fields),
        orders=orders,
        max_per_user=limit,
        incarnation=incarnation,
        returned=int(fields.get(b"returned") or 0),
        restocked=int(fields.get(b"restocked") or 0),
        **numbers,
    )


def totals(records: Mapping[str, Record]) -> TotalsByState:
    columns = [order.letter for order in records.values()], [order.quantity for order in records.values()]
    # Two columns that are joined take less time than a pair for each order.
    equal = Counter(zip(*columns, strict=True))
    return totals_of((letter, quantity, orders) for (letter, quantity), orders in equal.items())
