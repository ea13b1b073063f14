"""GET /admin/events of the shared stack's ledger-api: pages that skip nothing, whatever commits meanwhile."""

import asyncio
import json
from random import Random

import asyncpg
import pytest

from flashsale_local_stack import Stack
from flashsale_notifier.database import Database
from flashsale_notifier.repository import Repository
from tests.integration.client import Answer
from tests.integration.test_refunds import Api

INSERT = "insert into shop_events (event_id, type, sale_id, at, body) values ($1, $2, 'shoe', now(), $3)"
WRITERS, TRANSACTIONS, EVENTS_EACH = 4, 60, 5


async def page(api: Api, query: str = "") -> Answer:
    return await asyncio.to_thread(api.send, "GET", f"/admin/events{query}")


async def end_of_feed(api: Api) -> str:
    """Other tests of the stack may have left more events than a page has."""
    shown = (await page(api, "?limit=1000")).body
    while shown["events"]:
        shown = (await page(api, f"?limit=1000&after={shown['next']}")).body
    return str(shown["next"])


async def write(connection: asyncpg.Connection, key: str, kind: str = "order.paid") -> None:
    body = json.dumps({"type": kind, "timestamp": "2026-05-01T12:00:00.000Z", "data": {"orderId": key, "state": "paid", "rank": 2}})
    await connection.execute(INSERT, key, kind, body)


async def test_late_commit_is_not_passed_by(stack: Stack) -> None:
    api, url = Api(stack), stack.env()["DATABASE_URL"]
    slow, quick = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        after = await end_of_feed(api)
        transaction = slow.transaction()
        await transaction.start()
        await write(slow, f"{api.sale}-slow")
        await write(quick, f"{api.sale}-quick")
        # It is committed, and still not shown: what runs may get a lower position.
        for query in ("", "&types=refund.due"):
            assert (await page(api, f"?after={after}{query}")).body == {"events": [], "next": after}
        await transaction.commit()
        shown = (await page(api, f"?after={after}")).body
        assert [event["id"] for event in shown["events"]] == [f"{api.sale}-slow", f"{api.sale}-quick"]
        assert (shown["events"][0]["type"], shown["events"][0]["data"]) == (
            "order.paid",
            {"orderId": f"{api.sale}-slow", "state": "paid", "rank": 2},
        )
        await write(quick, f"{api.sale}-refund", "refund.due")
        filtered = (await page(api, f"?after={after}&types=refund.due,sale.ended")).body
        assert [event["id"] for event in filtered["events"]] == [f"{api.sale}-refund"]
    finally:
        await slow.close()
        await quick.close()


async def test_transactions_are_in_the_order_of_their_numbers(stack: Stack) -> None:
    api, connection = Api(stack), await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        for transaction in ("100", "98", "99"):
            await write(connection, f"{api.sale}-{transaction}")
            await connection.execute(
                "update shop_events set txid = $1::text::xid8 where event_id = $2", transaction, f"{api.sale}-{transaction}"
            )
        first = await connection.fetchval("select seq from shop_events where event_id = $1", f"{api.sale}-98")
        # A cursor of an earlier release, without the event's id.
        events = (await page(api, f"?after=98.{first}&limit=2")).body["events"]
        assert [event["id"] for event in events] == [f"{api.sale}-99", f"{api.sale}-100"]
    finally:
        await connection.execute("delete from shop_events where txid < '101'")
        await connection.close()


async def test_feed_misses_nothing_under_concurrent_commits(stack: Stack) -> None:
    api, url = Api(stack), stack.env()["DATABASE_URL"]
    after = await end_of_feed(api)

    async def writer(number: int) -> None:
        connection, rng = await asyncpg.connect(url), Random(number)
        try:
            for place in range(TRANSACTIONS):
                async with connection.transaction():
                    for event in range(EVENTS_EACH):
                        await write(connection, f"{api.sale}-{number}-{place}-{event}")
                        await asyncio.sleep(rng.random() / 1000)
        finally:
            await connection.close()

    writers = asyncio.gather(*map(writer, range(WRITERS)))
    read: list[str] = []
    async with asyncio.timeout(60):
        while True:
            ended = writers.done()
            answer = (await page(api, f"?after={after}&limit=50")).body
            after = answer["next"]
            read += [event["id"] for event in answer["events"]]
            if ended and not answer["events"]:
                break
    await writers
    mine = [key for key in read if key.startswith(api.sale)]
    assert len(mine) == len(set(mine)) == WRITERS * TRANSACTIONS * EVENTS_EACH


