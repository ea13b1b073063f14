"""One stack for a whole test session: Redis, RabbitMQ, Postgres and the services, in a temporary folder, started at its first use.

`make test` has two processes, and a file of tests runs in one of them; tests/distribution.py says in which. Each starts its own stacks.
Their files are in memory where the machine has room (tests/temporary_files.py).
With FLASHSALE_TEST_REDIS_MASTERS=3 Redis is a cluster of three masters for the whole suite.
Async tests run in anyio's plugin (`anyio_mode` in pyproject.toml), each on a new loop of asyncio.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from flashsale_local_stack import Stack, private_stack, state
from tests.distribution import FromBothEnds, arrange
from tests.integration.client import Client
from tests.temporary_files import keep_in_memory

keep_in_memory()

# An example may take long on a busy machine, and no test is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# A stack keeps the ports of services that do not run, so another process must not choose them meanwhile.
if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")) in ("gw0", "gw1"):
    first, last = state.PORTS
    middle = (first + last) // 2
    state.PORTS = (first, middle) if worker == "gw0" else (middle, last)
REDIS_MASTERS = int(os.environ.get("FLASHSALE_TEST_REDIS_MASTERS", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    arrange(items)


@pytest.hookimpl(optionalhook=True)  # there is no such hook with `-p no:xdist`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return FromBothEnds(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with private_stack(redis_masters=REDIS_MASTERS) as stack:
        yield stack


@pytest.fixture(scope="session")
def console_stack() -> Iterator[Stack]:
    """A stack with the pages, for all files that open the console: it shows only what these files have left."""
    with private_stack(redis_masters=REDIS_MASTERS, optional=["console", "storefront"]) as stack:
        yield stack


@pytest.fixture(scope="session")
def client(stack: Stack) -> Client:
    return Client(stack.env())
