"""Read, decide, show, again and again, until enough is shown."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import count
from time import monotonic

import aiohttp

from flashsale_cli.http_client import open_session
from flashsale_cli.top.frame import frame
from flashsale_cli.top.read import TIMEOUT_SECONDS, Wanted, read
from flashsale_cli.top.reading import Reading
from flashsale_cli.top.views import Show
from flashsale_core.errors import Rejected, Retryable

PACE_SECONDS = 10.0
"""Over which a sale's pace is measured, and at least since the reading before."""


async def watch(wanted: Wanted, every_seconds: float, screens: int, view: AbstractContextManager[Show]) -> None:
    """`screens` besides the first, which knows no rates; 0 are all that come.

    Raises Retryable when the gateway is not there to begin with, Rejected when a sale is not. What fails later is shown.
    """
    async with open_session(TIMEOUT_SECONDS) as session:
        first = _sound(await read(session, wanted))
        with view as show:
            show(frame([], first))
            await _go_on(session, wanted, first, every_seconds, screens, show)


async def _go_on(session: aiohttp.ClientSession, wanted: Wanted, first: Reading, every_seconds: float, screens: int, show: Show) -> None:
    earlier, due = [first], monotonic()
    for _ in range(screens) if screens else count():
        # After readings that took longer than they should, on from now and not in a rush.
        due = max(due + every_seconds, monotonic())
        await asyncio.sleep(due - monotonic())
        now = await read(session, wanted)
        show(frame(earlier, now))
        earlier = recent([*earlier, now], now.at_seconds - PACE_SECONDS)


def recent(readings: Sequence[Reading], since_seconds: float) -> list[Reading]:
    """The last one, and those before it that are not older."""
    return [*(reading for reading in readings[:-1] if reading.at_seconds >= since_seconds), *readings[-1:]]


def _sound(reading: Reading) -> Reading:
    if isinstance(reading.sales_error, Retryable):
        raise reading.sales_error
    if reading.missing:
        raise Rejected(f"there is no sale {', '.join(reading.missing)}")
    return reading