@pytest.mark.parametrize("query", ["?after=x", "?after=1.2.", "?after=99999999999999999999.1", "?types=paid", "?limit=0", "?since=1"])
async def test_wrong_parameter_of_the_feed_is_named(stack: Stack, query: str) -> None:
    answer = await page(Api(stack), query)
    assert (answer.status, answer.body["field"]) == (400, query[1:].partition("=")[0])


async def test_restored_event_is_not_passed_by(stack: Stack) -> None:
    """A dump of another cluster brings transaction ids that this one has not reached."""
    api, url = Api(stack), stack.env()["DATABASE_URL"]
    connection, database = await asyncpg.connect(url), Database(url, 10, 1, 0, "")
    try:
        after = await end_of_feed(api)
        for key in ("first", "second"):
            await write(connection, f"{api.sale}-{key}")
        await connection.execute(
            "update shop_events set txid = '18446744073709551000' where sale_id = 'shoe' and event_id like $1", f"{api.sale}-%"
        )
        await write(connection, f"{api.sale}-new")
        # A reader that has begun again is past the new event.
        began = (await page(api, f"?after={after}")).body
        assert [event["id"] for event in began["events"]] == [f"{api.sale}-new"]
        await Repository(database).adopt_restored_events(1)
        later = (await page(api, f"?after={began['next']}")).body
        assert [event["id"] for event in later["events"]] == [f"{api.sale}-first", f"{api.sale}-second"]
    finally:
        await database.close()
        await connection.close()


async def test_cursor_of_another_database_is_refused(stack: Stack) -> None:
    answer = await page(Api(stack), "?after=18446744073709551615.1")
    assert (answer.status, answer.body["code"]) == (409, "unknown_cursor")


async def test_cursor_is_refused_if_its_event_is_not_there(stack: Stack) -> None:
    """A database that was restored may reach the transaction of a cursor again, and other events may be before it."""
    api, connection = Api(stack), await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        await write(connection, f"{api.sale}-kept")
        after = await end_of_feed(api)
        assert (await page(api, f"?after={after}")).status == 200
        await connection.execute("update shop_events set event_id = $1 where event_id = $2", f"{api.sale}-other", f"{api.sale}-kept")
        other = await page(api, f"?after={after}")
        await connection.execute("delete from shop_events where event_id = $1", f"{api.sale}-other")
        gone = await page(api, f"?after={after}")
        assert [(answer.status, answer.body["code"]) for answer in (other, gone)] == [(409, "unknown_cursor")] * 2
    finally:
        await connection.close()


async def test_cursor_of_a_rare_type_outlives_the_last_event_of_it(stack: Stack) -> None:
    api, connection = Api(stack), await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        after = await end_of_feed(api)
        await write(connection, f"{api.sale}-rare", "sale.ended")
        rare = (await page(api, f"?after={after}&types=sale.ended&limit=1")).body
        await write(connection, f"{api.sale}-other")
        empty = (await page(api, f"?after={rare['next']}&types=sale.ended&limit=1")).body
        assert ([event["id"] for event in rare["events"]], empty["events"]) == ([f"{api.sale}-rare"], [])
        await connection.execute("delete from shop_events where event_id = $1", f"{api.sale}-rare")
        assert (await page(api, f"?after={empty['next']}&types=sale.ended")).body == empty
    finally:
        await connection.close()


async def test_cursor_of_a_silent_month_is_known_until_the_next_event_is_old(stack: Stack) -> None:
    api, url = Api(stack), stack.env()["DATABASE_URL"]
    connection, database = await asyncpg.connect(url), Database(url, 10, 1, 0, "")

    async def write_old(name: str) -> None:
        await write(connection, f"{api.sale}-{name}")
        await connection.execute("update shop_events set created_at = now() - interval '2 hours' where event_id = $1", f"{api.sale}-{name}")

    try:
        for name in ("first", "last"):
            await write_old(name)
        after = await end_of_feed(api)
        await Repository(database).prune(3600, 10)
        rows = await connection.fetch("select event_id from shop_events where event_id like $1", f"{api.sale}-%")
        assert [row["event_id"] for row in rows] == [f"{api.sale}-last"]
        await write(connection, f"{api.sale}-new")
        await Repository(database).prune(3600, 10)
        shown = (await page(api, f"?after={after}")).body
        assert [event["id"] for event in shown["events"]] == [f"{api.sale}-new"]
        await write_old("later")
        await Repository(database).prune(3600, 10)
        assert (await page(api, f"?after={after}")).status == 409
    finally:
        await database.close()
        await connection.close()


async def test_feed_needs_a_key(stack: Stack) -> None:
    assert Api(stack).send("GET", "/admin/events", token="wrong-key").status == 401
