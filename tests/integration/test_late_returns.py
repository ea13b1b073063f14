"""Which orders the ledger-api takes back: only paid ones of a sale that Redis no longer has."""

from collections.abc import Mapping

import pytest

from flashsale_core.ids import OrderId, OrderRef, SaleId
from flashsale_core.messages import Message
from flashsale_ledger_api.late_returns import return_order
from flashsale_ledger_api.problems import Problem
from flashsale_order_worker.plan import plan
from tests.integration.ledger import open_ledger
from tests.integration.order_events import defined, open_repository, payment, reserved

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
