"""What `flashsale recover` prints: the step of each Redis server, and what a rebuild costs. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_recovery.by_hand import Outcome
from flashsale_recovery.outcome import Recovered
from flashsale_recovery.rebuild import SaleReport
from flashsale_recovery.rebuild.deficit import Hold
from flashsale_recovery.rebuild.report import Repair
from flashsale_recovery.steps import Drain, Initialise, Nothing, Record, Recover, Refuse, Reopen, Reseal, Step, Wait

SHOWN_MAX = 100


def is_closed(outcome: Outcome, *, planned: bool) -> bool:
    """Whether shards of the server are closed: before a planned step, or still, after --run."""
    return not isinstance(outcome.step, Nothing) if planned else isinstance(outcome.step, Wait | Refuse)


def lines(outcomes: Sequence[Outcome], *, planned: bool) -> Iterator[str]:
    if not outcomes:
        yield "all shards are open"
    for outcome in outcomes:
        yield f"{_shards(outcome.shards)}, incarnation {outcome.incarnation}: {words(outcome.step, planned=planned)}"
        if isinstance(outcome.step, Recover):
            yield from (f"  shard {shard}: {reason}" for shard, reason in sorted(outcome.step.reasons.items()))
        if outcome.recovered is not None:
            yield from (f"  {line}" for line in _costs(outcome.recovered, planned=planned))


def words(step: Step, *, planned: bool) -> str:
    match step:
        case Nothing():
            return "open"
        case Wait():
            return f"waits: {step.reason}"
        case Refuse():
            return f"refused: {step.reason}"
        case Initialise():
            return "would be opened for the first time" if planned else "opened for the first time"
        case Record():
            return "would be written into the ledger, which is older" if planned else "written into the ledger, which is older"
        case Reseal():
            return "would be opened as it is: nothing is lost" if planned else "opened as it is: nothing was lost"
        case Reopen():
            return f"{'would be ' if planned else ''}opened in a new incarnation: {step.reason}"
        case Drain():
            return "would be opened once the queue is drained: nothing is known to be lost" if planned else "the queue was drained"
        case Recover():
            return "would be rebuilt" if planned else "rebuilt"
        case _:
            assert_never(step)


def document(outcome: Outcome) -> dict[str, Any]:
    recovered = outcome.recovered
    return {
        "shards": list(outcome.shards),
        "incarnation": outcome.incarnation,
        "step": type(outcome.step).__name__.lower(),
        "reason": getattr(outcome.step, "reason", None),
        "reasons": getattr(outcome.step, "reasons", {}),
        "rebuild": _rebuild(recovered) if recovered is not None else None,
    }


def _rebuild(recovered: Recovered) -> dict[str, Any]:
    return {
        "seconds": round(recovered.seconds, 3),
        "lostEntries": recovered.lost_entries,
        "lost": {str(shard): [[hole.first, hole.last] for hole in ranges] for shard, ranges in recovered.lost.items()},
        "sales": [_sale(sale) for sale in recovered.report.sales],
        "brokenHolds": [_hold(sale_id, hold) for sale_id, hold in recovered.report.broken],
        "conflicts": [
            {"orderId": conflict.order, "paymentId": conflict.payment_id, "reason": conflict.words}
            for conflict in recovered.report.conflicts
        ],
        "repairs": [_repair(repair) for repair in recovered.report.repairs],
        "closed": recovered.report.closed,
    }


def _repair(repair: Repair) -> dict[str, Any]:
    return {
        "productId": repair.sale_id,
        "wrongTypes": list(repair.wrong_types),
        "recounted": repair.recounted,
        "unreadable": repair.unreadable_orders,
        "quarantined": repair.doubtful_orders,
    }


def _sale(sale: SaleReport) -> dict[str, Any]:
    numbers = {"orders": sale.orders, "restored": sale.written, "brokenHolds": len(sale.broken), "oversold": sale.oversold}
    return {"productId": sale.sale_id, **numbers}


def _hold(sale_id: str, hold: Hold) -> dict[str, Any]:
    order = {"orderId": f"{sale_id}.{hold.order_id}", "userId": hold.user_id, "quantity": hold.quantity}
    return {**order, "deadline": rfc3339_of_ms(hold.deadline_ms)}


def _costs(recovered: Recovered, *, planned: bool) -> Iterator[str]:
    report, will = recovered.report, "would be " if planned else ""
    yield f"{report.orders:,} orders of {len(report.sales)} sales, {sum(sale.written for sale in report.sales):,} {will}restored"
    yield f"{recovered.lost_entries} outbox entries are lost: they are neither in the ledger nor in Redis"
    for shard, ranges in sorted(recovered.lost.items()):
        yield from (f"  shard {shard}: positions {hole.first} to {hole.last}" for hole in ranges[:SHOWN_MAX])
    broken = report.broken
    yield f"{len(broken)} unpaid holds {will}ended, because their units were sold again"
    yield from (f"  order {sale_id}.{hold.order_id} of {hold.user_id}: {hold.quantity} units" for sale_id, hold in broken[:SHOWN_MAX])
    yield from (f"  order {each.order}, payment {each.payment_id}: {each.words}" for each in report.conflicts[:SHOWN_MAX])
    for repair in report.repairs:
        yield from (f"sale {repair.sale_id}: {line}" for line in _repairs(repair, will))
    yield from (f"sale {sale_id} {'would stay' if planned else 'stays'} closed: {reason}" for sale_id, reason in report.closed.items())
    yield from (f"sale {sale.sale_id}: {sale.oversold} more units are paid than its stock has" for sale in report.sales if sale.oversold)


def _repairs(repair: Repair, will: str) -> Iterator[str]:
    if repair.wrong_types:
        yield f"its {' and '.join(repair.wrong_types)} {will}restored from the ledger, because Redis has something else there"
    if repair.recounted:
        yield f"its buyers {will}counted again by their orders"
    for order in repair.unreadable_orders[:SHOWN_MAX]:
        words = "kept in the quarantine: the ledger lacks it" if order in repair.doubtful_orders else "restored from the ledger"
        yield f"the record of order {order} cannot be read; it is {will}{words}"


def _shards(shards: Sequence[int]) -> str:
    if len(shards) > 1 and list(shards) == list(range(shards[0], shards[-1] + 1)):
        return f"shards {shards[0]} to {shards[-1]}"
    return f"shard{'s' if len(shards) > 1 else ''} {', '.join(map(str, shards))}"
