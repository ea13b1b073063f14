"""The notifier on a real ledger: what a shop receives, whatever the shop answers and whenever the notifier ends."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web

from flashsale_consumer import Delivery
from flashsale_core.messages import Message, Position
from flashsale_core.tasks import cancel_and_wait
from flashsale_notifier import unpublished, upkeep
from flashsale_notifier.ended_sales import ended_sales
from flashsale_notifier.retries import DeliveryState, Verdict
from flashsale_notifier.rows import Attempt
from flashsale_notifier.settings import NamedEndpoint
from flashsale_notifier.unpublished import Finder
from tests.integration.broker import until
from tests.integration.ledger import open_ledger
from tests.integration.notifying import NEXT_SECRET, SECRET, Notifier, deliveries, open_notifier, open_shop
from tests.integration.order_events import payment, reserved


def paid(*order_ids: str) -> list[Delivery]:
    return deliveries(*(payment(order_id, f"p-{order_id}", "paid", 1_500) for order_id in order_ids))


async def all_sent(notifier: Notifier, endpoint: str, count: int) -> bool:
    return await notifier.states(endpoint) == ["sent"] * count


def end_finder(notifier: Notifier) -> Finder:
    return Finder(notifier.repository, ended_sales(notifier.repository), lambda _: None)


async def test_shop_gets_each_event_once_and_a_redelivered_batch_adds_nothing(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier, open_shop() as shop, notifier.sending():
        await notifier.add("shop", shop.url)
        batch = [*paid("o1", "o2"), *deliveries(reserved("o3"), payment("o1", "p9", "refund_due", 1_600, "duplicate"))]
        for _ in range(2):
            assert await notifier.handle(batch) == []
        await until(lambda: all_sent(notifier, "shop", 3))
        assert sorted(shop.types) == ["order.paid", "order.paid", "refund.due"]
        assert await notifier.attempts("shop") == [(204, "")] * 3


async def test_event_that_cannot_be_written_is_parked_alone(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        far = msgspec.structs.replace(payment("o2", "p2", "paid", 1), at=2**52)
        batch = [*paid("o1"), Delivery(b"no message", "2-0", redelivered=False), *deliveries(far), *paid("o3")]
        assert [(poison.index, poison.reason) for poison in await notifier.handle(batch)] == [(1, "undecodable"), (2, "rejected")]
        assert await notifier.connection.fetchval("select count(*) from shop_events") == 2


async def test_late_entry_of_a_closed_incarnation_makes_no_event(infra: Mapping[str, str]) -> None:
    def entry(order_id: str, seq: int, incarnation: int = 1) -> Message:
        message = payment(order_id, f"p-{order_id}", "paid", 1_500)
        return msgspec.structs.replace(message, seq=Position(0, incarnation, seq))

    async with open_ledger(infra["DATABASE_URL"]) as ledger, open_notifier(infra["DATABASE_URL"]) as notifier:
        await ledger.connection.execute(
            "insert into shards (shard, incarnation, first_seq, state, kept_seq) values (0, 1, 1, 'fenced', 2), (0, 2, 10, 'open', null)"
        )
        await ledger.connection.execute("insert into received_entries values (0, 1, 4, 4)")
        # The ledger has the fourth entry, so it was not lost; the third one was.
        batch = deliveries(entry("kept", 2), entry("late", 3), entry("known", 4), entry("next", 10, 2), payment("old", "p", "paid", 1))
        assert [(poison.index, poison.reason) for poison in await notifier.handle(batch)] == [(1, "late")]
        bodies = [row[0] for row in await notifier.connection.fetch("select body from shop_events")]
        assert sorted(json.loads(body)["data"]["orderId"].rpartition(".")[2] for body in bodies) == ["kept", "known", "next", "old"]


async def test_attempt_is_noted_once_if_its_commit_is_repeated(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        await notifier.add("shop", "https://shop.example/hooks")
        await notifier.handle(paid("o1"))
        for number in (1, 2):
            (taken,) = await notifier.repository.take("shop", 8, 0)
            attempt = Attempt(taken, "shop", 500, 5, f"answer {number}", Verdict(DeliveryState.DUE))
            for _ in range(2):
                await notifier.repository.record([attempt])
        assert await notifier.attempts("shop") == [(500, "answer 1"), (500, "answer 2")]


async def test_refusals_are_tried_again_until_they_succeed(infra: Mapping[str, str]) -> None:
    answers = [
        web.Response(status=500, text="broken\0" + "x" * 5000),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    ]

    async def reply(_: web.Request) -> web.Response:
        return answers.pop(0) if answers else web.Response(text="thanks")

    async with open_notifier(infra["DATABASE_URL"]) as notifier, open_shop() as shop, notifier.sending():
        shop.reply = reply
        await notifier.add("shop", shop.url)
        await notifier.handle(paid("o1"))
        await until(lambda: all_sent(notifier, "shop", 1))
        attempts = await notifier.attempts("shop")
        assert [status for status, _ in attempts] == [500, 302, 200]
        assert (attempts[0][1][:8], len(attempts[0][1]), attempts[2][1]) == ("broken\ufffdx", 2048, "thanks")
        assert len({key for key, _ in shop.received}) == 1


async def test_delivery_is_given_up_after_its_last_attempt(infra: Mapping[str, str]) -> None:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async with open_notifier(infra["DATABASE_URL"], retries_seconds=(0.01, 0.01)) as notifier, open_shop() as shop, notifier.sending():
        shop.reply = reply
        await notifier.add("shop", shop.url)
        await notifier.handle(paid("o1"))

        async def given_up() -> bool:
            return await notifier.states("shop") == ["failed"]

        await until(given_up)
        assert len(shop.received) == 3


async def test_gone_endpoint_is_disabled_at_once(infra: Mapping[str, str]) -> None:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(status=410)

    async with open_notifier(infra["DATABASE_URL"]) as notifier, open_shop() as shop, notifier.sending():
        shop.reply = reply
        await notifier.add("shop", shop.url)
        await notifier.handle(paid("o1"))

        async def disabled() -> bool:
            return await notifier.connection.fetchval("select reason from webhook_endpoints where state = 'disabled'") is not None

        await until(disabled)
        await notifier.handle(paid("o2"))
        assert await notifier.states("shop") == ["failed"]


async def test_endpoint_that_only_fails_is_disabled_after_its_time(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"], disable_after_seconds=0.2) as notifier, notifier.sending():
        await notifier.add("shop", "http://127.0.0.1:9/hooks")
        await notifier.handle(paid("o1", "o2"))

        async def disabled() -> bool:
            return (await notifier.connection.fetchval("select reason from webhook_endpoints where state = 'disabled'") or "").startswith(
                "every attempt failed"
            )

        await until(disabled)


async def test_failures_with_an_idle_time_between_them_disable_no_endpoint(infra: Mapping[str, str]) -> None:
    after = 5 * 86_400.0
    async with open_notifier(infra["DATABASE_URL"], retries_seconds=(), disable_after_seconds=after) as notifier, notifier.sending():

        async def fails() -> bool:
            return (
                await notifier.connection.fetchval("select state = 'enabled' and failing_since is not null from webhook_endpoints") is True
            )

        async def works() -> bool:
            return not await fails()

        await notifier.add("shop", "http://127.0.0.1:9/hooks")
        await notifier.handle(paid("o1"))
        await until(fails)
        await notifier.connection.execute("update webhook_endpoints set failing_since = now() - interval '6 days'")
        await notifier.connection.execute("update webhook_attempts set at = now() - interval '6 days'")
        pruning = asyncio.create_task(upkeep.prune(notifier.repository, 30 * 86_400, 1000, after))
        await until(works)
        await cancel_and_wait(pruning)
        await notifier.handle(paid("o2"))
        await until(fails)


async def test_endpoint_goes_on_failing_while_something_is_due_or_tried(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        await notifier.add("shop", "https://shop.example/hooks")
        await notifier.handle(paid("o1"))
        await notifier.connection.execute("update webhook_endpoints set failing_since = now() - interval '6 days'")
        await notifier.connection.execute(
            "insert into webhook_attempts (endpoint, event_id, duration_ms, answer, at)"
            " values ('shop', 'e', 1, '', now() - interval '1 day')"
        )

        async def fails_after(idle_seconds: float) -> bool:
            await notifier.repository.end_past_failures(idle_seconds)
            return bool(await notifier.connection.fetchval("select failing_since is not null from webhook_endpoints"))

        assert await fails_after(3600)
        await notifier.connection.execute("update webhook_deliveries set state = 'failed'")
        assert [await fails_after(2 * 86_400), await fails_after(3600)] == [True, False]


async def test_dead_endpoint_slows_no_other_and_no_endpoint_gets_more_than_eight_at_once(infra: Mapping[str, str]) -> None:
    hanging = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await hanging.wait()
        return web.Response()

    async with open_notifier(infra["DATABASE_URL"], timeout_seconds=30) as notifier, open_shop() as dead, open_shop() as shop:
        dead.reply = hang
        await notifier.add("dead", dead.url)
        await notifier.add("shop", shop.url)
        async with notifier.sending():
            await notifier.handle(paid(*(f"o{number}" for number in range(100))))
            await until(lambda: all_sent(notifier, "shop", 100))
            assert (dead.running, dead.running_max) == (8, 8)
            assert set(await notifier.states("dead")) == {"due"}
            hanging.set()
            await until(lambda: all_sent(notifier, "dead", 100))
        assert (dead.running_max, len(dead.received)) == (8, 100)


async def test_killed_notifier_repeats_what_it_had_begun_with_the_same_id(infra: Mapping[str, str]) -> None:
    hanging = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await hanging.wait()
        return web.Response()

    async with open_notifier(infra["DATABASE_URL"], timeout_seconds=30) as notifier, open_shop() as shop:
        shop.reply = hang
        await notifier.add("shop", shop.url)
        async with notifier.sending():
            await notifier.handle(paid("o1"))
            await until(lambda: len(shop.received) == 1)
        # Its lease holds: nobody else sends it meanwhile.
        assert await notifier.repository.take("shop", 8, 30) == []
        await notifier.connection.execute("update webhook_deliveries set due_at = now()")
        hanging.set()
        async with notifier.sending():
            await until(lambda: all_sent(notifier, "shop", 1))
        assert len(shop.received) == 2
        assert len(set(shop.received)) == 1


async def test_endpoints_of_the_settings_are_kept_as_they_say(infra: Mapping[str, str]) -> None:
    async with open_shop() as shop:
        named = NamedEndpoint("shop", shop.url, ("order.paid",), (NEXT_SECRET, SECRET))
        async with open_notifier(infra["DATABASE_URL"], (named,)) as notifier:
            await notifier.repository.write_settings_endpoints()
            (endpoint,) = await notifier.repository.endpoints()
            assert endpoint.secrets == (NEXT_SECRET, SECRET)
            async with notifier.sending():
                await notifier.handle([*paid("o1"), *deliveries(payment("o1", "p9", "refund_due", 1_600, "duplicate"))])
                await until(lambda: all_sent(notifier, "shop", 1))
            # The shop knows only the secret before the rotation.
            assert (shop.secret, shop.types) == (SECRET, ["order.paid"])
            notifier.repository._named.clear()
            await notifier.repository.write_settings_endpoints()
            assert await notifier.connection.fetchval("select reason from webhook_endpoints") == "removed from the settings"


async def test_sale_whose_time_is_over_ends_once(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        now = datetime.now(UTC)
        for sale, ends in (("past", now - timedelta(minutes=1)), ("future", now + timedelta(minutes=1))):
            await notifier.connection.execute(
                "insert into sales (sale_id, epoch, owner, generation, state, total, ends_at, max_per_user, hold_seconds, rate_requests,"
                " rate_seconds, late_payment, defined_at) values ($1, 7, '', 1, 'open', 5, $2, 0, 5, 0, 1, 'refund', now())",
                sale, ends,
            )  # fmt: skip
        looking = end_finder(notifier)
        for _ in range(2):
            await looking.look(now)
        assert [row["sale_id"] for row in await notifier.connection.fetch("select sale_id from shop_events")] == ["past"]


async def test_many_ends_are_read_in_pages_and_a_look_is_bounded(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpublished, "PAGE", 2)
    monkeypatch.setattr(unpublished, "PAGES_MAX", 2)
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        now = datetime.now(UTC)
        # All of one moment: the name decides where a page ends.
        await notifier.connection.execute(
            "insert into sales (sale_id, epoch, owner, generation, state, total, ends_at, max_per_user, hold_seconds, rate_requests,"
            " rate_seconds, late_payment, defined_at) select 's' || n, 7, '', 1, 'open', 5, $1, 0, 5, 0, 1, 'refund', now()"
            " from generate_series(1, 5) n",
            now - timedelta(minutes=1),
        )
        looking, counts = end_finder(notifier), []
        for _ in range(3):
            await looking.look(now)
            counts.append(await notifier.connection.fetchval("select count(*) from shop_events"))
        assert counts == [4, 5, 5]


async def test_notifier_that_was_away_for_days_misses_no_end_and_a_new_one_reports_no_old_ends(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        now = datetime.now(UTC)
        await notifier.connection.execute(
            "insert into sales (sale_id, epoch, owner, generation, state, total, ends_at, max_per_user, hold_seconds, rate_requests,"
            " rate_seconds, late_payment, defined_at) values ('past', 7, '', 1, 'open', 5, $1, 0, 5, 0, 1, 'refund', now())",
            now - timedelta(days=3),
        )
        await end_finder(notifier).look(now)
        assert await notifier.connection.fetchval("select count(*) from shop_events") == 0
        await notifier.handle(paid("o1"))
        await notifier.connection.execute("update shop_events set created_at = $1", now - timedelta(days=4))
        await end_finder(notifier).look(now)
        assert await notifier.connection.fetchval("select sale_id from shop_events where type = 'sale.ended'") == "past"


async def test_only_the_newest_attempts_are_kept(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        await notifier.connection.execute(
            "insert into webhook_attempts (endpoint, event_id, duration_ms, answer)"
            " select 'shop', 'e', 1, n::text from generate_series(1, 9) n"
        )
        deleted = [await notifier.repository.prune_excess_attempts(4, 3) for _ in range(3)]
        assert (deleted, [text for _, text in await notifier.attempts("shop")]) == ([3, 2, 0], ["6", "7", "8", "9"])


async def test_old_events_and_attempts_are_deleted_with_their_deliveries(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier, open_shop() as shop, notifier.sending():
        await notifier.add("shop", shop.url)
        await notifier.handle(paid("o1"))
        await until(lambda: all_sent(notifier, "shop", 1))
        await notifier.repository.prune(3600, 10)
        assert await notifier.states("shop") == ["sent"]
        await notifier.connection.execute("update shop_events set created_at = now() - interval '2 hours'")
        # The last of the old events stays, for readers of the feed.
        await notifier.connection.execute(
            "insert into shop_events (event_id, type, sale_id, at, body, created_at)"
            " values ('evt_last', 'order.paid', 'shoe', now(), '{}', now() - interval '2 hours')"
        )
        await notifier.connection.execute("update webhook_attempts set at = now() - interval '2 hours'")
        await notifier.repository.prune(3600, 10)
        assert (await notifier.states("shop"), await notifier.attempts("shop")) == ([], [])
