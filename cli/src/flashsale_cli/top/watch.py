"""Reads, decides and shows, until enough screens are shown: live on a terminal, as tables in a file, or as lines of JSON."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from time import monotonic

import aiohttp
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from flashsale_cli.http_client import open_session
from flashsale_cli.top.frame import Frame, frame, to_json
from flashsale_cli.top.read import TIMEOUT_SECONDS, Sources, read
from flashsale_cli.top.reading import Reading
from flashsale_cli.top.screen import render
from flashsale_core.errors import Rejected, Retryable

Show = Callable[[Frame], None]
SPEED_SECONDS = 10.0
"""The speed at which a sale sells is measured over this time, and at least since the previous reading."""


async def watch(sources: Sources, every_seconds: float, screens: int, view: AbstractContextManager[Show]) -> None:
    """Show `screens` frames after the first one, which has no rates; 0 means without end.

    Raises Retryable if the gateway does not answer the first time, Rejected if a named sale does not exist. Later failures are shown.
    """
    async with open_session(TIMEOUT_SECONDS) as session:
        first = _checked(await read(session, sources))
        with view as show:
            show(frame([], first))
            await _show_following(session, sources, first, every_seconds, screens, show)


async def _show_following(
    session: aiohttp.ClientSession, sources: Sources, first: Reading, every_seconds: float, screens: int, show: Show
) -> None:
    earlier, due = [first], monotonic()
    for _ in range(screens) if screens else count():
        # If a reading took longer than its interval, the next interval begins now; missed readings are not made up for.
        due = max(due + every_seconds, monotonic())
        await asyncio.sleep(due - monotonic())
        now = await read(session, sources)
        show(frame(earlier, now))
        earlier = recent([*earlier, now], now.at_seconds - SPEED_SECONDS)


def recent(readings: Sequence[Reading], since_seconds: float) -> list[Reading]:
    """The last reading, and earlier ones that are not older than `since_seconds`."""
    return [*(reading for reading in readings[:-1] if reading.at_seconds >= since_seconds), *readings[-1:]]


def _checked(reading: Reading) -> Reading:
    if isinstance(reading.sales_error, Retryable):
        raise reading.sales_error
    if reading.missing:
        raise Rejected(f"there is no sale {', '.join(reading.missing)}")
    return reading


def view(console: Console, url: str, as_json: bool) -> AbstractContextManager[Show]:
    if as_json:
        return lines()
    return live(console, url) if console.is_interactive else pages(console, url)


@contextmanager
def lines() -> Iterator[Show]:
    def show(frame: Frame) -> None:
        # The first frame has no rates, and only a person needs to see that the command has started.
        if frame.seconds:
            typer.echo(json.dumps(to_json(frame)))

    yield show


@contextmanager
def pages(console: Console, url: str) -> Iterator[Show]:
    def show(frame: Frame) -> None:
        if frame.seconds:
            console.print(render(frame, url, console.width), Text())

    yield show


@contextmanager
def live(console: Console, url: str) -> Iterator[Show]:
    last: list[Frame] = []

    def show(frame: Frame) -> None:
        last[:] = [frame]
        # The size is read for every frame, because people resize their terminals.
        screen.update(render(frame, url, console.width, console.height), refresh=True)

    try:
        with Live(console=console, auto_refresh=False, screen=True) as screen:
            yield show
    finally:
        # The terminal restores what it showed before; the last frame is printed below that.
        for frame in last:
            console.print(render(frame, url, console.width))
