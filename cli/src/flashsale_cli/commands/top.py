"""`flashsale top`: sales and the pipeline, live."""

import asyncio
from typing import Annotated

import typer

from flashsale_cli.console import console
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.top.read import Wanted
from flashsale_cli.top.targets import targets
from flashsale_cli.top.views import view
from flashsale_cli.top.watch import watch
from flashsale_core.service import stop_event
from flashsale_core.tasks import cancel_and_wait


def top(
    product: Annotated[list[str] | None, typer.Option(help="A sale, repeatable; else the busiest of all.")] = None,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="From one screen to the next.", min=0.1, max=3600)] = 1.0,
    count: Annotated[int, typer.Option(help="How many screens, then end; 0: until Ctrl-C.", min=0)] = 0,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="A worker's /metrics, or another gateway's, repeatable; else the workers of the settings."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="The gateway; else FLASHSALE_URL.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each screen.")] = False,
) -> None:
    """Show sales and the pipeline as they are now: the numbers of the dashboards, read from the services, without Prometheus.

    Rates and percentiles are of the time between two readings, so the first come after --every seconds; `--count 1` is a single look.
    An address with several pods behind it tells of one of them: forward a port to each, and name them with --url and --metrics.
    """
    environment = CliEnvironment()
    gateway = environment.url(url)
    wanted = Wanted(gateway, targets(environment, gateway, metrics or ()), tuple(dict.fromkeys(product or ())))
    try:
        asyncio.run(_until_ended(wanted, every, count, as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        # That is how it ends.
        return


async def _until_ended(wanted: Wanted, every_seconds: float, screens: int, as_json: bool) -> None:
    watching = asyncio.ensure_future(watch(wanted, every_seconds, screens, view(console(), wanted.url, as_json)))
    # SIGTERM as Ctrl-C, or the terminal would stay as a screen without a cursor. Both here: asyncio.run cancels once, which can get lost.
    waiting = asyncio.ensure_future(stop_event().wait())
    try:
        await asyncio.wait((watching, waiting), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
    finally:
        await cancel_and_wait(watching, waiting)
