"""A stack for these tests alone: what other tests leave behind would show in the metrics."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="flashsale-watched-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "home")
        stack.up(gateway_port=0)
        try:
            yield stack
        finally:
            stack.down()


@pytest.fixture(scope="session")
def client(stack: Stack) -> Client:
    return Client(stack.env())
