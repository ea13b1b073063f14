"""`flashsale load`: contended buyers."""

from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.load import report
from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.plan import BUYERS_MAX, Click, Crowd, plan
from flashsale_cli.load.progress import watch
from flashsale_cli.load.run import CONNECTIONS_DEFAULT, Target, run
from flashsale_cli.load.tally import Tally


def load(
    product: Annotated[str, typer.Option(help="The sale.")],
    buyers: Annotated[int, typer.Option(help="How many different buyers.", min=1, max=BUYERS_MAX)] = 10_000,
    connections: Annotated[int, typer.Option(help="Most requests under way at once.", min=1, max=60_000)] = CONNECTIONS_DEFAULT,
    at_once: Annotated[bool, typer.Option("--at-once", help="Release all requests together.")] = False,
    quantity: Annotated[int, typer.Option(help="Units per order.", min=1)] = 1,
    replays: Annotated[float, typer.Option(help="Share of buyers who send the same request twice.", min=0, max=1)] = 0.0,
    over_limit: Annotated[float, typer.Option(help="Share of buyers who send three different orders.", min=0, max=1)] = 0.0,
    rubbish: Annotated[float, typer.Option(help="Share of buyers who send only rubbish.", min=0, max=1)] = 0.0,
    request_prefix: Annotated[str | None, typer.Option(help="Starts all user and request ids; else unique to this run.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed sends the same requests in the same order.")] = 0,
    timeout_seconds: Annotated[float, typer.Option(help="How long one request may take.", min=0.1)] = 30.0,
    stop_after_seconds: Annotated[float, typer.Option(help="What is not sent by then is not sent.", min=1)] = 600.0,
    orders_out: Annotated[Path | None, typer.Option(help="Write the ids of the orders, one per line, for `pay` and `audit`.")] = None,
    url: Annotated[str | None, typer.Option(help="The gateway; else FLASHSALE_URL.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Send a crowd of buyers and tell what became of them.

    Exit status 1 when a request got no proper answer or an answer that must never be given.
    """
    if replays + over_limit + rubbish > 1:
        raise typer.BadParameter("the shares of --replays, --over-limit and --rubbish come to more than 1")
    crowd = Crowd(
        product_id=product,
        buyers=buyers,
        prefix=request_prefix or uuid4().hex[:12],
        quantity=quantity,
        replays=replays,
        over_limit=over_limit,
        rubbish=rubbish,
        seed=seed,
    )
    target = Target(CliEnvironment().url(url), connections, at_once, timeout_seconds, stop_after_seconds)
    screen = console()
    tally = uvloop.run(_run(plan(crowd), target, Console(quiet=True) if as_json else screen))
    if orders_out is not None:
        orders_out.write_text("".join(f"{order.order_id}\n" for order in tally.orders.values()))
    if as_json:
        write_json(report.to_json(tally))
    else:
        screen.print(report.render(tally))
        for words in tally.broken:
            screen.print(Text(words, "red"))
    if tally.broken or tally.count(Group.ERROR):
        raise typer.Exit(EXIT_FAILED)


async def _run(clicks: list[Click], target: Target, screen: Console) -> Tally:
    tally = Tally(len(clicks))
    with watch(tally, screen):
        return await run(clicks, target, tally)
