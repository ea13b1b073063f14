"""The stack for integration tests: Redis, RabbitMQ, Postgres and the services, started once per session in a temporary folder.

With FLASHSALE_TEST_REDIS_MASTERS=3 Redis is a cluster of three masters for the whole suite.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.wire import Wire, wire_to

REDIS_MASTERS = int(os.environ.get("FLASHSALE_TEST_REDIS_MASTERS", "1"))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="flashsale-test-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "home")
        stack.up(gateway_port=0, redis_masters=REDIS_MASTERS)
        try:
            yield stack
        finally:
            stack.down()


@pytest.fixture(scope="session")
def infra_stack() -> Iterator[Stack]:
    """Redis, RabbitMQ and Postgres without services, for tests that run a service's code themselves."""
    with tempfile.TemporaryDirectory(prefix="flashsale-infra-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "home")
        stack.up(services=False, redis_masters=REDIS_MASTERS)
        try:
            yield stack
        finally:
            stack.down()


@pytest.fixture(scope="session")
def infra(infra_stack: Stack) -> Mapping[str, str]:
    return infra_stack.env()


@pytest.fixture(scope="session")
def client(stack: Stack) -> Client:
    return Client(stack.env())


@pytest.fixture
def wire(client: Client) -> Iterator[Wire]:
    """A connection to the gateway, without a client library."""
    with wire_to(client) as wire:
        yield wire
