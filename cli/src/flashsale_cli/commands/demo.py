"""`flashsale demo`: a contended sale on this machine, and its audit."""

import asyncio
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep, time
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.text import Text
from standardwebhooks.webhooks import Webhook

from flashsale_audit.audit_all import Options
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.commands.report_option import refuse_unwritable, write_report
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console
from flashsale_cli.demo import service_logs, visitors
from flashsale_cli.demo.conclusion import Conclusion, show, write
from flashsale_cli.demo.pace import FAST, WATCHED, WATCHED_WINDOW_SECONDS, WINDOW_SECONDS
from flashsale_cli.demo.report_document import of_demo
from flashsale_cli.demo.scenario import ScenarioSettings, run_scenario
from flashsale_cli.demo.screen import Screen
from flashsale_cli.demo.verdict import judge
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.payments import Provider
from flashsale_core.credentials import first, webhook_secrets
from flashsale_local_stack import DEFAULT_HOME, SERVICES, Stack, temporary_stack

SETTLE_SECONDS = 30.0
REPORT_DEFAULT = Path("flashsale-demo.html")
STAY_SECONDS = 600
LONG_STAY_SECONDS = 120
"""Longer times are said in minutes."""
PAGES = ("console", "storefront")


def demo(
    buyers: Annotated[int, typer.Option(help="Buyers in the first wave.", min=10, max=100_000)] = 10_000,
    units: Annotated[int, typer.Option(help="Units for sale.", min=1, max=100_000)] = 1_000,
    window: Annotated[
        int | None,
        typer.Option(
            help=f"Payment window in seconds, one of those of the stack. Default: {WINDOW_SECONDS}; with --watch {WATCHED_WINDOW_SECONDS}.",
            min=1,
        ),
    ] = None,
    connections: Annotated[int, typer.Option(help="Most simultaneous requests.", min=1, max=10_000)] = 500,
    home: Annotated[
        Path, typer.Option(help="Folder of the stack. A running stack is used; otherwise one is started and stopped again.")
    ] = DEFAULT_HOME,
    gateway_port: Annotated[
        int, typer.Option(help="Port of the gateway if a stack is started; 0 chooses a free one.", min=0, max=65535)
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed sends the same orders.")] = 7,
    report: Annotated[Path, typer.Option(help="The file of the HTML report.", callback=refuse_unwritable)] = REPORT_DEFAULT,
    watch: Annotated[
        bool, typer.Option("--watch", help="Slow enough for a person to watch and to buy, and the pages stay up afterwards.")
    ] = False,
    stay_seconds: Annotated[
        int, typer.Option(help="With --watch: how long the stack stays up afterwards, unless Ctrl-C ends it.", min=0, max=86_400)
    ] = STAY_SECONDS,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Sell a few units to many buyers on real Redis, RabbitMQ and Postgres, and prove that nothing was oversold, lost or leaked.

    Storefront and console run as well; their addresses are printed before the sale opens. Exit status 1 if a promise is broken.
    """
    started_at = monotonic()
    screen = Screen(Console(quiet=True) if as_json else console())
    screen.section("Redis, RabbitMQ, Postgres and the services")
    stack = Stack(home)
    was_running = stack.running
    with temporary_stack(home, gateway_port, lambda words: screen.show(Text(words, "dim")), PAGES) as variables:
        environment = CliEnvironment(variables)
        settings = ScenarioSettings(
            url=environment.url(),
            ledger_api_url=environment.ledger_api_url(),
            admin_token=first(environment.text("FLASHSALE_ADMIN_TOKEN")),
            provider=Provider(environment.url(), Webhook(webhook_secrets(environment.text("FLASHSALE_WEBHOOK_SECRET"))[0])),
            tokens=environment.buyer_tokens(),
            buyers=buyers,
            units=units,
            window_seconds=window or (WATCHED_WINDOW_SECONDS if watch else WINDOW_SECONDS),
            connections=connections,
            seed=seed,
            pace=WATCHED if watch else FAST,
            page_lines=stack.pages,
        )
        conclusion = _sell_and_judge(settings, environment, stack, screen, report)
        if watch:
            _conclude(conclusion, screen, as_json, started_at)
            if not was_running:
                _stay(screen, stay_seconds)
    if not watch:
        _conclude(conclusion, screen, as_json, started_at)
    if not conclusion.passed:
        raise typer.Exit(EXIT_FAILED)


def _sell_and_judge(settings: ScenarioSettings, environment: CliEnvironment, stack: Stack, screen: Screen, html: Path) -> Conclusion:
    logs = service_logs.sizes(stack.home / "log")
    outcome = uvloop.run(run_scenario(settings, screen))
    screen.section("The audit compares Redis, ledger and payments")
    options = Options((outcome.product_id,), accepted=outcome.orders)
    audit = asyncio.run(audit_stores(environment, options, SETTLE_SECONDS))
    outcome.visitors = asyncio.run(visitors.count_orders(environment.text("DATABASE_URL"), outcome.product_id, outcome.prefixes))
    lines = judge(outcome, audit)
    errors = service_logs.errors_since(stack.home / "log", logs, (*SERVICES, *PAGES))
    write_report(of_demo(outcome, lines, settings, errors, time()), html)
    return Conclusion(outcome, audit, lines, html)


def _conclude(conclusion: Conclusion, screen: Screen, as_json: bool, started_at: float) -> None:
    if as_json:
        write(conclusion, monotonic() - started_at)
    else:
        show(conclusion, screen, monotonic() - started_at)


def _stay(screen: Screen, seconds: int) -> None:
    how_long = f"{seconds / 60:.0f} minutes" if seconds >= LONG_STAY_SECONDS else f"{seconds} seconds"
    screen.say(f"The pages stay up for {how_long}; Ctrl-C ends them.")
    with suppress(KeyboardInterrupt):
        sleep(seconds)
