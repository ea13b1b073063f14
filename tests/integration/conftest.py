"""What the integration tests share besides the session's stack: servers without services, and a connection to the gateway."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flashsale_local_stack import Stack, private_stack
from flashsale_redis import open_redis
from tests.conftest import REDIS_MASTERS
from tests.fences import empty_redis
from tests.integration.broker import open_broker
from tests.integration.client import Client
from tests.integration.gateways import gateway_on
from tests.integration.ledger import open_ledger
from tests.integration.wire import Wire, wire_to


@pytest.fixture(scope="session")
def infra_stack() -> Iterator[Stack]:
    """Redis, RabbitMQ and Postgres without services, for tests that run a service's code themselves."""
    with private_stack(services=False, redis_masters=REDIS_MASTERS) as stack:
        yield stack


@pytest.fixture(scope="module")
def infra(infra_stack: Stack) -> Mapping[str, str]:
    """Its environment. Each file begins without what others left, because any file may have run before it."""
    asyncio.run(_forget(infra_stack.env()))
    return infra_stack.env()


async def _forget(env: Mapping[str, str]) -> None:
    async with open_redis(env["REDIS_URL"], 5, 4) as redis:
        await empty_redis(redis)
    async with open_ledger(env["DATABASE_URL"]), open_broker(env["AMQP_URL"]):
        pass


@pytest.fixture
def impatient(stack: Stack, tmp_path: Path) -> Iterator[Client]:
    """A further gateway of the session's stack, which waits for a confirm only briefly."""
    env = stack.env() | {"FLASHSALE_CONFIRM_TIMEOUT_SECONDS": "0.5"}
    with gateway_on(env, tmp_path / "impatient.log") as gateway:
        yield Client(env | {"FLASHSALE_URL": gateway.url})


@pytest.fixture(scope="session")
def lossy_stack() -> Iterator[Stack]:
    """A whole stack for tests that take entries from its outboxes: its ledger lacks them for ever, and its audit says so."""
    with private_stack(redis_masters=REDIS_MASTERS) as stack:
        yield stack


@pytest.fixture
def lossy_client(lossy_stack: Stack) -> Client:
    return Client(lossy_stack.env())


@pytest.fixture
def wire(client: Client) -> Iterator[Wire]:
    """A connection to the gateway, without a client library."""
    with wire_to(client) as wire:
        yield wire
