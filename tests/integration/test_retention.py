# ruff: noqa: S608 - the tests' own names
"""`flashsale ledger prune` on a real Postgres: whole old sales go, everything else stays, and nobody else may delete history."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from flashsale_audit.read_ledger import LedgerReader
from flashsale_cli import retention, stray_reports
from flashsale_cli.main import app
from flashsale_cli.migrations import migrate
from flashsale_cli.stray_reports import prune_stray_reports
from flashsale_core.messages import LedgerMarker, Message, OrdersReserved, Position, ReservedLine
from flashsale_order_worker.plan import plan
from flashsale_order_worker.repository import Repository

DB = Path(__file__).parents[2] / "db"
YEARS = timedelta(days=400)
TABLES = ("sales", "orders", "order_events", "payments", "refunds")


@pytest.fixture
async def database(infra: Mapping[str, str]) -> AsyncIterator[str]:
    """A ledger of its own."""
    name = f"r{uuid.uuid4().hex[:12]}"
    url = f"{infra['DATABASE_URL'].rpartition('/')[0]}/{name}"
    await execute(infra["DATABASE_URL"], f"create database {name}")
    await migrate(url, DB)
    yield url
    await execute(infra["DATABASE_URL"], f"drop database {name} with (force)")


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def counts(url: str, sale: str = "%") -> dict[str, int]:
    connection = await asyncpg.connect(url)
    try:
        query = "select count(*) from {} where sale_id like $1"
        return {table: int(await connection.fetchval(query.format(table), sale)) for table in TABLES}
    finally:
        await connection.close()


def sale(name: str, epoch: int = 1, *, state: str = "removed", days_ago: int = 500, refund: str = "sent") -> str:
    """A sale with a paid order, an expired order, a failed payment and a refunded payment."""
    at = f"now() - interval '{days_ago} days'"
    retired = at if state in ("closed", "removed") else "null"
    return f"""
        insert into sales (sale_id, epoch, owner, generation, state, total, max_per_user, hold_seconds, rate_requests, rate_seconds,
                           late_payment, defined_at, retired_at)
            values ('{name}', {epoch}, 'admin', 1, '{state}', 9, 0, 5, 0, 1, 'refund', {at}, {retired});
        insert into orders (sale_id, epoch, order_id, user_id, quantity, state, deadline, payment_id, updated_at) values
            ('{name}', {epoch}, 'o1', 'ann', 1, 'paid', {at}, '{name}{epoch}p1', {at}),
            ('{name}', {epoch}, 'o2', 'bob', 1, 'expired', {at}, null, {at});
        insert into order_events values
            ('{name}', {epoch}, 'o1', 'reserved', {at}, '1-0'), ('{name}', {epoch}, 'o1', 'paid', {at}, '2-0'),
            ('{name}', {epoch}, 'o2', 'reserved', {at}, '1-0'), ('{name}', {epoch}, 'o2', 'expired', {at}, '3-0');
        insert into payments (payment_id, sale_id, epoch, order_id, status, result, reason, amount_minor, currency, at) values
            ('{name}{epoch}p0', '{name}', {epoch}, 'o1', 'failed', 'failed', 'declined', 5, 'EUR', {at}),
            ('{name}{epoch}p1', '{name}', {epoch}, 'o1', 'succeeded', 'paid', '', 5, 'EUR', {at}),
            ('{name}{epoch}p2', '{name}', {epoch}, 'o2', 'succeeded', 'refund_due', 'expired', 5, 'EUR', {at});
        insert into refunds (payment_id, sale_id, epoch, order_id, reason, amount_minor, currency, state, created_at)
            values ('{name}{epoch}p2', '{name}', {epoch}, 'o2', 'expired', 5, 'EUR', '{refund}', {at});
    """


# Its sale has this order as well, which was paid, returned and paid back.
RETURNED = """
    insert into orders (sale_id, epoch, order_id, user_id, quantity, state, deadline, payment_id, updated_at, restocked)
        select sale_id, epoch, 'o3', 'cem', 1, 'returned', deadline, 'p3', updated_at, true from orders where order_id = 'o1';
    insert into payments (payment_id, sale_id, epoch, order_id, status, result, reason, amount_minor, currency, at)
        select 'p3', sale_id, epoch, 'o3', 'succeeded', 'paid', '', 5, 'EUR', at from payments where result = 'paid';
    insert into refunds (payment_id, sale_id, epoch, order_id, reason, amount_minor, currency, state, created_at)
        select 'p3', sale_id, epoch, 'o3', 'returned', 5, 'EUR', 'sent', created_at from refunds;
    insert into refund_reports select 'p3', sale_id, 'o3', 're_1', 5, 'EUR', created_at from refunds where payment_id = 'p3';
