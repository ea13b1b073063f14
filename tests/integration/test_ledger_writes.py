"""What the order-worker writes to Postgres: any order of arrival, any redelivery and any concurrency lead to one ledger."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from flashsale_core.errors import Rejected
from flashsale_core.messages import RESTORED, LedgerMarker, Message, Position
from flashsale_ledger import pool
from flashsale_order_worker import metrics
from flashsale_order_worker import repository as repository_module
from flashsale_order_worker.plan import plan
from tests.integration.ledger import Rows, open_ledger
from tests.integration.order_events import IDENTIFIED, cancelled, defined, open_repository, payment, reserved, returned, written

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
        "again": ("returned", "p3", True),
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
        ("p3", "returned", "due"),
        ("p4", "sold_out", "due"),
        ("p5", "unknown_order", "due"),
    ]
    assert [(row["order_id"], row["restocked"]) for row in in_order["orders"] if row["restocked"] is not None] == [("again", True)]
    (sale,) = in_order["sales"]
    assert (sale["generation"], sale["total"], sale["state"], sale["final_available"], sale["final_reserved"], sale["final_sold"]) == (
        2, 30, "removed", 28, 0, 2,
    )  # fmt: skip
    assert len(in_order["order_events"]) == 6 + 1 + 3 + 2 + 1
    assert [(row["state"], row["changed_by"]) for row in in_order["order_events"] if row["changed_by"]] == [("returned", "console/bob")]


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


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("restored_first", [True, False])
@pytest.mark.parametrize("restored_at", [1_000, 9_000])
async def test_refund_has_its_amount_whenever_a_rebuild_restored_it(
    infra: Mapping[str, str], together: bool, restored_first: bool, restored_at: int
) -> None:
    late = ("1-0", payment("o1", "p1", "refund_due", 1_600, "late"))
    # Redis keeps no amounts, and the message of the payment was still on its way.
    restored = payment("o1", "p1", "refund_due", restored_at, "restored")
    lines = [msgspec.structs.replace(line, amount_minor=0, currency="") for line in restored.payments]
    again = ("2-0", msgspec.structs.replace(restored, payments=lines))
    messages = [again, late] if restored_first else [late, again]
    rows = await written(infra["DATABASE_URL"], [messages] if together else [[message] for message in messages])
    kept = [[(row["reason"], row["amount_minor"]) for row in rows[table]] for table in ("payments", "refunds")]
    assert kept == [[("late", 999)], [("late", 999)]]


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


def positioned(message: Message, seq: int, shard: int = 0) -> tuple[str, Message]:
    assert not isinstance(message, LedgerMarker)
    return f"{seq}-0", msgspec.structs.replace(message, seq=Position(shard, 1, seq))


MARKER = LedgerMarker(v=1, marker="0b5f1f0a-1f3f-4c1c-9d52-0b0f6a6f7a11", at=1_000)


@pytest.mark.parametrize("fast", [True, False])
async def test_positions_and_markers_are_committed_with_the_orders(infra: Mapping[str, str], fast: bool) -> None:
    # A cancelled order makes the batch take the statements that look.
    last = reserved("o3") if fast else cancelled("o3")
    batch = [positioned(reserved("o1"), 1), positioned(reserved("o2"), 2, shard=3), positioned(last, 2), ("", MARKER)]
    async with open_repository(infra["DATABASE_URL"]) as repository, open_ledger(infra["DATABASE_URL"]) as ledger:
        rows = plan(batch)
        assert repository_module.only_new(rows) is fast
        await repository.write(rows)
        assert (await ledger.count(), await ledger.received(), await ledger.markers()) == (3, [(0, 1, 1, 2), (3, 1, 2, 2)], [MARKER.marker])
        refused = [positioned(reserved("o4"), 3), ("", msgspec.structs.replace(reserved("o5"), deadline=10**15))]
        with pytest.raises(Rejected):
            await repository.write(plan(refused))
        assert (await ledger.count(), len(await ledger.received())) == (3, 2)


async def test_redelivered_batch_adds_only_its_ranges_again(infra: Mapping[str, str]) -> None:
    rows = plan([positioned(reserved("o1"), 1), positioned(reserved("o2"), 2), ("", MARKER)])
    async with open_repository(infra["DATABASE_URL"]) as repository, open_ledger(infra["DATABASE_URL"]) as ledger:
        await repository.write(rows)
        before = await ledger.rows()
        # Several workers at once: none waits for another because of the ranges, and none fails.
        await asyncio.gather(*(repository.write(rows) for _ in range(8)))
        assert await ledger.rows() == before
        assert (set(await ledger.received()), await ledger.count("received_entries"), await ledger.markers()) == (
            {(0, 1, 1, 2)}, 9, [MARKER.marker],
        )  # fmt: skip


async def test_terms_of_the_latest_definition_are_kept(infra: Mapping[str, str]) -> None:
    first = defined(1, 100, 10)
    second = msgspec.structs.replace(defined(2, 200, 10), owner="", max_released=0, base=2, durability="confirmed", price="1999 EUR")
    for batches in ([[("1", first), ("2", second)]], [[("1", first)], [("2", second)]], [[("2", second)], [("1", first)]]):
        (sale,) = (await written(infra["DATABASE_URL"], batches))["sales"]
        assert (sale["owner"], sale["max_released"], sale["base"], sale["durability"]) == ("", 0, 2, "confirmed")
        assert sale["price"] == "1999 EUR"
    (sale,) = (await written(infra["DATABASE_URL"], [[("1", first)]]))["sales"]
    assert (sale["max_released"], sale["base"], sale["durability"], sale["price"]) == (20, 0, "fsync", "")


async def test_idle_connection_is_closed(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.1)
    url = infra["DATABASE_URL"]
    named = f"{url}{'&' if '?' in url else '?'}application_name=resting"
    async with open_ledger(url) as ledger, open_repository(named) as repository:
        await repository.open_refunds()
        async with asyncio.timeout(30):
            while await ledger.connection.fetchval("select count(*) from pg_stat_activity where application_name = 'resting'"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        # The alert FlashsaleLedgerStuck ends with the next statement that succeeds, also while nothing is written.
        metrics.DATABASE_UP.set(0)
        await repository.open_refunds()
        assert REGISTRY.get_sample_value("flashsale_database_up") == 1


async def test_two_workers_that_bring_payment_and_return_at_once_leave_one_refund(infra: Mapping[str, str]) -> None:
    async with open_repository(infra["DATABASE_URL"]) as repository, open_ledger(infra["DATABASE_URL"]) as ledger:
        for number in range(10):
            paid, back = payment(f"o{number}", f"p{number}", "paid", 1_600), returned(f"o{number}", f"p{number}", restocked=False)
            await asyncio.gather(repository.write(plan([("1", paid)])), repository.write(plan([("2", back)])))
        rows = await ledger.rows()
    assert {(row["payment_id"], row["reason"], row["amount_minor"]) for row in rows["refunds"]} == {
        (f"p{number}", "returned", 999) for number in range(10)
    }


async def test_return_of_a_payment_without_amount_gets_it_with_the_payments_own_message(infra: Mapping[str, str]) -> None:
    own = payment("o1", "p1", "paid", 1_600)
    (line,) = own.payments
    restored = msgspec.structs.replace(own, payments=[msgspec.structs.replace(line, amount_minor=0, currency="", reason=RESTORED)])
    back = returned("o1", "p1")
    batches: list[list[tuple[str, Message]]] = [[("1", restored)], [("2", back)], [("3", own)], [("4", restored), ("5", back)]]
    (refund,) = (await written(infra["DATABASE_URL"], batches))["refunds"]
    assert (refund["payment_id"], refund["reason"], refund["amount_minor"], refund["currency"]) == ("p1", "returned", 999, "EUR")
