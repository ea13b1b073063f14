"""`flashsale demo`: a contended sale on this machine, and its audit."""

import asyncio
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.text import Text
from standardwebhooks.webhooks import Webhook

from flashsale_audit.audit_all import Options, Report
from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, write_json
from flashsale_cli.demo.scenario import Outcome, ScenarioSettings, run_scenario
from flashsale_cli.demo.screen import Screen
from flashsale_cli.demo.verdict import judge, render
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.load import report as load_report
from flashsale_cli.payments import Provider
from flashsale_core.credentials import first, webhook_secrets
from flashsale_local_stack import DEFAULT_HOME, temporary_stack

SETTLE_SECONDS = 30.0


def demo(
    buyers: Annotated[int, typer.Option(help="Buyers in the first wave.", min=10, max=100_000)] = 10_000,
    units: Annotated[int, typer.Option(help="Units for sale.", min=1, max=100_000)] = 1_000,
    window: Annotated[int, typer.Option(help="Payment window in seconds; one of the windows of the stack.", min=1)] = 5,
    connections: Annotated[int, typer.Option(help="Most simultaneous requests.", min=1, max=10_000)] = 500,
    home: Annotated[
        Path, typer.Option(help="Folder of the stack. A running stack is used; otherwise one is started and stopped again.")
    ] = DEFAULT_HOME,
    gateway_port: Annotated[
        int, typer.Option(help="Port of the gateway if a stack is started; 0 chooses a free one.", min=0, max=65535)
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed sends the same orders.")] = 7,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Sell a few units to many buyers on real Redis, RabbitMQ and Postgres, and prove that nothing was oversold, lost or leaked.

    Exit status 1 if a promise is broken.
    """
    started_at = monotonic()
    screen = Screen(Console(quiet=True) if as_json else console())
    screen.section("Redis, RabbitMQ, Postgres and the services")
    with temporary_stack(home, gateway_port, lambda words: screen.show(Text(words, "dim"))) as variables:
        environment = CliEnvironment(variables)
        settings = ScenarioSettings(
            url=environment.url(),
            ledger_api_url=environment.text("FLASHSALE_LEDGER_API_URL").rstrip("/"),
            admin_token=first(environment.text("FLASHSALE_ADMIN_TOKEN")),
            provider=Provider(environment.url(), Webhook(webhook_secrets(environment.text("FLASHSALE_WEBHOOK_SECRET"))[0])),
            tokens=environment.buyer_tokens(),
            buyers=buyers,
            units=units,
            window_seconds=window,
            connections=connections,
            seed=seed,
        )
        outcome = uvloop.run(run_scenario(settings, screen))
        screen.section("The audit compares Redis, ledger and payments")
        options = Options((outcome.product_id,), accepted=outcome.orders)
        report = asyncio.run(audit_stores(environment, options, SETTLE_SECONDS))
    conclude(outcome, report, screen, as_json, monotonic() - started_at)


def conclude(outcome: Outcome, report: Report, screen: Screen, as_json: bool, elapsed_seconds: float) -> None:
    lines = judge(outcome, report)
    passed = all(line.passed for line in lines)
    if as_json:
        write_json(
            {
                "verdict": "PASS" if passed else "FAIL",
                "promises": [{"promise": line.promise, "passed": line.passed, "evidence": line.evidence} for line in lines],
                "waves": [load_report.to_json(tally) for tally in outcome.tallies],
                "audit": audit_report.to_json(report),
                "seconds": round(elapsed_seconds, 1),
            }
        )
    else:
        if not report.clean():
            screen.show(audit_report.differences_text(report))
            screen.show(audit_report.limits_text(report))
        screen.section("Verdict")
        screen.show(render(lines))
        screen.say("")
        words = "every promise kept" if passed else "a promise was broken"
        screen.show(Text(f"{words}, in {elapsed_seconds:.0f} s", "bold green" if passed else "bold red"))
    if not passed:
        raise typer.Exit(EXIT_FAILED)
