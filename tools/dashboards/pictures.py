"""`python -m tools.dashboards.pictures`: draw the dashboards after a real sale, from their own queries, into docs/pictures.

Grafana is not needed: draw.py draws. The operator's dashboard needs an apiserver; without one, its picture stays unchanged.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Annotated

import typer
from standardwebhooks.webhooks import Webhook

from flashsale_cli.payments import Provider
from flashsale_local_stack import Stack
from tools.dashboards.draw import draw_dashboard
from tools.dashboards.operator_demo import Cluster, operate, operating
from tools.dashboards.page_visitors import visit
from tools.dashboards.panel_data import TimeRange, query_panels
from tools.dashboards.prometheus import Prometheus, scraping, stack_targets
from tools.dashboards.reader import read_dashboard
from tools.dashboards.sale_demo import SECONDS, Shop, sell
from tools.repository import PICTURES

PRODUCT_ID = "sneaker"


def main(
    context: Annotated[str, typer.Option(envvar="FLASHSALE_PICTURES_CONTEXT", help="A kubectl context of a test cluster.")] = "",
    folder: Annotated[Path, typer.Option(help="Folder for the pictures.")] = PICTURES,
) -> None:
    """Sell for two minutes on a temporary stack, then draw."""
    boards = ("sale", "engine", "operator") if context else ("sale", "engine")
    with (
        tempfile.TemporaryDirectory(prefix="flashsale-pictures-", ignore_cleanup_errors=True) as name,
        started(work := Path(name)) as env,
        watched(env, context, work) as (prometheus, cluster),
    ):
        typer.echo(f"selling for {SECONDS} s")
        start = time()
        asyncio.run(play(env, cluster))
        draw(prometheus, boards, TimeRange(start, start + SECONDS), folder)
    if not context:
        typer.echo("not drawn: operator.png, which needs an apiserver: set FLASHSALE_PICTURES_CONTEXT to a kubectl context")


@contextmanager
def started(work: Path) -> Iterator[Mapping[str, str]]:
    stack = Stack(work / "home", say=typer.echo)
    stack.up(gateway_port=0, optional=("console", "storefront"))
    try:
        yield stack.env()
    finally:
        stack.down()


@contextmanager
def watched(env: Mapping[str, str], context: str, work: Path) -> Iterator[tuple[Prometheus, Cluster | None]]:
    """A Prometheus that scrapes the stack and, with a context, also an operator."""
    if not context:
        with scraping(work, stack_targets(env)) as prometheus:
            yield prometheus, None
        return
    with operating(env, context, work) as (cluster, address), scraping(work, stack_targets(env) | {"operator": address}) as prometheus:
        yield prometheus, cluster


def draw(prometheus: Prometheus, boards: Sequence[str], time_range: TimeRange, folder: Path) -> None:
    for name in boards:
        dashboard = read_dashboard(name)
        draw_dashboard(
            dashboard, query_panels(prometheus, dashboard, time_range, {"$sale": PRODUCT_ID}), time_range, folder / f"{name}.png"
        )
        typer.echo(f"drawn: {name}.png")


async def play(env: Mapping[str, str], cluster: Cluster | None) -> None:
    url = env["FLASHSALE_URL"]
    shop = Shop(url, env["FLASHSALE_ADMIN_TOKEN"], Provider(url, Webhook(env["FLASHSALE_WEBHOOK_SECRET"])))
    async with asyncio.TaskGroup() as group:
        group.create_task(sell(shop, PRODUCT_ID))
        group.create_task(visit(env["FLASHSALE_STOREFRONT_URL"], PRODUCT_ID))
        if cluster is not None:
            group.create_task(operate(cluster))


if __name__ == "__main__":
    typer.run(main)
