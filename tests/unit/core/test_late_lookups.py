"""A lookup that fails after its connection was given up is no error; everything else is reported as before."""

import asyncio
import gc
import logging
import socket
from contextlib import suppress

import pytest
import uvloop

from flashsale_core.late_lookups import ignore_late_lookups

LOOKUP_SECONDS_MAX = 30.0


def reported(records: list[logging.LogRecord]) -> list[str]:
    return [record.getMessage().partition("\n")[0] for record in records if record.levelno >= logging.ERROR]


def test_lookup_that_outlasts_its_connection_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def give_up() -> None:
        ignore_late_lookups(asyncio.get_running_loop())
        # The resolver refuses the name of a service, and asks no server for it.
        task = asyncio.create_task(asyncio.open_connection("localhost", "no-such-service"))
        for _ in range(2):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await task
        async with asyncio.timeout(LOOKUP_SECONDS_MAX):
            while "lookup.late" not in caplog.messages:
                await asyncio.sleep(0.05)
                gc.collect()

    uvloop.run(give_up())
    assert reported(caplog.records) == []


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), ValueError("wrong")])
async def test_task_that_nobody_waits_for_is_still_reported(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise error

    ignore_late_lookups(asyncio.get_running_loop())
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    gc.collect()
    assert reported(caplog.records) == ["Task exception was never retrieved"]