"""
# Nobody has looked at it yet.
REPORTED = "insert into refund_reports values ('reported1p1', 'reported', 'o1', 're_2', 5, 'EUR', now());"
# Its refund waited long, and was sent yesterday.
SETTLED = "update refunds set changed_at = now() - interval '1 day' where sale_id = 'settled';"
# Somebody left it as paid yesterday.
LEFT = """
    insert into refund_reports values ('left1p1', 'left', 'o1', 're_3', 5, 'EUR', now() - interval '400 days');
    insert into refund_events (payment_id, sale_id, epoch, order_id, at, source, who, from_state, to_state, refunded_minor, reference,
                               reason)
        values ('left1p1', 'left', 1, 'o1', now() - interval '1 day', 'admin', 'ann', 'reported', 'left', 5, 're_3', 'goodwill');
"""
ALL = {"sales": 1, "orders": 2, "order_events": 4, "payments": 3, "refunds": 1}
NONE = dict.fromkeys(TABLES, 0)


async def pruned(url: str, *, dry_run: bool = False) -> list[tuple[Any, ...]]:
    sales = [item async for item in retention.prune(url, YEARS, 100, dry_run=dry_run)]
    return [(item.sale.sale_id, item.sale.epoch, item.orders, item.events, item.payments, item.refunds) for item in sales]


async def test_old_sales_are_deleted_whole_and_others_are_kept(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ORDERS_BATCH", 1)
    kept = {
        "open": sale("open", state="open"),
        "closed": sale("closed", state="closed"),
        "young": sale("young", days_ago=399),
        "due": sale("due", refund="due"),
        "failed": sale("failed", refund="failed"),
        "held": sale("held") + "update orders set deadline = now() where (sale_id, order_id) = ('held', 'o2');",
        "late": sale("late") + "update payments set at = now() where payment_id = 'late1p2';",
        "reported": sale("reported") + REPORTED,
        "settled": sale("settled") + SETTLED,
        "left": sale("left") + LEFT,
        # The later epoch of a name is kept as long as the earlier one.
        "twice": sale("twice", 1, refund="due") + sale("twice", 2),
    }
    # The sale `lost` was lost in Redis and never removed, but it was created again, and the second one was removed.
    old = [sale("shoe"), sale("lost", 1, state="open"), sale("lost", 2), sale("again", 1), sale("again", 2, state="open", days_ago=0)]
    await execute(database, *kept.values(), *old)
    before = await counts(database)
    gone = [("again", 1, 2, 4, 3, 1), ("lost", 1, 2, 4, 3, 1), ("lost", 2, 2, 4, 3, 1), ("shoe", 1, 2, 4, 3, 1)]
    assert (await pruned(database, dry_run=True), await counts(database)) == (gone, before)
    assert (await pruned(database), await pruned(database)) == (gone, [])
    assert [await counts(database, name) for name in ("shoe", "lost", "again")] == [NONE, NONE, ALL]
    assert [await counts(database, name) for name in list(kept)[:-1]] == [ALL] * 10
    assert await counts(database, "twice") == {table: 2 * rows for table, rows in ALL.items()}
    await _audit_is_clean(database, ["again", "closed", "open"])


async def _audit_is_clean(url: str, live: list[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        ledger = LedgerReader(connection)
        assert await ledger.live_sale_ids() == live
        for name in await ledger.paid_sale_ids():
            money = await ledger.money(name)
            wrong = (money.paid_orders_without_payment, money.payments_without_paid_order, money.due_without_refund,
                     money.refunds_without_payment)  # fmt: skip
            assert [violations.count for violations in wrong] == [0] * 4
    finally:
        await connection.close()


async def test_interrupted_prune_leaves_a_clean_audit_and_can_continue(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ORDERS_BATCH", 1)
    monkeypatch.setattr(retention, "_REST", "select 1 / 0 where $1::text is not null and $2::bigint > 0")
    await execute(database, sale("shoe"), RETURNED)
    with pytest.raises(Exception, match="division by zero"):
        await pruned(database)
    assert await counts(database) == {**ALL, "orders": 0, "order_events": 0, "payments": 2}
    await _audit_is_clean(database, [])
    monkeypatch.undo()
    assert (await pruned(database), await counts(database)) == ([("shoe", 1, 0, 0, 2, 1)], NONE)


async def test_old_reports_that_belong_to_nothing_are_deleted(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stray_reports, "REPORTS_BATCH", 1)
    old, young = "now() - interval '500 days'", "now() - interval '399 days'"
    # A refund, a payment and an order of the sale `due`, which is kept because its refund is; then two strays, and one that is too young.
    reports = [("due1p2", "due", "o2", old), ("due1p0", "due", "o1", old), ("other", "due", "o1", old),
               ("pi_1", "due", "o9", old), ("pi_2", "gone", "o1", old), ("pi_3", "gone", "o1", young)]  # fmt: skip
    values = ", ".join(f"('{payment}', '{name}', '{order}', 're_1', 5, 'EUR', {at})" for payment, name, order, at in reports)
    await execute(database, sale("due", refund="due"), f"insert into refund_reports values {values}")
    counts = [await prune_stray_reports(database, YEARS, dry_run=dry_run) for dry_run in (True, False, False)]
    connection = await asyncpg.connect(database)
    try:
        left = [row[0] for row in await connection.fetch("select payment_id from refund_reports order by 1")]
    finally:
        await connection.close()
    assert (counts, left) == ([2, 2, 0], ["due1p0", "due1p2", "other", "pi_3"])


async def test_only_the_owner_can_delete_history_and_only_on_request(database: str) -> None:
    role = f"w{uuid.uuid4().hex[:12]}"
    writer = f"postgresql://{role}:{role}@{database.rpartition('@')[2]}"
    on_request = "set flashsale.prune = 'on'"
    await execute(
        database,
        sale("shoe"),
        f"create role {role} login password '{role}'",
        (DB / "writer.sql").read_text().replace("flashsale_writer", role),
    )
    try:
        await _writes_as(writer)
        for url, statements, error in [
            (database, ("delete from order_events",), asyncpg.RestrictViolationError),
            (database, (on_request, "update order_events set at = now()"), asyncpg.RestrictViolationError),
            (writer, (on_request, "delete from order_events"), asyncpg.InsufficientPrivilegeError),
            (writer, (on_request, "truncate order_events"), asyncpg.InsufficientPrivilegeError),
        ]:
            with pytest.raises(error):
                await execute(url, *statements)
        # The right to delete is not enough.
        await execute(database, f"grant delete on order_events to {role}")
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await execute(writer, on_request, "delete from order_events")
    finally:
        await execute(database, f"drop owned by {role}", f"drop role {role}")


async def _writes_as(writer: str) -> None:
    worker = Repository(writer, 10, 0.1)
    try:
        await worker.check_schema()
        lines = [ReservedLine("o9", "ann", 1)]
        order: Message = OrdersReserved(v=1, sale="hat", epoch=7, at=1_000, deadline=5_000, orders=lines, seq=Position(0, 1, 1))
        await worker.write(plan([("1-0", order), ("", LedgerMarker(v=1, marker=str(uuid.uuid4()), at=1_000))]))
        await worker.open_refunds()
    finally:
        await worker.close()


async def test_command_reports_what_it_deleted(database: str) -> None:
    await execute(database, sale("shoe"))

    async def run(*words: str) -> tuple[int, Any]:
        command = ["ledger", "prune", "--older-than", "400d", "--json", *words]
        result = await asyncio.to_thread(CliRunner().invoke, app, command, env={"DATABASE_URL": database})
        return result.exit_code, [(item["productId"], item["orders"], item["payments"]) for item in json.loads(result.stdout)["sales"]]

    assert [await run("--dry-run"), await run(), await run()] == [(0, [("shoe", 2, 3)]), (0, [("shoe", 2, 3)]), (0, [])]
