"""Runs a service that has no HTTP API: it works until a signal, serves probes meanwhile, and ends its tasks last."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from flashsale_core.background import end_background
from flashsale_core.late_lookups import ignore_late_lookups
from flashsale_core.supervise import Supervisor

Work = Callable[[asyncio.Event], Awaitable[None]]
"""Starts the service's tasks, and returns after the event is set."""


async def run_until_signal(work: Work, supervisor: Supervisor, probes: AbstractContextManager[Any]) -> None:
    """Run `work` with `probes` open, which `serve_probes` makes. However `work` ends, the tasks of `supervisor` are cancelled afterwards.

    Raises what `work` and `probes` raise.
    """
    ignore_late_lookups(asyncio.get_running_loop())
    stop = stop_event()
    try:
        with probes:
            await work(stop)
    finally:
        await supervisor.end()
        await end_background()


def stop_event() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, instead of ending the process. Call from the running event loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
