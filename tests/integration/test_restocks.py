"""The keeper puts the units of returned orders on sale that the gateway could not, and only those whose return the ledger has."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from flashsale_core.settings import Environment
from flashsale_keeper import restocks
from flashsale_keeper.restocks import Restocks
from flashsale_keeper.settings import read_settings
from flashsale_redis import open_redis
from tests.fences import empty_redis, open_now
from tests.integration.ledger import open_ledger
from tests.integration.stores import redis_client
from tests.integration.test_rebuild import NOW_MS, Shop
from tests.lua.servers import SCRIPTS, Sale

NOW, LATER = datetime.fromtimestamp(NOW_MS / 1000, UTC), timedelta(minutes=1)
"""When everything happened, and a look of the keeper."""


@pytest.fixture
async def shop(infra: Mapping[str, str]) -> AsyncIterator[Shop]:
    with redis_client(infra["REDIS_URL"]) as client:
        async with open_redis(infra["REDIS_URL"], 10, 8) as redis, open_ledger(infra["DATABASE_URL"]) as ledger:
            await empty_redis(redis)
            yield Shop(infra, client, redis, ledger)
            await empty_redis(redis)


@pytest.fixture
async def keeper(shop: Shop) -> AsyncIterator[Restocks]:
    keeper = Restocks(shop.redis, SCRIPTS, read_settings(Environment(shop.infra)), is_active=lambda: True)
    yield keeper
    keeper.close()
    # One turn, in which the loop closes the connection.
    await asyncio.sleep(0)


def returned(sale: Sale, *orders: tuple[str, bool]) -> None:
    """Orders of two units each, which were paid and returned; none was restocked by a gateway."""
    sale.define(total=20)
    sale.reserve(*((order, f"u-{order}", 2) for order, _ in orders))
    sale.settle(*((order, f"p-{order}") for order, _ in orders))
    sale.take_back(*orders)


def letters(sale: Sale) -> dict[str, str]:
    return {name: record.return_letter for name, record in sale.records().items()}


async def test_units_that_wait_are_for_sale_once_the_ledger_has_the_return(shop: Shop, keeper: Restocks) -> None:
    returned(shop.sale, ("o1", True), ("o2", False), ("o3", True))
    # Nothing says yet that the broker has the return.
    assert (await keeper.look(NOW + LATER), letters(shop.sale)) == (0, {"o1": "W", "o2": "K", "o3": "W"})
    await shop.publish()
    assert await keeper.look(NOW + timedelta(seconds=5)) == 0, "the gateway has its time"
    assert [await keeper.look(NOW + LATER) for _ in range(2)] == [4, 0]
    assert letters(shop.sale) == {"o1": "T", "o2": "K", "o3": "T"}
    assert shop.sale.stock() == (20, 18, 0, 2)


async def test_restock_that_an_older_redis_lost_is_repeated(shop: Shop, keeper: Restocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restocks, "PAGE", 2)
    monkeypatch.setattr(restocks, "PAGES_MAX", 2)
    sales = [shop.named(name) for name in ("a", "b", "c", "d", "e")]
    for sale in sales:
        returned(sale, ("o1", True))
    await shop.publish()
    older = {key: shop.client.dump(key) for key in (sales[-1].keys.sale, sales[-1].keys.orders)}
    # A look is bounded, and the next one goes on behind it.
    assert [await keeper.look(NOW + LATER) for _ in range(3)] == [8, 2, 0]
    for key, value in older.items():
        shop.client.restore(key, 0, value, replace=True)
    assert letters(sales[-1]) == {"o1": "W"}
    assert [await keeper.look(NOW + LATER) for _ in range(2)] == [0, 2]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_first_look_at_a_closed_redis_is_repeated(shop: Shop, keeper: Restocks, is_lost: bool) -> None:
    # Too old for any look but the first.
    now = NOW + restocks.BACK + timedelta(hours=1)
    returned(shop.sale, ("o1", True))
    await shop.publish()
    kept = {key: shop.client.dump(key) for key in (shop.sale.keys.sale, shop.sale.keys.orders)}
    shop.fence()
    if is_lost:
        shop.client.delete(*kept)
    assert await keeper.look(now) == 0
    for key, value in kept.items():
        shop.client.restore(key, 0, value, replace=True)
    open_now(shop.client)
    assert [await keeper.look(now + LATER) for _ in range(2)] == [2, 0]
    # Later looks are short again.
    for key, value in kept.items():
        shop.client.restore(key, 0, value, replace=True)
    assert await keeper.look(now + LATER) == 0


async def test_later_sale_of_the_name_is_left_alone(shop: Shop, keeper: Restocks) -> None:
    returned(shop.sale, ("o1", True))
    await shop.publish()
    shop.client.hincrby(shop.sale.keys.sale, "epoch", 1)
    assert (await keeper.look(NOW + LATER), letters(shop.sale)) == (0, {"o1": "W"})
