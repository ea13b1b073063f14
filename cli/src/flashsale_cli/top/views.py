"""Where frames are shown: a screen that is drawn anew, tables one below the other, or lines for programs."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from flashsale_cli.top.frame import Frame, to_json
from flashsale_cli.top.screen import render

Show = Callable[[Frame], None]


def view(console: Console, url: str, as_json: bool) -> AbstractContextManager[Show]:
    if as_json:
        return lines()
    return live(console, url) if console.is_interactive else pages(console, url)


@contextmanager
def lines() -> Iterator[Show]:
    def show(frame: Frame) -> None:
        # The first has no rates, and nobody who waits for it.
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
        # The size is asked for anew: people resize their terminals.
        screen.update(render(frame, url, console.width, console.height), refresh=True)

    try:
        with Live(console=console, auto_refresh=False, screen=True) as screen:
            yield show
    finally:
        # The screen that was drawn on is gone; its last frame stays.
        for frame in last:
            console.print(render(frame, url, console.width))
