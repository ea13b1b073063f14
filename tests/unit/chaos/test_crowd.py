"""The crowd repeats what is not answered for good, and what it must remember is bounded."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random

import msgspec
import pytest

from flashsale_chaos import history
from flashsale_chaos.crowd import buyers
from flashsale_chaos.crowd.buyers import Buyers
from flashsale_chaos.crowd.merchant import Merchant
from flashsale_chaos.crowd.patience import Patience
from flashsale_chaos.crowd.proofs import Proofs
from flashsale_chaos.history import NO_ANSWER, Ask, Call, History
from flashsale_chaos.sales import STOCK, STOCK_STEP, new_pair
from flashsale_core.keys import shard_of


def call(status: int, sale: str = "s") -> Call:
    return Call(ask=Ask.ORDER, sale=sale, gateway=0, began=1.0, ended=1.0, status=status)


def answering(*statuses: int) -> Callable[[], Awaitable[Call]]:
    left = iter(statuses)

    async def send() -> Call:
        return call(next(left))

    return send


async def test_request_is_repeated_until_its_answer_is_final() -> None:
    final = await Patience(History(), Random(1)).until_final(answering(NO_ANSWER, 503, 200))
    assert final == call(200)


async def test_request_without_a_final_answer_is_given_up_in_a_pause() -> None:
    kept = History()
    patience = Patience(kept, Random(1))
    patience.end_in(0)
    assert await patience.until_final(answering(503)) is None
    assert kept.gave_up == [call(503)]


async def test_pause_ends_the_sleep_of_a_late_payer() -> None:
    patience = Patience(History(), Random(1))
    patience.end_in(60)
    await patience.sleep(3600)


async def test_merchant_adds_units_only_to_a_sale_that_is_sold_out() -> None:
    kept, added = History(), list[str]()
    patience = Patience(kept, Random(1))
    sales = new_pair(Random(1), 1)

    class Shop:
        async def define(self, sale: str, definition: Mapping[str, str | int]) -> Call:
            added.append(f"{sale} {definition['stock']}")
            return call(200, sale)

    merchant = Merchant(Shop(), patience, kept.sold_out, Random(1))  # type: ignore[arg-type]
    await merchant.open(sales)
    kept.add(msgspec.structs.replace(call(409, sales[1].sale_id), code="out_of_stock"))
    await merchant.add_where_sold_out(sales)
    await merchant.add_where_sold_out(sales)
    assert added[2:] == [f"{sales[1].sale_id} {STOCK + STOCK_STEP}"]


async def test_buyer_orders_again_while_a_payment_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buyers, "WEIGHTS", [float(way == "pay") for way in buyers.WAYS])
    monkeypatch.setattr(buyers, "GO_ON_SECONDS", 0.01)
    kept, ordered = History(), list[str]()
    patience = Patience(kept, Random(1))

    class Shop:
        async def order(self, sale: str, order_id: str, *_: object) -> Call:
            ordered.append(order_id)
            if len(ordered) == 3:
                patience.end_in(0)
            return call(200, sale)

        async def pay(self, sale: str, *_: object) -> Call:
            return call(503, sale)

    crowd = Buyers(Shop(), patience, Proofs(b"k" * 32, 0.0), b"k" * 32, Random(1))  # type: ignore[arg-type]
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        await crowd.buy(new_pair(Random(1), 1), tasks, lambda: not patience.pausing.is_set())
    assert (len(ordered), len(kept.gave_up)) == (3, 3)


def test_pair_has_both_durabilities_in_one_shard() -> None:
    for number in range(20):
        sales = new_pair(Random(number), number)
        assert [sale.durability for sale in sales] == ["fsync", "confirmed"]
        assert len({shard_of(sale.sale_id) for sale in sales}) == 1


def test_history_is_full_at_its_limit_and_forgets_settled_sales() -> None:
    kept = History([call(200, "old")] * (history.CALLS_MAX - 1) + [call(200, "new")])
    assert kept.is_full
    kept.forget({"old"})
    assert (kept.calls, kept.is_full) == ([call(200, "new")], False)


def test_history_is_written_as_lines_that_can_be_read(tmp_path: Path) -> None:
    History([call(200), call(503)]).write(tmp_path / "history")
    lines = (tmp_path / "history").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Call) for line in lines] == [call(200), call(503)]
