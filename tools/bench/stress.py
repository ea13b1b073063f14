"""`python -m tools.bench.stress`: 1,000 and 10,000 requests at once, with enough stock and with a tenth of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_audit.audit_all import Options, Report
from flashsale_cli import sales_client
from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, number, table, verdict, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import open_session
from flashsale_cli.load import report as load_report
from flashsale_cli.load.latency import summarize
from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.plan import Crowd, plan
from flashsale_cli.load.run import Target, run
from flashsale_cli.load.tally import Tally
from flashsale_local_stack import DEFAULT_HOME, temporary_stack
from tools.bench.options import Home

SIZES = (1_000, 10_000)
STOCK_DIVISOR = 10
WINDOW_SECONDS = 300
SETTLE_SECONDS = 30.0
TIMEOUT_SECONDS = 60.0
COLUMNS = ("requests", "accepted", "sold out", "other", "last answer after", " answers right", " audit")


@dataclass(frozen=True, slots=True)
class Test:
    requests: int
    stock: int

    @property
    def name(self) -> str:
        return f"{number(self.requests)} at once, {'plenty' if self.stock >= self.requests else f'{number(self.stock)} units'}"


@dataclass(frozen=True, slots=True)
class Result:
    test: Test
    product_id: str
    tally: Tally
    audit: Report

    @property
    def problems(self) -> list[str]:
        return [*judge(self.test, self.tally), *(kind.value for kind in self.audit.findings.counts)]


def tests() -> Iterator[Test]:
    for size in SIZES:
        yield Test(size, size)
        yield Test(size, size // STOCK_DIVISOR)


def judge(test: Test, tally: Tally) -> list[str]:
    """What is wrong with the answers. The whole stock must be sold, and every other request must be answered with "sold out"."""
    expected = {Group.ACCEPTED: test.stock, Group.SOLD_OUT: test.requests - test.stock}
    wrong = [
        f"{number(tally.count(group))} {group} instead of {number(expected.get(group, 0))}"
        for group in Group
        if tally.count(group) != expected.get(group, 0)
    ]
    return [*wrong, *tally.broken]


async def stress(environment: CliEnvironment, test: Test) -> Result:
    product_id, url = f"stress-{uuid4().hex[:8]}", environment.url()
    wanted = {"productId": product_id, "stock": test.stock, "paymentWindowSeconds": WINDOW_SECONDS}
    async with open_session(TIMEOUT_SECONDS) as session:
        await sales_client.set_sale(session, url, environment.text("FLASHSALE_ADMIN_TOKEN"), wanted)
    clicks = plan(Crowd(product_id=product_id, buyers=test.requests, prefix=uuid4().hex[:12]))
    tally = await run(clicks, Target(url, at_once=True, timeout_seconds=TIMEOUT_SECONDS), Tally(len(clicks)))
    accepted = [order.order_id for order in tally.orders.values()]
    return Result(test, product_id, tally, await audit_stores(environment, Options((product_id,), accepted=accepted), SETTLE_SECONDS))


def main(
    home: Home = DEFAULT_HOME,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """1,000 and 10,000 requests at once, each with enough stock and with a tenth of it."""
    screen = Console(quiet=True) if as_json else console()
    with temporary_stack(home, 0, lambda words: screen.print(Text(words, "dim"))) as variables:
        environment = CliEnvironment(variables)
        results = []
        for test in tests():
            screen.print(Text(f"{test.name} ...", "dim"))
            results.append(uvloop.run(stress(environment, test)))
    if as_json:
        write_json([to_json(result) for result in results])
    else:
        show(results, screen)
    if any(result.problems for result in results):
        raise typer.Exit(EXIT_FAILED)


def show(results: list[Result], screen: Console) -> None:
    screen.print(table("Answers to requests that were sent at once", COLUMNS, [_row(result) for result in results]))
    screen.print()
    latencies = {result.test.name: latency for result in results if (latency := summarize(result.tally.seconds)) is not None}
    screen.print(load_report.latencies_table(latencies))
    screen.print(Text("Each request has a connection of its own. Its time counts from the start of connecting to the last byte.", "dim"))
    for result in results:
        for problem in result.problems:
            screen.print(Text(f"{result.test.name}: {problem}", "red"))
        if not result.audit.clean():
            screen.print(audit_report.differences_text(result.audit))


def to_json(result: Result) -> dict[str, Any]:
    return {
        "test": result.test.name,
        "stock": result.test.stock,
        "problems": result.problems,
        "load": load_report.to_json(result.tally),
        "audit": audit_report.to_json(result.audit),
    }


def _row(result: Result) -> tuple[str | Text, ...]:
    tally = result.tally
    accepted, sold_out = tally.count(Group.ACCEPTED), tally.count(Group.SOLD_OUT)
    counts = map(number, (accepted, sold_out, tally.done() - accepted - sold_out))
    return (
        result.test.name,
        *counts,
        f"{tally.elapsed_seconds:.2f} s",
        verdict(not judge(result.test, tally)),
        verdict(result.audit.clean()),
    )


if __name__ == "__main__":
    typer.run(main)
