"""Tasks that live as long as their service. One that ends by itself is logged, counted and restarted.

A client library may end a task with CancelledError, which no `except Exception` catches: aiormq does so to every task that waits for a
connection it gives up. Only `finish`, `end` and a cancellation of the supervising task end a task for good.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter

from prometheus_client import Counter

from flashsale_core import tasks
from flashsale_core.backoff import Backoff

PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Between an end and the next start, by ends in a row."""
SOUND_SECONDS = 30.0
"""The end of a task that ran longer than this begins a new row."""
RESTARTS = Counter(
    "flashsale_task_restarts_total", "Long-lived tasks that ended without being stopped, each followed by a restart", ["task"]
)
Run = Callable[[], Awaitable[None]]
log = logging.getLogger(__name__)


class Supervised:
    """One supervised task. It starts at once."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.fault: str | None = None
        """Why it is down, in words; None while it runs."""
        self._run = run
        self._end_requested = asyncio.Event()
        RESTARTS.labels(name)
        self._task = asyncio.create_task(self._supervise(), name=name)

    async def finish(self, timeout_seconds: float) -> None:
        """Wait until it returns, which the caller has told it to do before; after `timeout_seconds` it is cancelled."""
        self._end_requested.set()
        await asyncio.wait([self._task], timeout=timeout_seconds)
        await tasks.cancel_and_wait(self._task)

    async def end(self) -> None:
        """Cancel it, and wait until it is done."""
        self._end_requested.set()
        await tasks.cancel_and_wait(self._task)

    async def _supervise(self) -> None:
        backoff = Backoff(PAUSES_SECONDS, SOUND_SECONDS)
        while True:
            started = perf_counter()
            error = await self._run_once()
            if self._end_requested.is_set():
                return
            await self._pause(error, backoff.pause_seconds(perf_counter() - started))
            if self._end_requested.is_set():
                return

    async def _run_once(self) -> BaseException | None:
        try:
            await self._run()
        except asyncio.CancelledError as error:
            if tasks.cancelled_here():
                raise
            return error
        except Exception as error:
            return error
        return None

    async def _pause(self, error: BaseException | None, seconds: float) -> None:
        reason = "it returned" if error is None else f"{type(error).__name__}: {error}".removesuffix(": ")
        self.fault = f"{self.name} ended and is being restarted: {reason}"
        RESTARTS.labels(self.name).inc()
        log.error("task.ended", extra={"task": self.name, "reason": reason, "pause_seconds": seconds}, exc_info=error)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end_requested.wait()
        self.fault = None


class Supervisor:
    """The long-lived tasks of a service."""

    def __init__(self) -> None:
        self._supervised: list[Supervised] = []

    def start(self, name: str, run: Run) -> Supervised:
        """`run` must last until it is cancelled, or until the caller tells it to return and calls `finish`. `name` is a metric's label."""
        supervised = Supervised(name, run)
        self._supervised.append(supervised)
        return supervised

    @property
    def fault(self) -> str | None:
        """Why one of them is down, in words for readiness; None while all run."""
        return next((task.fault for task in self._supervised if task.fault is not None), None)

    async def end(self) -> None:
        """Cancel all of them."""
        await asyncio.gather(*[task.end() for task in self._supervised])
