"""Reads from the ledger what the verdict compares with the history. It only reads."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from flashsale_chaos.verdict.facts import Facts, Incarnation, Line, OrderRow, PaymentRow
from flashsale_core.fence import SEQ_JUMP
from flashsale_core.orders import State
from flashsale_core.positions import Range, merge

READ_SECONDS = 20.0
_ORDERS = "select sale_id || '.' || order_id as name, state, user_id, quantity, payment_id from orders where sale_id = any($1)"
_PAYMENTS = "select payment_id, sale_id || '.' || order_id as name, result, reason, amount_minor from payments where sale_id = any($1)"
_REFUNDS = "select payment_id, sale_id || '.' || order_id as name from refunds where sale_id = any($1)"
_TOTALS = "select sale_id, max(total) as total from sales where sale_id = any($1) group by sale_id"
_INCARNATIONS = """
select incarnation, first_seq, lost_entries,
    extract(epoch from fenced_at)::float8 as fenced, extract(epoch from opened_at)::float8 as opened
from shards where shard = $1 order by incarnation
"""
_RECEIVED = "select incarnation, from_seq, to_seq from received_entries where shard = $1"


async def read_facts(database_url: str, sales: Sequence[str], shard: int, lines: Sequence[Line]) -> Facts:
    """What the ledger has of `sales`, and which of the published `lines` it has received. Raises what asyncpg raises."""
    database: Any = await asyncpg.connect(database_url, timeout=READ_SECONDS, command_timeout=READ_SECONDS)
    try:
        async with database.transaction(isolation="repeatable_read", readonly=True):
            orders = {
                row["name"]: OrderRow(State(row["state"]), row["user_id"], row["quantity"], row["payment_id"] or "")
                for row in await database.fetch(_ORDERS, sales)
            }
            payments = {
                (row["payment_id"], row["name"]): PaymentRow(row["result"], row["reason"], row["amount_minor"])
                for row in await database.fetch(_PAYMENTS, sales)
            }
            refunds = frozenset((row["payment_id"], row["name"]) for row in await database.fetch(_REFUNDS, sales))
            totals = {row["sale_id"]: row["total"] for row in await database.fetch(_TOTALS, sales)}
            rows = await database.fetch(_INCARNATIONS, shard)
            received = received_of(await database.fetch(_RECEIVED, shard))
    finally:
        await database.close()
    given = given_of({row["incarnation"]: row["first_seq"] for row in rows})
    return Facts(orders, payments, refunds, incarnations_of(rows), totals, received_lines(lines, received), given)


def incarnations_of(rows: Sequence[Mapping[str, Any]]) -> list[Incarnation]:
    """Those that were opened. One that was not is part of the way to the next, which then begins with it."""
    to_monotonic, known, fenced = time.monotonic() - time.time(), [], None
    for row in rows:
        fenced = row["fenced"] if fenced is None else fenced
        if row["opened"] is not None:
            times = fenced + to_monotonic, row["opened"] + to_monotonic
            known.append(Incarnation(row["incarnation"], *times, row["lost_entries"] or 0))
            fenced = None
    return known


def given_of(first_seqs: Mapping[int, int]) -> dict[int, Range]:
    """The positions of each incarnation that somebody knew to be given. Only the beginning of the newest is known."""
    numbers, given = sorted(first_seqs), {}
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        # The next one begins a jump above the highest position that anybody knew.
        last = first_seqs[number] - 1 if following is None else first_seqs[following] - SEQ_JUMP
        given[number] = Range(first_seqs[number], last)
    return given


def received_of(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Range]]:
    by_incarnation: dict[int, list[Range]] = {}
    for row in rows:
        by_incarnation.setdefault(row["incarnation"], []).append(Range(row["from_seq"], row["to_seq"]))
    return {incarnation: merge(ranges) for incarnation, ranges in by_incarnation.items()}


def received_lines(lines: Sequence[Line], received: Mapping[int, Sequence[Range]]) -> list[Line]:
    """The lines without those of entries that came too late, which the ledger does not count as received."""
    return [
        line
        for line in lines
        if any(known.first <= line.position.seq <= known.last for known in received.get(line.position.incarnation, ()))
    ]
