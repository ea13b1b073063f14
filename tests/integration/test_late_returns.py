"""Which orders the ledger-api takes back, only paid ones of a sale that Redis no longer has, and what a shop receives of them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from flashsale_core.ids import OrderId, OrderRef, SaleId
from flashsale_core.messages import Message, SaleRetired
from flashsale_core.shop_events import event_id
from flashsale_ledger_api.late_returns import return_order
from flashsale_ledger_api.problems import Problem
from flashsale_notifier.late_returns import late_returns
from flashsale_notifier.unpublished import Finder
from flashsale_order_worker.plan import plan
from tests.integration.broker import until
from tests.integration.ledger import open_ledger
from tests.integration.notifying import open_notifier, open_shop
from tests.integration.order_events import defined, open_repository, payment, reserved, returned

ORDER = OrderRef(SaleId("shoe"), OrderId("o1"))


@pytest.mark.parametrize(
    ("sale_state", "is_paid", "has_payment", "code"),
    [
        ("closed", True, True, "sale_not_removed"),
        ("open", True, True, "sale_not_removed"),
        ("removed", False, True, "not_paid"),
        ("removed", True, False, "not_ready"),
    ],
)
async def test_other_orders_are_refused(
    infra: Mapping[str, str], sale_state: str, is_paid: bool, has_payment: bool, code: str
) -> None:  # fmt: skip
    async with open_repository(infra["DATABASE_URL"]) as repository, open_ledger(infra["DATABASE_URL"]) as ledger:
        messages: list[Message] = [defined(1, 100, 10), reserved("o1"), *([payment("o1", "p1", "paid", 1_600)] if is_paid else [])]
        await repository.write(plan([(f"{number}-0", message) for number, message in enumerate(messages)]))
        await ledger.connection.execute("update sales set state = $1", sale_state)
        if not has_payment:
            await ledger.connection.execute("delete from payments")
        with pytest.raises(Problem) as refused:
            async with ledger.connection.transaction():
                await return_order(ledger.connection, ORDER, "warranty", "ann")
        assert (refused.value.code, await ledger.count("refunds")) == (code, 0)


async def test_shop_receives_a_late_return_once_and_none_that_a_message_brought(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    removed = SaleRetired(v=1, sale="shoe", epoch=7, at=8_000, state="removed", total=10, available=8, reserved=0, sold=2)
    messages: list[Message] = [
        defined(1, 100, 10), reserved("o1", "o2"), payment("o1", "p1", "paid", 1_600), payment("o2", "p2", "paid", 1_600),
        returned("o2", "p2"), removed,
    ]  # fmt: skip
    async with open_ledger(url) as ledger, open_notifier(url) as notifier, open_repository(url) as repository, open_shop() as shop:
        await repository.write(plan([(f"{number}-0", message) for number, message in enumerate(messages)]))
        await notifier.add("shop", shop.url)
        async with ledger.connection.transaction():
            await return_order(ledger.connection, ORDER, "warranty", "ann")
        finder = Finder(notifier.repository, late_returns(notifier.repository), notifier.senders.wake)
        for _ in range(2):
            await finder.look(datetime.now(UTC))

        async def is_sent() -> bool:
            return await notifier.states("shop") == ["sent"] * 2

        async with notifier.sending():
            await until(is_sent)
        keys = {"order.returned": "returned", "refund.due": "refund_due:p1"}
        assert dict(shop.received) == {event_id("shoe", 7, "o1", key): kind for kind, key in keys.items()}
        body = await notifier.connection.fetchval("select body from shop_events where type = 'order.returned'")
        assert json.loads(body)["data"] == {
            "orderId": "shoe.o1", "productId": "shoe", "userId": "ann", "quantity": 1, "state": "returned", "rank": 3, "paymentId": "p1",
            "restocked": False,
        }  # fmt: skip
