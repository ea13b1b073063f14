"""`flashsale top`: live numbers of the sales and the pipeline."""

import asyncio
from typing import Annotated

import typer

from flashsale_cli.console import console
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.top.read import Sources, targets
from flashsale_cli.top.watch import view, watch
from flashsale_core.service import stop_event
from flashsale_core.tasks import cancel_and_wait


def top(
    product: Annotated[list[str] | None, typer.Option(help="A sale to show; may be repeated. Default: the busiest sales.")] = None,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds between two screens.", min=0.1, max=3600)] = 1.0,
    count: Annotated[int, typer.Option(help="End after this many screens; 0 continues until Ctrl-C.", min=0)] = 0,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="The /metrics of a worker or gateway; may be repeated. Default: the workers in the settings."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="The gateway. Default: FLASHSALE_URL, and FLASHSALE_ADMIN_URL for its /metrics.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each screen.")] = False,
) -> None:
    """Show live numbers of the sales and the pipeline. They are read from the services; Prometheus is not needed.

    Rates and percentiles cover the time between two readings, so the first appear after --every seconds. `--count 1` shows one screen.
    If an address leads to several pods, only one of them answers: forward a port to each, and name them with --url and --metrics.
    """
    environment = CliEnvironment()
    gateway = environment.url(url)
    sources = Sources(gateway, targets(environment, environment.admin_url(url), metrics or ()), tuple(dict.fromkeys(product or ())))
    try:
        asyncio.run(_until_ended(sources, every, count, as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        # This is the normal end.
        return


async def _until_ended(sources: Sources, every_seconds: float, screens: int, as_json: bool) -> None:
    watching = asyncio.ensure_future(watch(sources, every_seconds, screens, view(console(), sources.url, as_json)))
    # SIGTERM must restore the terminal as Ctrl-C does. Both are handled here, because asyncio.run cancels only once, and that can get lost.
    waiting = asyncio.ensure_future(stop_event().wait())
    try:
        await asyncio.wait((watching, waiting), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
    finally:
        await cancel_and_wait(watching, waiting)
