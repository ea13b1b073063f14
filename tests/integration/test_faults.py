"""When a real server refuses a login, the service's error names the variable to check."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flashsale_consumer import Consumer, ConsumerSettings
from flashsale_core import topology
from flashsale_core.errors import Retryable
from flashsale_core.scripts import read_scripts
from flashsale_core.tasks import cancel_and_wait
from flashsale_operator.sale_store import SaleStore
from flashsale_order_worker.repository import Repository
from flashsale_redis import open_redis
from flashsale_timeout_worker.expiry import Expiry


def changed(url: str, login: str = "", path: str = "") -> str:
    parts = urlsplit(url)
    credentials, at, address = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}@{address}" if login else credentials + at + address, path=path or parts.path).geturl()


@pytest.mark.parametrize(
    ("login", "path", "advice"),
    [
        ("nobody:wrong", "", "the user or the password is wrong: look at AMQP_URL and the Secret it comes from"),
        ("", "/no-such-vhost", "there is no such vhost, or its user may not enter: look at AMQP_URL"),
    ],
)
async def test_consumer_names_the_variable_to_check(infra: Mapping[str, str], login: str, path: str, advice: str) -> None:
    async def handle(_: object) -> list[object]:
        return []

    url = changed(infra["AMQP_URL"], login, path)
    consumer = Consumer(ConsumerSettings(url, topology.ORDERS_QUEUE, 1, 1, 1, 10), handle)  # type: ignore[arg-type]
    consuming = asyncio.create_task(consumer.run())
    async with asyncio.timeout(20):
        while consumer.fault is None or not consumer.fault.startswith("RabbitMQ: "):  # noqa: ASYNC110 - the fault changes in another task
            await asyncio.sleep(0.02)
    await cancel_and_wait(consuming)
    assert advice in str(consumer.fault)


@pytest.mark.parametrize(
    ("login", "path", "advice"),
    [
        ("nobody:wrong", "", "the user or the password is wrong: look at DATABASE_URL and the Secret it comes from"),
        ("", "/no_such_database", "there is no such database, or its user may not enter: look at DATABASE_URL"),
    ],
)
async def test_ledger_names_the_variable_to_check(infra: Mapping[str, str], login: str, path: str, advice: str) -> None:
    repository = Repository(changed(infra["DATABASE_URL"], login, path), 5, 1)
    try:
        with pytest.raises(Retryable, match=advice):
            await repository.check_schema()
    finally:
        await repository.close()


@pytest.mark.parametrize("service", ["operator", "timeout-worker"])
async def test_redis_client_names_the_variable_to_check(infra: Mapping[str, str], service: str) -> None:
    scripts = read_scripts(Path(infra["FLASHSALE_LUA_DIR"]))
    async with open_redis(changed(infra["REDIS_URL"], "nobody:wrong"), 5, 4) as redis:
        store = SaleStore(redis, scripts, 16, 5) if service == "operator" else Expiry(redis, scripts, 16, 5, 1)
        with pytest.raises(Retryable, match="the user or the password is wrong: look at REDIS_URL and the Secret it comes from"):
            await store.ping()
