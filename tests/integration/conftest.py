"""What the integration tests share besides the session's stack: servers without services, and a connection to the gateway."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flashsale_local_stack import Stack, private_stack
from tests.conftest import REDIS_MASTERS
from tests.fences import open_fences_of
from tests.integration.client import Client
from tests.integration.gateways import gateway_on
from tests.integration.wire import Wire, wire_to


@pytest.fixture(scope="session")
def infra_stack() -> Iterator[Stack]:
    """Redis, RabbitMQ and Postgres without services, for tests that run a service's code themselves."""
    with private_stack(services=False, redis_masters=REDIS_MASTERS) as stack:
        asyncio.run(open_fences_of(stack.env()))
        yield stack


@pytest.fixture(scope="session")
def infra(infra_stack: Stack) -> Mapping[str, str]:
    return infra_stack.env()


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
