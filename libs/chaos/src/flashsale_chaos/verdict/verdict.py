"""All that must hold after a round, from its history and the facts. Pure."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from msgspec.structs import replace

from flashsale_chaos.context import Context
from flashsale_chaos.history import Call
from flashsale_chaos.sales import Sale
from flashsale_chaos.verdict.definitions import lost_definitions, unknown_sales
from flashsale_chaos.verdict.facts import Facts
from flashsale_chaos.verdict.identity import judge_identity
from flashsale_chaos.verdict.losses import judge_losses
from flashsale_chaos.verdict.orders import judge_answers, judge_early, judge_orders
from flashsale_chaos.verdict.real_time import out_of_order, placed
from flashsale_chaos.verdict.regressions import Regression, regressions
from flashsale_chaos.verdict.replay import Replay
from flashsale_chaos.verdict.sold_out import untrue
from flashsale_chaos.verdict.stories import Story, stories
from flashsale_chaos.verdict.violations import Promise, Violation, broken
from flashsale_chaos.verdict.webhooks import judge_webhooks


def judge_history(
    sales: Sequence[Sale], calls: Sequence[Call], gave_up: Sequence[Call], facts: Facts, contexts: Sequence[Context]
) -> Iterator[Violation]:
    """`calls` are those about `sales`, in the order of their answers; `contexts` are of all rounds since these sales began."""
    gone = gone_effects(sales, calls, facts)
    forgotten = unknown_sales([sale for sale in sales if not sale.is_confirmed], facts.totals)
    calls, gave_up = [call for call in calls if call.sale not in forgotten], [call for call in gave_up if call.sale not in forgotten]
    by_order = stories(calls)
    reacquires = {sale.sale_id: sale.late_payment == "reacquire" for sale in sales if sale.sale_id not in forgotten}
    began = min((call.began for call in calls), default=0.0)
    later = [known for known in facts.incarnations if known.opened > began]
    yield from judge_answers(calls, gave_up)
    yield from judge_identity(calls)
    known = _without(forgotten, facts)
    yield from judge_orders(by_order, known.orders)
    windows = {sale.sale_id: sale.window_seconds for sale in sales}
    yield from judge_early(by_order.values(), windows, lost=bool(later) or any(context.clock_jumped() for context in contexts))
    yield from judge_losses(gone, later, {sale.sale_id: sale.is_confirmed for sale in sales}, partial(_silenced, contexts))
    yield from judge_webhooks(by_order, known)
    yield from _judge_entries(reacquires, calls, by_order, facts)


def gone_effects(sales: Sequence[Sale], calls: Sequence[Call], facts: Facts) -> list[Regression]:
    """What buyers and merchants were told of and the ledger does not have. The orders of a sale that it does not know are gone with it."""
    forgotten = unknown_sales([sale for sale in sales if not sale.is_confirmed], facts.totals)
    reacquires = {sale.sale_id: sale.late_payment == "reacquire" for sale in sales}
    effects = list(lost_definitions(sales, calls, facts.totals))
    for name, story in stories(call for call in calls if call.sale not in forgotten).items():
        effects += regressions(story, facts.orders.get(name), reacquires=reacquires[story.sale])
    return effects


def _without(forgotten: AbstractSet[str], facts: Facts) -> Facts:
    """The facts without orders and payments of these sales."""

    def is_kept(name: str) -> bool:
        return name.rpartition(".")[0] not in forgotten

    orders = {name: row for name, row in facts.orders.items() if is_kept(name)}
    payments = {key: row for key, row in facts.payments.items() if is_kept(key[1])}
    return replace(facts, orders=orders, payments=payments)


def _judge_entries(reacquires: dict[str, bool], calls: Sequence[Call], by_order: dict[str, Story], facts: Facts) -> Iterator[Violation]:
    first = facts.lines[0].position.incarnation if facts.lines else 0
    complete = facts.complete()
    replay = Replay(reacquires, facts.whole(), complete, first)
    replay.run(facts.lines)
    yield from broken(Promise.HISTORY, replay.broken)
    yield from broken(Promise.NOT_OVERSOLD, replay.oversold)
    over = [f"{name}: {sale.held} held and {sale.sold} sold of {sale.total}" for name, sale in replay.sales.items() if sale.available < 0]
    yield from broken(Promise.NOT_OVERSOLD, over)
    orders = placed(by_order, replay.reserved_at, facts.incarnations)
    yield from broken(Promise.HISTORY, (words for of_it in orders.values() for words in out_of_order(of_it)))
    countable = {number: of_it for number, of_it in orders.items() if complete.get(number)}
    yield from broken(Promise.SOLD_OUT, untrue(calls, countable, replay.available, facts.incarnations))


def _silenced(contexts: Sequence[Context], gateway: int, since: float, until: float) -> bool:
    return any(context.silenced(gateway, since, until) for context in contexts)
