"""A long-lived task is restarted and reported whatever ends it; only its owner can end it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from flashsale_core import supervise, tasks
from flashsale_core.supervise import RESTARTS, Supervisor
from tests.waiting import until


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PAUSES_SECONDS", (0.02,))


async def returns() -> None:
    pass


async def raises() -> None:
    raise ValueError("not foreseen")


async def is_cut_off() -> None:
    """Ends as aiormq ends what waits for a connection that it closes."""
    waited_for = asyncio.get_running_loop().create_future()
    waited_for.set_exception(asyncio.CancelledError())
    await waited_for


def restarts(task: str) -> float:
    samples = [sample for metric in RESTARTS.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return next(sample.value for sample in samples if sample.labels == {"task": task})


@pytest.mark.parametrize(
    ("ends", "reason"), [(returns, "it returned"), (raises, "ValueError: not foreseen"), (is_cut_off, "CancelledError")]
)
async def test_task_that_ends_unasked_is_restarted_and_reported(
    ends: Callable[[], Awaitable[None]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"test-{ends.__name__}"
    with caplog.at_level(logging.ERROR):
        supervisor, starts = Supervisor(), 0

        async def live() -> None:
            nonlocal starts
            starts += 1
            await (ends() if starts == 1 else asyncio.sleep(3600))

        supervisor.start("another", lambda: asyncio.sleep(3600))
        supervisor.start(name, live)
        await until(lambda: supervisor.fault)
        faults = [supervisor.fault]
        await until(lambda: starts == 2)
        await supervisor.end()
        assert [*faults, supervisor.fault] == [f"{name} ended and is being restarted: {reason}", None]
    assert [(record.message, vars(record)["task"], vars(record)["reason"]) for record in caplog.records] == [("task.ended", name, reason)]
    assert restarts(name) == 1


async def test_task_that_returns_on_request_is_not_restarted() -> None:
    requested = asyncio.Event()

    async def live() -> None:
        await requested.wait()

    supervised = Supervisor().start("test-requested", live)
    await asyncio.sleep(0)
    requested.set()
    await supervised.finish(10)
    assert restarts("test-requested") == 0


@pytest.mark.parametrize("end", ["finish", "end", "owner"])
async def test_requested_end_is_no_fault(end: str) -> None:
    supervised = Supervisor().start("test-asked", lambda: asyncio.sleep(3600))
    await asyncio.sleep(0)
    match end:
        case "finish":
            await supervised.finish(0.01)
        case "end":
            await supervised.end()
        case _:
            # As asyncio.run does with the remaining tasks.
            await tasks.cancel_and_wait(supervised._task)
    assert supervised._task.done()
    assert restarts("test-asked") == 0


async def test_service_that_stops_does_not_wait_for_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PAUSES_SECONDS", (3600,))
    supervised = Supervisor().start("test-down", raises)
    await until(lambda: supervised.fault)
    async with asyncio.timeout(10):
        await supervised.finish(3600)


async def test_cancellation_of_an_awaited_task_is_an_error() -> None:
    with pytest.raises(ConnectionAbortedError), tasks.only_own_cancellation():
        await is_cut_off()
    with pytest.raises(TimeoutError), tasks.only_own_cancellation():
        async with asyncio.timeout(0):
            await asyncio.sleep(1)


async def test_own_cancellation_ends_a_task() -> None:
    async def live() -> None:
        with tasks.only_own_cancellation():
            await asyncio.sleep(3600)

    task = asyncio.create_task(live())
    await asyncio.sleep(0)
    await tasks.cancel_and_wait(task)
    assert task.cancelled()
