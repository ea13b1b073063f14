"""`flashsale load`: many buyers who compete for the units of a sale."""

from pathlib import Path
from time import time
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_cli.commands.report_option import refuse_unwritable, write_report
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, number, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.html_report.document import in_words
from flashsale_cli.load import report
from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.plan import BUYERS_MAX, Click, Crowd, plan
from flashsale_cli.load.progress import watch
from flashsale_cli.load.proofs import Identity, Proof, buyer_token, nothing, service_key
from flashsale_cli.load.report_document import of_load
from flashsale_cli.load.run import CONNECTIONS_DEFAULT, Target, run
from flashsale_cli.load.tally import Tally

UNPROVEN = (
    "{} orders were refused: the gateway does not accept their proof of identity (--identity {}). "
    "Use one that its FLASHSALE_IDENTITY allows, with its key."
)


def load(
    product: Annotated[str, typer.Option(help="The sale to order from.")],
    buyers: Annotated[int, typer.Option(help="Number of buyers.", min=1, max=BUYERS_MAX)] = 10_000,
    connections: Annotated[int, typer.Option(help="Most simultaneous requests.", min=1, max=60_000)] = CONNECTIONS_DEFAULT,
    at_once: Annotated[bool, typer.Option("--at-once", help="Send all requests at the same moment.")] = False,
    identity: Annotated[
        Identity,
        typer.Option(
            help="How buyers prove who they are: body (not at all), token (a buyer token each, signed with FLASHSALE_BUYER_TOKEN_KEY) "
            "or service (the first of FLASHSALE_SERVICE_KEYS)."
        ),
    ] = Identity.BODY,
    quantity: Annotated[int, typer.Option(help="Units per order.", min=1)] = 1,
    replays: Annotated[float, typer.Option(help="Share of buyers who send the same request twice.", min=0, max=1)] = 0.0,
    over_limit: Annotated[float, typer.Option(help="Share of buyers who send three different orders.", min=0, max=1)] = 0.0,
    rubbish: Annotated[float, typer.Option(help="Share of buyers who send only invalid requests.", min=0, max=1)] = 0.0,
    request_prefix: Annotated[str | None, typer.Option(help="Beginning of all user and request ids. Default: unique for each run.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed sends the same requests in the same order.")] = 0,
    timeout_seconds: Annotated[float, typer.Option(help="How long one request may take.", min=0.1, max=600)] = 30.0,
    stop_after_seconds: Annotated[float, typer.Option(help="Send no more requests after this time.", min=1, max=86_400)] = 600.0,
    orders_out: Annotated[
        Path | None, typer.Option(help="Write the order ids to this file, one per line, for `pay` and `audit`.", callback=refuse_unwritable)
    ] = None,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write an HTML report to this file; it needs no network.", callback=refuse_unwritable),
    ] = None,
    url: Annotated[str | None, typer.Option(help="The gateway. Default: FLASHSALE_URL.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Send the orders of many buyers and report the answers.

    Exit status 1 if a request received no valid answer, or an answer that must never occur, or if a proof of identity was refused.
    """
    if replays + over_limit + rubbish > 1:
        raise typer.BadParameter("the sum of --replays, --over-limit and --rubbish must not exceed 1")
    environment = CliEnvironment()
    crowd = Crowd(
        product_id=product,
        buyers=buyers,
        prefix=request_prefix or uuid4().hex[:12],
        quantity=quantity,
        replays=replays,
        over_limit=over_limit,
        rubbish=rubbish,
        proof=proof_of(identity, environment),
        seed=seed,
    )
    target = Target(environment.url(url), connections, at_once, timeout_seconds, stop_after_seconds)
    screen = console()
    tally = uvloop.run(_run(plan(crowd), target, Console(quiet=True) if as_json else screen))
    if orders_out is not None:
        orders_out.write_text("".join(f"{order.order_id}\n" for order in tally.orders.values()))
    if report_file is not None:
        write_report(of_load(crowd, target, identity.value, tally, in_words(time())), report_file)
    if as_json:
        write_json(report.to_json_over_time(tally))
    else:
        screen.print(report.render(tally))
        for sentence in tally.broken:
            screen.print(Text(sentence, "red"))
        if tally.unproven:
            screen.print(Text(UNPROVEN.format(number(tally.unproven), identity.value), "red"))
        if report_file is not None:
            screen.print(Text(f"report: {report_file}", "dim"))
    if tally.broken or tally.unproven or tally.count(Group.ERROR):
        raise typer.Exit(EXIT_FAILED)


def proof_of(identity: Identity, environment: CliEnvironment) -> Proof:
    """Keys are read from the environment only, because other users of a machine see command lines. Raises SettingsError."""
    match identity:
        case Identity.BODY:
            return nothing
        case Identity.TOKEN:
            return buyer_token(environment.buyer_tokens(), time())
        case Identity.SERVICE:
            return service_key(environment.service_key())


async def _run(clicks: list[Click], target: Target, screen: Console) -> Tally:
    tally = Tally(len(clicks))
    with watch(tally, screen):
        return await run(clicks, target, tally)
