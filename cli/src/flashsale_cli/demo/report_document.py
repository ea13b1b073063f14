"""What the HTML report of the demo says. Pure."""

from collections.abc import Sequence

from flashsale_cli.demo.scenario import Outcome, ScenarioSettings
from flashsale_cli.html_report.document import Check, Document, LogErrors, Run, in_words

TITLES = ("First wave", "Second wave, for the released units")


def of_demo(outcome: Outcome, lines: Sequence[Check], settings: ScenarioSettings, logs: Sequence[LogErrors], now: float) -> Document:
    """`now` is in seconds since the Unix epoch."""
    sale = outcome.sale
    return Document(
        title="A sale with more buyers than units",
        summary=f"{settings.buyers:,} buyers wanted {settings.units:,} units. The audit compared Redis, the ledger and the payments.",
        when=in_words(now),
        checks=lines,
        runs=[Run(title, tally) for title, tally in zip(TITLES, outcome.tallies, strict=False)],
        settings=_settings(outcome, settings),
        log_errors=logs,
        units=(int(sale.get("sold", 0)), int(sale.get("reserved", 0)), int(sale.get("available", 0))),
    )


def _settings(outcome: Outcome, settings: ScenarioSettings) -> list[tuple[str, str]]:
    return [
        ("sale", outcome.product_id),
        ("buyers", f"{settings.buyers:,}"),
        ("units", f"{settings.units:,}"),
        ("payment window", f"{settings.window_seconds} s"),
        ("most simultaneous requests", f"{settings.connections:,}"),
        (
            "the crowd grows over",
            f"{settings.pace.arrival_seconds:g} s" if settings.pace.arrival_seconds else "no time: as fast as possible",
        ),
        ("seed", f"{settings.seed}"),
        ("gateway", settings.url),
    ]
