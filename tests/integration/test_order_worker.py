"""The order-worker with real RabbitMQ and Postgres: any order of arrival, any crash, any poison, one ledger."""

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashsale_consumer import Consumer, ConsumerSettings, Delivery, Handle, Poison
from flashsale_core import topology
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.messages import (
    Message,
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    PaymentLine,
    PaymentResult,
    PaymentsRecorded,
    ReservedLine,
    SaleDefined,
    SaleRetired,
    encode,
)
from flashsale_core.orders import RANK
from flashsale_core.tracing import Tracing
from flashsale_local_stack import Stack
from flashsale_order_worker import repository as repository_module
from flashsale_order_worker.handlers import OrderEvents
from flashsale_order_worker.plan import plan
from flashsale_order_worker.repository import SCHEMA_VERSION, Repository
from tests.integration.broker import Broker, consuming, control, headers, open_broker, until
from tests.integration.ledger import Ledger, Rows, open_ledger

QUEUE = topology.ORDERS_QUEUE
ARRIVALS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reserved(*order_ids: str, at: int = 1_000, quantity: int = 1) -> OrdersReserved:
    lines = [ReservedLine(order_id, "ann", quantity) for order_id in order_ids]
    return OrdersReserved(v=1, sale="shoe", epoch=7, at=at, deadline=5_000, orders=lines)


def expired(*order_ids: str) -> OrdersExpired:
    return OrdersExpired(v=1, sale="shoe", epoch=7, at=5_001, orders=[OrderLine(one, "ann", 1, 5_000) for one in order_ids])


def cancelled(*order_ids: str) -> OrdersCancelled:
    return OrdersCancelled(v=1, sale="shoe", epoch=7, at=2_000, orders=[OrderLine(one, "ann", 1, 5_000) for one in order_ids])


def payment(order_id: str, payment_id: str, result: PaymentResult, at: int, reason: str = "") -> PaymentsRecorded:
    line = PaymentLine(order_id, payment_id, result, reason, 999, "EUR", "ann", 1, 5_000)
    return PaymentsRecorded(v=1, sale="shoe", epoch=7, at=at, payments=[line])


def defined(generation: int, at: int, total: int) -> SaleDefined:
    return SaleDefined(
        v=1, sale="shoe", epoch=7, at=at, owner="admin", generation=generation, total=total, available=total, reserved=0, sold=0,
        starts_ms=0, ends_ms=90_000, max_per_user=2, hold_seconds=5, rate_requests=0, rate_seconds=1,
        late_payment="reacquire", state="open",
    )  # fmt: skip


# Everything an order, a payment and a sale can live through.
STORY: Sequence[Message] = (
    defined(1, 100, 10),
    defined(2, 200, 20),
    defined(2, 300, 30),
    reserved("held", "left", "late"),
    reserved("gone", "paid", "again", at=1_001),
    cancelled("left"),
    payment("paid", "p1", "failed", 1_500),
    payment("paid", "p1", "paid", 1_600),
    payment("paid", "p2", "refund_due", 1_700, "duplicate"),
    expired("gone", "late", "again"),
    payment("again", "p3", "paid", 6_000),
    payment("late", "p4", "refund_due", 6_001, "sold_out"),
    payment("never-seen", "p5", "refund_due", 6_002, "unknown_order"),
    SaleRetired(v=1, sale="shoe", epoch=7, at=7_000, state="closed", total=30, available=26, reserved=2, sold=2),
    SaleRetired(v=1, sale="shoe", epoch=7, at=8_000, state="removed", total=30, available=28, reserved=0, sold=2),
)
IDENTIFIED = [(f"{number}-0", message) for number, message in enumerate(STORY)]


@asynccontextmanager
async def open_repository(database_url: str) -> AsyncIterator[Repository]:
    repository = Repository(database_url, statement_timeout_seconds=5, retry_seconds=0.1)
    try:
        yield repository
    finally:
        await repository.close()


async def written(database_url: str, batches: Sequence[Sequence[tuple[str, Message]]]) -> Rows:
    async with open_repository(database_url) as repository, open_ledger(database_url) as ledger:
        for batch in batches:
            await repository.write(plan(batch))
        return await ledger.rows()


@asynccontextmanager
async def at_work(infra: Mapping[str, str]) -> AsyncIterator[tuple[Broker, Ledger, OrderEvents]]:
    url = infra["DATABASE_URL"]
    async with open_broker(infra["AMQP_URL"]) as broker, open_ledger(url) as ledger, open_repository(url) as repository:
        yield broker, ledger, OrderEvents(repository, Tracing(None))


