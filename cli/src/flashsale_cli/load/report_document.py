"""What the HTML report of `flashsale load` says. Pure."""

from flashsale_cli.html_report.document import Document, Run, load_checks
from flashsale_cli.load.plan import Crowd
from flashsale_cli.load.run import Target
from flashsale_cli.load.tally import Tally


def of_load(crowd: Crowd, target: Target, identity: str, tally: Tally, when: str) -> Document:
    """`when` is the time of the run in words."""
    sold_out = "; the sale sold out" if any(outcome.code == "out_of_stock" for outcome in tally.outcomes) else ""
    return Document(
        title=f"Load on {crowd.product_id}",
        summary=f"{crowd.buyers:,} buyers received {len(tally.orders):,} orders{sold_out}. The audit judges the orders: flashsale audit.",
        when=when,
        checks=load_checks(tally),
        runs=[Run("The crowd", tally)],
        settings=_settings(crowd, target, identity),
    )


def _settings(crowd: Crowd, target: Target, identity: str) -> list[tuple[str, str]]:
    return [
        ("gateway", target.url),
        ("sale", crowd.product_id),
        ("buyers", f"{crowd.buyers:,}"),
        ("units per order", f"{crowd.quantity:,}"),
        ("most simultaneous requests", "all" if target.at_once else f"{target.connections:,}"),
        ("proof of identity", identity),
        ("buyers who send a request twice", f"{crowd.replays:.1%}"),
        ("buyers who order three times", f"{crowd.over_limit:.1%}"),
        ("buyers who send invalid requests", f"{crowd.rubbish:.1%}"),
        ("time limit of a request", f"{target.timeout_seconds:g} s"),
        ("time limit of the run", f"{target.stop_after_seconds:g} s"),
        ("seed", f"{crowd.seed}"),
        ("request ids begin with", crowd.prefix),
    ]
