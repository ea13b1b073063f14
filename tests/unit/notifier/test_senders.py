"""The tasks of senders: what becomes of one that fails."""

import asyncio
from typing import Any, cast

import pytest

from flashsale_notifier.rows import Endpoint
from flashsale_notifier.senders import Senders
from tests.waiting import until

ENDPOINT = Endpoint("shop", "http://127.0.0.1:1/", ())


class OneEndpoint:
    async def endpoints(self) -> list[Any]:
        return [ENDPOINT]


class FailsAtTheEnd:
    """A sender that waits for its end, and then fails."""

    def __init__(self) -> None:
        self.endpoint = ENDPOINT
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        await self._stopped.wait()
        raise ZeroDivisionError("unforeseen")


async def test_failure_of_a_sender_that_ends_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    senders = Senders(cast("Any", OneEndpoint()), lambda _: cast("Any", FailsAtTheEnd()))
    running = asyncio.create_task(senders.run())
    await until(lambda: senders.fault is None, 5)
    senders.stop()
    await running
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["sender.failed"]
