"""`flashsale webhook` on a real ledger, with a notifier that runs in this process."""

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from typer.testing import CliRunner

from flashsale_cli.main import app
from flashsale_core.shop_events import ENDPOINTS_MAX
from flashsale_notifier.senders import LOOK_SECONDS
from tests.integration.broker import until
from tests.integration.notifying import open_notifier, open_shop
from tests.integration.test_notifier import all_sent, paid


async def command(infra: Mapping[str, str], *words: str, status: int = 0) -> Any:
    """The JSON document that `flashsale webhook` prints."""

    def run() -> Any:
        done = CliRunner().invoke(app, ["webhook", *words], env={**os.environ, "DATABASE_URL": infra["DATABASE_URL"]})
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if "--json" in words and done.stdout else done.output

    return await asyncio.to_thread(run)


async def test_endpoint_is_added_tested_rotated_and_replayed(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier, open_shop() as shop, notifier.sending():
        shop.secret = (await command(infra, "add", "shop", shop.url, "--type", "order.paid", "--json"))["secret"]
        assert "choose another name" in await command(infra, "add", "shop", shop.url, status=3)
        assert await command(infra, "test", "shop", "--json") == {"delivered": True, "status": 204, "answer": ""}
        rotated = (await command(infra, "rotate", "shop", "--json"))["secret"]
        assert rotated != shop.secret
        await notifier.handle(paid("o1"))
        await until(lambda: all_sent(notifier, "shop", 2))
        # The shop knew only the previous secret; from now on it knows only the new one.
        shop.secret = rotated
        assert await command(infra, "replay", "shop", "--since", "2020-01-01T00:00:00Z", "--json") == {"replayed": 1}
        await until(lambda: shop.types == ["webhook.test", "order.paid", "order.paid"])
        assert len({key for key, _ in shop.received}) == 2


async def test_secret_before_two_rotations_signs_until_the_overlap_ends(infra: Mapping[str, str]) -> None:
    """Whoever lost the new secret makes another one, and the shop knew neither of the two that signed."""
    async with open_notifier(infra["DATABASE_URL"]) as notifier, open_shop() as shop, notifier.sending():
        first = (await command(infra, "add", "shop", shop.url, "--json"))["secret"]
        later = [(await command(infra, "rotate", "shop", "--json"))["secret"] for _ in range(2)]
        await asyncio.sleep(2 * LOOK_SECONDS)
        for secret in (first, *later):
            shop.secret = secret
            assert await command(infra, "test", "shop", "--json") == {"delivered": True, "status": 204, "answer": ""}
        shop.secret = later[0]
        await command(infra, "rotate", "shop", "--overlap-hours", "0", "--json")
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert (await command(infra, "test", "shop", "--json", status=1))["delivered"] is False


async def test_list_shows_the_last_answer_and_a_disabled_endpoint_gets_nothing(infra: Mapping[str, str]) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=401, text="who are you")

    async with open_notifier(infra["DATABASE_URL"], retries_seconds=(3600,)) as notifier, open_shop() as shop, notifier.sending():
        shop.reply = refuse
        shop.secret = (await command(infra, "add", "shop", shop.url, "--json"))["secret"]
        assert await command(infra, "test", "shop", "--json", status=1) == {"delivered": False, "status": 401, "answer": "who are you"}
        await command(infra, "disable", "shop")
        await notifier.handle(paid("o1"))
        (endpoint,) = (await command(infra, "list", "--json"))["endpoints"]
        seen = (endpoint["state"], endpoint["due"], endpoint["lastStatus"], endpoint["lastAnswer"])
        assert seen == ("disabled", 1, 401, "who are you")
        await command(infra, "enable", "shop")
        assert "there is no endpoint 'other'" in await command(infra, "disable", "other", status=3)
        assert "zone" in await command(infra, "replay", "shop", "--since", "2026-05-01T12:00:00", status=2)


async def test_endpoint_beyond_the_limit_is_refused(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        for number in range(ENDPOINTS_MAX):
            await notifier.add(f"shop-{number}", "http://127.0.0.1:9/hooks")
        assert "disable or remove one" in await command(infra, "add", "one-more", "https://shop.example/hooks", status=3)
        # An endpoint that is enabled already takes no further place.
        await command(infra, "enable", "shop-0")
        await command(infra, "disable", "shop-0")
        await command(infra, "add", "one-more", "https://shop.example/hooks", "--json")
        assert "disable or remove one" in await command(infra, "enable", "shop-0", status=3)


async def test_removed_endpoint_leaves_no_delivery_and_its_events_stay(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        await notifier.add("shop", "http://127.0.0.1:9/hooks")
        await notifier.handle(paid("o1", "o2"))
        # Nobody answers the question, so nothing is removed.
        assert "2 deliveries to shop are due" in await command(infra, "remove", "shop", status=1)
        assert await notifier.states("shop") == ["due", "due"]
        await command(infra, "remove", "shop", "--yes")
        assert (await command(infra, "list", "--json"))["endpoints"] == []
        assert (await notifier.states("shop"), await notifier.connection.fetchval("select count(*) from shop_events")) == ([], 2)
        assert "there is no endpoint" in await command(infra, "remove", "shop", "--yes", status=3)


async def test_endpoint_of_the_settings_is_not_removed(infra: Mapping[str, str]) -> None:
    async with open_notifier(infra["DATABASE_URL"]) as notifier:
        await notifier.add("shop", "http://127.0.0.1:9/hooks")
        await notifier.connection.execute("update webhook_endpoints set source = 'settings', secret = null")
        assert "remove it there first" in await command(infra, "remove", "shop", "--yes", status=3)
        await notifier.repository.write_settings_endpoints()
        await command(infra, "remove", "shop", "--yes")
