"""One refund in the ledger: read with its history, and changed with an event in one transaction."""

from datetime import UTC, datetime
from typing import Any

from flashsale_ledger import PoolConnection
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES
from flashsale_ledger_api.refund_changes import Change, Decision, Refund, RefundRequest, decide
from flashsale_ledger_api.refund_documents import with_history


async def show(connection: PoolConnection, refund_id: int) -> dict[str, Any]:
    """Raises Problem(unknown_refund)."""
    row = await connection.fetchrow(QUERIES["show_refund"], refund_id)
    if row is None:
        raise _unknown(refund_id)
    return with_history(dict(row), map(dict, await connection.fetch(QUERIES["history"], refund_id)), datetime.now(UTC))


async def change(connection: PoolConnection, refund_id: int, request: RefundRequest, who: str) -> Change | Decision:
    """Carry out what `decide` says, as the admin key `who`. Raises Problem(unknown_refund), and what `decide` raises."""
    row = await connection.fetchrow(QUERIES["lock_refund"], refund_id)
    if row is None:
        raise _unknown(refund_id)
    events = await connection.fetch(QUERIES["history"], refund_id)
    last = events[-1] if events else {"reference": "", "reason": ""}
    refund = Refund(row["state"], row["amount_minor"], row["refunded_minor"], last["reference"], last["reason"])
    decision = decide(refund, request)
    if isinstance(decision, Change):
        values = (decision.to_state, decision.refunded_minor, who, refund.state, decision.reference, decision.reason)
        await connection.execute(QUERIES["change_refund"], refund_id, *values)
    return decision


def _unknown(refund_id: int) -> Problem:
    return Problem("unknown_refund", f"No refund {refund_id}")
