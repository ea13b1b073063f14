"""What the order-worker writes to Postgres: any order of arrival, any redelivery and any concurrency lead to one ledger."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsale_core.errors import Rejected
from flashsale_core.messages import Message
from flashsale_order_worker import repository as repository_module
from flashsale_order_worker.plan import plan
from tests.integration.ledger import Rows, open_ledger
from tests.integration.order_events import IDENTIFIED, cancelled, open_repository, payment, reserved, written

ARRIVALS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def in_order(infra: Mapping[str, str]) -> Rows:
    return asyncio.run(written(infra["DATABASE_URL"], [[message] for message in IDENTIFIED]))


def test_story_in_order_is_the_expected_ledger(in_order: Rows) -> None:
    orders = {row["order_id"]: (row["state"], row["payment_id"], row["reserved_at"] is not None) for row in in_order["orders"]}
    assert orders == {
        "held": ("reserved", None, True),
        "left": ("cancelled", None, True),
        "gone": ("expired", None, True),
        "late": ("expired", None, True),
        "paid": ("paid", "p1", True),
        "again": ("paid", "p3", True),
    }
    assert {(row["payment_id"], row["status"], row["result"]) for row in in_order["payments"]} == {
        ("p1", "succeeded", "paid"),
        ("p2", "succeeded", "refund_due"),
        ("p3", "succeeded", "paid"),
        ("p4", "succeeded", "refund_due"),
        ("p5", "succeeded", "refund_due"),
    }
    assert [(row["payment_id"], row["reason"], row["state"]) for row in in_order["refunds"]] == [
        ("p2", "duplicate", "due"),
        ("p4", "sold_out", "due"),
        ("p5", "unknown_order", "due"),
    ]
    (sale,) = in_order["sales"]
    assert (sale["generation"], sale["total"], sale["state"], sale["final_available"], sale["final_reserved"], sale["final_sold"]) == (
        2, 30, "removed", 28, 0, 2,
    )  # fmt: skip
    assert len(in_order["order_events"]) == 6 + 1 + 3 + 2


@ARRIVALS
@given(
    arrivals=st.permutations(IDENTIFIED),
    again=st.lists(st.sampled_from(IDENTIFIED), max_size=6),
    cuts=st.sets(st.integers(1, len(IDENTIFIED) + 5)),
)
async def test_arrival_order_batching_and_redelivery_do_not_change_the_ledger(
    infra: Mapping[str, str], in_order: Rows, arrivals: list[tuple[str, Message]], again: list[tuple[str, Message]], cuts: set[int]
) -> None:
    deliveries = [*arrivals, *again]
    edges = [0, *sorted(cut for cut in cuts if cut < len(deliveries)), len(deliveries)]
    batches = [deliveries[start:end] for start, end in pairwise(edges)]
    assert await written(infra["DATABASE_URL"], batches) == in_order


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("repeat_first", [True, False])
async def test_repeat_after_the_sale_does_not_refund_the_payment(infra: Mapping[str, str], together: bool, repeat_first: bool) -> None:
    bought = ("1-0", payment("o1", "p1", "paid", 1_600))
    # The sale is removed by then: the webhook's repeat is for an unknown order.
    repeat = ("2-0", msgspec.structs.replace(payment("o1", "p1", "refund_due", 9_000, "unknown_order"), epoch=0))
    messages = [repeat, bought] if repeat_first else [bought, repeat]
    rows = await written(infra["DATABASE_URL"], [messages] if together else [[message] for message in messages])
    assert ([row["result"] for row in rows["payments"]], rows["refunds"]) == (["paid"], [])


async def test_workers_that_write_the_same_rows_at_once_agree(infra: Mapping[str, str], in_order: Rows) -> None:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        batches = [IDENTIFIED, IDENTIFIED[::-1], IDENTIFIED[::2], IDENTIFIED[1::2]] * 5
        await asyncio.gather(*(repository.write(plan(batch)) for batch in batches))
        assert await ledger.rows() == in_order


async def test_same_orders_in_opposite_order_do_not_deadlock(infra: Mapping[str, str]) -> None:
    url, ids = infra["DATABASE_URL"], [f"o{number:05}" for number in range(5000)]
    there, back = plan([("1-0", reserved(*ids))]), plan([("2-0", reserved(*reversed(ids)))])
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        for _ in range(3):
            await asyncio.gather(repository.write(there), repository.write(back))
        assert await ledger.count() == 5000


@pytest.mark.parametrize("known", [False, True])
async def test_times_keep_milliseconds_and_impossible_ones_are_rejected(infra: Mapping[str, str], known: bool) -> None:
    last_ms = 253_402_300_799_999
    messages: list[tuple[str, Message]] = [("1-0", msgspec.structs.replace(reserved("o1", at=1_790_000_000_123), deadline=last_ms))]
    # A cancelled one among them, and the batch takes the statements that look.
    batch = [*messages, ("2-0", cancelled("o2"))] if known else messages
    row = next(row for row in (await written(infra["DATABASE_URL"], [batch]))["orders"] if row["order_id"] == "o1")
    begin = datetime.fromtimestamp(0, UTC)
    assert (row["reserved_at"], row["deadline"]) == (
        begin + timedelta(milliseconds=1_790_000_000_123),
        begin + timedelta(milliseconds=last_ms),
    )
    for late in ("at", "deadline"):
        with pytest.raises(Rejected):
            await written(infra["DATABASE_URL"], [[*batch, ("3-0", msgspec.structs.replace(reserved("o3"), **{late: last_ms + 1}))]])


async def test_idle_connection_is_closed(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_module, "IDLE_SECONDS", 0.1)
    url = infra["DATABASE_URL"]
    named = f"{url}{'&' if '?' in url else '?'}application_name=resting"
    async with open_ledger(url) as ledger, open_repository(named) as repository:
        await repository.refunds_due()
        async with asyncio.timeout(30):
            while await ledger.connection.fetchval("select count(*) from pg_stat_activity where application_name = 'resting'"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await repository.refunds_due()
