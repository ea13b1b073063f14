"""The recorder releases every sender that waits for it, whatever Postgres says of the results of others."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.tasks import cancel_and_wait
from flashsale_notifier.recorder import Recorder
from flashsale_notifier.repository import Repository
from flashsale_notifier.retries import DeliveryState, Verdict
from flashsale_notifier.rows import Attempt, Taken

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
WAIT_SECONDS = 60.0


class OneRefused(Repository):
    """Refuses every transaction that has a result of the endpoint `bad`, as Postgres refuses a text that is not UTF-8."""

    def __init__(self) -> None:
        self.written: list[str] = []

    async def record(self, attempts: Sequence[Attempt]) -> None:
        if any(attempt.endpoint == "bad" for attempt in attempts):
            raise Rejected("invalid input")
        self.written += [attempt.endpoint for attempt in attempts]

    async def note_success(self, endpoints: Iterable[str]) -> None:
        pass


class FaultyOnce(OneRefused):
    async def record(self, attempts: Sequence[Attempt]) -> None:
        if not self.written:
            self.written.append("fault")
            raise RuntimeError("a fault of a library")
        await super().record(attempts)


class AwayAfterResults(OneRefused):
    """Postgres leaves after it has the results, and is back at the next try."""

    def __init__(self) -> None:
        super().__init__()
        self.health: list[bool] = []

    async def note_success(self, endpoints: Iterable[str]) -> None:
        self.health.append(bool(self.health))
        if len(self.health) == 1:
            raise Retryable("away", 0.0)


def attempt(endpoint: str) -> Attempt:
    return Attempt(Taken(f"evt_{endpoint}", 1, "{}", NOW), endpoint, 200, 5, "", Verdict(DeliveryState.SENT))


async def test_refused_result_holds_up_no_other_endpoint() -> None:
    repository = OneRefused()
    recorder = Recorder(repository, 60.0)
    waiting = [asyncio.create_task(recorder.record(attempt(name))) for name in ("a", "bad", "b", "c")]
    running = asyncio.create_task(recorder.run())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(*waiting)
        assert (sorted(repository.written), running.done()) == (["a", "b", "c"], False)
    finally:
        await cancel_and_wait(running, *waiting)


async def test_results_of_a_run_that_ended_are_written_by_the_next_one() -> None:
    repository = FaultyOnce()
    recorder = Recorder(repository, 60.0)
    waiting = asyncio.create_task(recorder.record(attempt("shop")))
    with pytest.raises(RuntimeError):
        await recorder.run()
    running = asyncio.create_task(recorder.run())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await waiting
        assert repository.written == ["fault", "shop"]
    finally:
        await cancel_and_wait(running, waiting)


async def test_attempt_is_noted_once_if_postgres_leaves_after_it() -> None:
    repository = AwayAfterResults()
    recorder = Recorder(repository, 60.0)
    running = asyncio.create_task(recorder.run())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await recorder.record(attempt("shop"))
        assert (repository.written, repository.health) == (["shop"], [False, True])
    finally:
        await cancel_and_wait(running)
