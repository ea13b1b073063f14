"""One stack for a whole test session: Redis, RabbitMQ, Postgres and the services, in a temporary folder, started at its first use.

With FLASHSALE_TEST_REDIS_MASTERS=3 Redis is a cluster of three masters for the whole suite.
Async tests run in anyio's plugin (`anyio_mode` in pyproject.toml), each on a new loop of asyncio.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client

REDIS_MASTERS = int(os.environ.get("FLASHSALE_TEST_REDIS_MASTERS", "1"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


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
def client(stack: Stack) -> Client:
    return Client(stack.env())
