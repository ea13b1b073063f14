"""The scripts run on every server this machine has: Redis and Valkey."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lua.servers import Sale, empty, found_servers, running


@pytest.fixture(scope="session", params=found_servers(), ids=lambda path: Path(path).name)
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with running(request.param) as client:
        yield client


@pytest.fixture
def sale(server: Any) -> Sale:
    empty(server)
    return Sale(server)
