"""Async tests run in anyio's plugin (`anyio_mode` in pyproject.toml), each on a new loop of asyncio."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