def consumer(infra: Mapping[str, str], handle: Handle, queue: str = QUEUE, batch_messages: int = 16) -> Consumer:
    return Consumer(ConsumerSettings(infra["AMQP_URL"], queue, batch_messages, 1_000_000, 10, 10), handle)


@pytest.fixture(scope="module")
def in_order(infra: Mapping[str, str]) -> Rows:
    return asyncio.run(written(infra["DATABASE_URL"], [[one] for one in IDENTIFIED]))


def test_the_story_in_order_is_the_ledger_we_mean(in_order: Rows) -> None:
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
async def test_order_of_arrival_batches_and_redelivery_do_not_matter(
    infra: Mapping[str, str], in_order: Rows, arrivals: list[tuple[str, Message]], again: list[tuple[str, Message]], cuts: set[int]
) -> None:
    heard = [*arrivals, *again]
    edges = [0, *sorted(cut for cut in cuts if cut < len(heard)), len(heard)]
    batches = [heard[start:end] for start, end in pairwise(edges)]
    assert await written(infra["DATABASE_URL"], batches) == in_order


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("repeat_first", [True, False])
async def test_a_payment_that_bought_its_order_is_not_sent_back_for_a_repeat_after_the_sale(
    infra: Mapping[str, str], together: bool, repeat_first: bool
) -> None:
    bought = ("1-0", payment("o1", "p1", "paid", 1_600))
    # The sale is removed by then: the webhook's repeat is for an order nobody knows.
    repeat = ("2-0", msgspec.structs.replace(payment("o1", "p1", "refund_due", 9_000, "unknown_order"), epoch=0))
    heard = [repeat, bought] if repeat_first else [bought, repeat]
    rows = await written(infra["DATABASE_URL"], [heard] if together else [[one] for one in heard])
    assert ([row["result"] for row in rows["payments"]], rows["refunds"]) == (["paid"], [])


async def test_workers_writing_the_same_rows_at_once_agree(infra: Mapping[str, str], in_order: Rows) -> None:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        batches = [IDENTIFIED, IDENTIFIED[::-1], IDENTIFIED[::2], IDENTIFIED[1::2]] * 5
        await asyncio.gather(*(repository.write(plan(batch)) for batch in batches))
        assert await ledger.rows() == in_order


async def test_workers_with_the_same_orders_in_opposite_order_do_not_wait_for_each_other_in_a_circle(infra: Mapping[str, str]) -> None:
    url, ids = infra["DATABASE_URL"], [f"o{number:05}" for number in range(5000)]
    there, back = plan([("1-0", reserved(*ids))]), plan([("2-0", reserved(*reversed(ids)))])
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        for _ in range(3):
            await asyncio.gather(repository.write(there), repository.write(back))
        assert await ledger.count() == 5000


@pytest.mark.parametrize("known", [False, True])
async def test_times_are_kept_to_the_millisecond_and_one_past_all_calendars_is_refused(infra: Mapping[str, str], known: bool) -> None:
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


