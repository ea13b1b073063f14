"""What a shop receives of payments whose order Redis did not know: the refunds that the ledger has, and nothing of what has paid."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from flashsale_core.messages import Message, PaymentsRecorded, SaleRetired
from flashsale_core.shop_events import event_id
from flashsale_notifier.rows import Place
from flashsale_notifier.unknown_orders import unknown_orders
from flashsale_notifier.unpublished import Finder
from flashsale_order_worker.plan import plan
from tests.integration.ledger import open_ledger
from tests.integration.notifying import deliveries, open_notifier
from tests.integration.order_events import defined, open_repository, payment, reserved


def repeat(order_id: str, payment_id: str) -> PaymentsRecorded:
    return msgspec.structs.replace(payment(order_id, payment_id, "refund_due", 9_000, "unknown_order"), epoch=0)


async def test_shop_is_told_of_each_refund_once_and_of_no_payment_that_was_kept(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    removed = SaleRetired(v=1, sale="shoe", epoch=7, at=8_000, state="removed", total=10, available=9, reserved=0, sold=1)
    repeats: list[Message] = [repeat("o1", "p1"), repeat("o1", "p2"), repeat("o9", "p2")]
    messages: list[Message] = [defined(1, 100, 10), reserved("o1"), payment("o1", "p1", "paid", 1_600), removed, *repeats]
    async with open_ledger(url), open_notifier(url) as notifier, open_repository(url) as repository:
        await repository.write(plan([(f"{number}-0", message) for number, message in enumerate(messages)]))
        await notifier.handle(deliveries(*repeats))
        assert await notifier.connection.fetchval("select count(*) from shop_events") == 0
        finder = Finder(notifier.repository, unknown_orders(notifier.repository), notifier.senders.wake)
        for _ in range(2):
            await finder.look(datetime.now(UTC))
        rows = await notifier.connection.fetch("select event_id, body from shop_events")
        refunds = [("o1", "p2"), ("o9", "p2")]
        assert {row["event_id"] for row in rows} == {event_id("shoe", 0, order, f"refund_due:{name}") for order, name in refunds}
        assert sorted(json.loads(row["body"])["data"]["orderId"] for row in rows) == ["shoe.o1", "shoe.o9"]
        body = json.loads(rows[0]["body"])
        assert (body["type"], body["timestamp"]) == ("refund.due", "1970-01-01T00:00:09.000Z")
        assert body["data"] | {"orderId": ""} == {
            "orderId": "", "productId": "shoe", "paymentId": "p2", "reason": "unknown_order", "amountMinor": 999, "currency": "EUR",
        }  # fmt: skip


async def test_refunds_of_one_moment_are_found_page_by_page(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    messages = [repeat(f"o{number % 2}", f"p{number}") for number in range(5)]
    async with open_ledger(url), open_notifier(url) as notifier, open_repository(url) as repository:
        await repository.write(plan([(f"{number}-0", message) for number, message in enumerate(messages)]))
        page, now = unknown_orders(notifier.repository), datetime.now(UTC)
        names, after = list[str](), Place(now - timedelta(minutes=1))
        while rows := await page(after, now + timedelta(seconds=1), 2):
            names += [json.loads(event.body)["data"]["paymentId"] for row in rows for event in row.events]
            after = rows[-1].place
        assert sorted(names) == [f"p{number}" for number in range(5)]