async def test_a_connection_that_rests_is_closed_before_the_network_forgets_it(
    infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "IDLE_SECONDS", 0.1)
    url = infra["DATABASE_URL"]
    named = f"{url}{'&' if '?' in url else '?'}application_name=resting"
    async with open_ledger(url) as ledger, open_repository(named) as repository:
        await repository.refunds_due()
        async with asyncio.timeout(30):
            while await ledger.connection.fetchval("select count(*) from pg_stat_activity where application_name = 'resting'"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await repository.refunds_due()


async def test_ranks_in_the_schema_are_those_in_the_code(infra: Mapping[str, str]) -> None:
    async with open_ledger(infra["DATABASE_URL"]) as ledger:
        rows = await ledger.connection.fetch("select s, order_rank(s) from unnest($1::text[]) s", [state.value for state in RANK])
        assert dict(rows) == {state.value: rank for state, rank in RANK.items()}


@pytest.mark.parametrize("statement", ["update order_events set at = now()", "delete from order_events"])
async def test_history_is_append_only(infra: Mapping[str, str], statement: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        async with open_ledger(infra["DATABASE_URL"]) as ledger:
            await ledger.connection.execute(statement)


async def test_poison_is_parked_with_its_reason_and_its_neighbours_are_committed(infra: Mapping[str, str]) -> None:
    async with at_work(infra) as (broker, ledger, handle):
        good = [encode(reserved(f"o{number}")) for number in range(20)]
        poison = [b"not json", encode(reserved("big", quantity=2**63)), encode(reserved("none", quantity=0)), encode(reserved("n\0l")),
                  encode(reserved("far", at=2**60)), encode(reserved("o1")).replace(b'"v":1', b'"v":2'),
                  encode(reserved("".join(map(str, range(9000)))))]  # fmt: skip
        await broker.publish(QUEUE, *good[:10], *poison, *good[10:])
        async with consuming(consumer(infra, handle)):
            await until(lambda: _is(ledger.count(), 20))
        parked = await broker.take_all(topology.PARKED_ORDERS_QUEUE)
        assert headers(parked) == [
            ("11-0", "undecodable"),
            ("12-0", "rejected"),
            ("13-0", "rejected"),
            ("14-0", "rejected"),
            ("15-0", "rejected"),
            ("16-0", "undecodable"),
            ("17-0", "rejected"),
        ]
        assert {message.body for message in parked} == set(poison)
        assert all(message.headers["x-error"] and message.headers["x-queue"] == QUEUE for message in parked)
        assert await broker.take_all(QUEUE) == []


async def test_a_crash_between_commit_and_acknowledgement_loses_and_doubles_nothing(infra: Mapping[str, str], in_order: Rows) -> None:
    async with at_work(infra) as (broker, ledger, handle):
        first: list[str] = []
        finished: set[str] = set()

        async def crash_once(batch: Sequence[Delivery]) -> Sequence[Poison]:
            poisons = await handle(batch)
            if not first:
                first.extend(delivery.message_id for delivery in batch)
                raise RuntimeError("committed, but not acknowledged")
            finished.update(delivery.message_id for delivery in batch)
            return poisons

        await broker.publish(QUEUE, *[encode(message) for message in STORY], first_id=0)
        async with consuming(consumer(infra, crash_once)):
            await until(lambda: _true(len(finished) == len(STORY)))
        assert finished >= set(first)
        assert await broker.take_all(QUEUE) == []
        assert (await ledger.rows(), len(finished)) == (in_order, len(STORY))


async def test_nothing_is_acknowledged_before_it_is_committed(infra: Mapping[str, str]) -> None:
    async with open_broker(infra["AMQP_URL"]) as broker:
        asked = asyncio.Event()

        async def away(batch: Sequence[Delivery]) -> Sequence[Poison]:
            asked.set()
            raise Retryable("away", 0.02)

        bodies = [encode(reserved(f"o{number}")) for number in range(5)]
        await broker.publish(QUEUE, *bodies)
        waiting = consumer(infra, away)
        async with consuming(waiting):
            await asked.wait()
            await until(lambda: _true(waiting.fault == "away"))
        left = await broker.take_all(QUEUE)
        assert await broker.take_all(topology.PARKED_ORDERS_QUEUE) == []
        assert sorted(str(message.message_id) for message in left) == ["1-0", "2-0", "3-0", "4-0", "5-0"]


async def test_a_database_that_was_away_gets_everything_and_nothing_is_parked(infra_stack: Stack, infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_broker(infra["AMQP_URL"]) as broker, open_repository(url) as repository:
        async with open_ledger(url):
            pass
        working = consumer(infra, OrderEvents(repository, Tracing(None)))
        async with consuming(working):
            await broker.publish(QUEUE, encode(reserved("before")))
            await until(lambda: _counts(url, 1))
            await asyncio.to_thread(infra_stack.kill, "postgres")
            await broker.publish(QUEUE, *[encode(reserved(f"o{number}")) for number in range(100)])
            await until(lambda: _true((working.fault or "").startswith("Postgres")))
            await asyncio.to_thread(infra_stack.start, "postgres")
            await until(lambda: _counts(url, 101))
            await until(lambda: _true(working.fault is None))
        assert [await broker.take_all(queue) for queue in (QUEUE, topology.PARKED_ORDERS_QUEUE)] == [[], []]


async def test_a_broker_that_was_away_is_consumed_again(infra_stack: Stack, infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_ledger(url) as ledger, open_repository(url) as repository:
        async with open_broker(infra["AMQP_URL"]) as broker:
            await broker.publish(QUEUE, encode(reserved("before")))
        async with consuming(consumer(infra, OrderEvents(repository, Tracing(None)))):
            await until(lambda: _is(ledger.count(), 1))
            await asyncio.to_thread(infra_stack.restart, "rabbitmq")
            async with open_broker(infra["AMQP_URL"]) as broker:
                await broker.publish(QUEUE, encode(reserved("after")))
            await until(lambda: _is(ledger.count(), 2))


async def test_a_queue_deleted_under_its_consumer_is_said_and_consumed_again_once_it_is_back(
    infra_stack: Stack, infra: Mapping[str, str]
) -> None:
    async with at_work(infra) as (broker, ledger, handle):
        working = consumer(infra, handle)
        async with consuming(working):
            await broker.publish(QUEUE, encode(reserved("before")))
            await until(lambda: _is(ledger.count(), 1))
            await asyncio.to_thread(control, infra_stack, "delete_queue", QUEUE)
            await until(lambda: _true("NOT_FOUND" in (working.fault or "")))
            definitions = infra_stack.home / "rabbitmq" / "definitions.json"
            await asyncio.to_thread(control, infra_stack, "import_definitions", str(definitions))
            await broker.publish(QUEUE, encode(reserved("after")))
            await until(lambda: _is(ledger.count(), 2))
        assert working.fault is None


async def test_a_missing_queue_is_named(infra: Mapping[str, str]) -> None:
    async with at_work(infra) as (_, _, handle):
        lost = consumer(infra, handle, queue="no-such-queue")
        async with consuming(lost):
            await until(lambda: _true("NOT_FOUND" in (lost.fault or "")))
        fault = str(lost.fault)
    assert "'no-such-queue'" in fault


async def test_a_schema_that_is_missing_or_old_is_said_so(infra: Mapping[str, str]) -> None:
    admin = await asyncpg.connect(infra["DATABASE_URL"])
    await admin.execute("create database bare")
    bare = infra["DATABASE_URL"].rpartition("/")[0] + "/bare"
    try:
        async with open_repository(bare) as repository:
            with pytest.raises(Retryable, match="no schema yet; run `flashsale migrate`"):
                await repository.check_schema()
            old = await asyncpg.connect(bare)
            await old.execute("create table schema_migrations (version int); insert into schema_migrations values (1)")
            await old.close()
            with pytest.raises(Retryable, match=f"schema is 1, this release needs {SCHEMA_VERSION}"):
                await repository.check_schema()
    finally:
        await admin.execute("drop database bare with (force)")
        await admin.close()


async def test_the_process_survives_kill_9_and_ends_on_sigterm(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_broker(infra["AMQP_URL"]) as broker, open_ledger(url) as ledger:
        messages = [reserved(*[f"o{number}-{line}" for line in range(50)]) for number in range(200)]
        await broker.publish(QUEUE, *map(encode, messages))
        first = start(infra, batch_messages=4)
        await until(lambda: _at_least(ledger, 50))
        first.send_signal(signal.SIGKILL)
        first.wait()
        before = await ledger.count()
        second = start(infra, batch_messages=4)
        try:
            await until(lambda: _is(ledger.count(), 10_000))
            await until(lambda: asyncio.to_thread(is_ready, second.args))
        finally:
            second.send_signal(signal.SIGTERM)
            ended = await asyncio.to_thread(second.wait, 20)
        assert (before < 10_000, ended, await ledger.count("order_events")) == (True, 0, 10_000)
        assert [await broker.take_all(queue) for queue in (QUEUE, topology.PARKED_ORDERS_QUEUE)] == [[], []]


def start(infra: Mapping[str, str], batch_messages: int) -> "subprocess.Popen[bytes]":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**infra, "FLASHSALE_PROBE_PORT": str(port), "FLASHSALE_ORDER_WORKER_BATCH_MESSAGES": str(batch_messages), "PATH": ""}
    # The port stands in the arguments too, where `is_ready` reads it; the worker looks at none.
    command = [sys.executable, "-m", "flashsale_order_worker", str(port)]
    return subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)


def is_ready(command: object) -> bool:
    assert isinstance(command, list)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{command[-1]}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def _true(value: bool) -> bool:
    return value


async def _is(count: Awaitable[int], wanted: int) -> bool:
    return await count == wanted


async def _at_least(ledger: Ledger, wanted: int) -> bool:
    return await ledger.count() >= wanted


async def _counts(database_url: str, wanted: int) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        return await Ledger(connection).count() == wanted
    finally:
        await connection.close()
