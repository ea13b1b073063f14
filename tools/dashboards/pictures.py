"""`python -m tools.dashboards.pictures`: the dashboards as pictures in docs/pictures, drawn from their own queries after a real sale.

No Grafana takes part: draw.py does its work. The operator's dashboard needs an apiserver; without one its picture stays as it was.
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
from tools.dashboards.answers import Span, ask
from tools.dashboards.cluster import Cluster, operate, operating
from tools.dashboards.dashboards import read_dashboard
from tools.dashboards.draw import draw_dashboard
from tools.dashboards.prometheus import Prometheus, scraping, stack_targets
from tools.dashboards.sale import SECONDS, Shop, sell
from tools.repository import PICTURES

PRODUCT_ID = "sneaker"


def main(
    context: Annotated[str, typer.Option(envvar="FLASHSALE_PICTURES_CONTEXT", help="A kubectl context that is for tests.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = PICTURES,
) -> None:
    """Sell for two minutes on a stack of its own, then draw."""
    boards = ("sale", "engine", "operator") if context else ("sale", "engine")
    with (
        tempfile.TemporaryDirectory(prefix="flashsale-pictures-", ignore_cleanup_errors=True) as name,
        started(work := Path(name)) as env,
        watched(env, context, work) as (prometheus, cluster),
    ):
        typer.echo(f"selling for {SECONDS} s")
        start = time()
        asyncio.run(play(env, cluster))
        draw(prometheus, boards, Span(start, start + SECONDS), folder)
    if not context:
        typer.echo("not drawn: operator.png, which needs an apiserver; name a kubectl context in FLASHSALE_PICTURES_CONTEXT")


@contextmanager
def started(work: Path) -> Iterator[Mapping[str, str]]:
    stack = Stack(work / "home", say=typer.echo)
    stack.up(gateway_port=0)
    try:
        yield stack.env()
    finally:
        stack.down()


@contextmanager
def watched(env: Mapping[str, str], context: str, work: Path) -> Iterator[tuple[Prometheus, Cluster | None]]:
    """With a context, the operator is watched too."""
    if not context:
        with scraping(work, stack_targets(env)) as prometheus:
            yield prometheus, None
        return
    with operating(env, context, work) as (cluster, address), scraping(work, stack_targets(env) | {"operator": address}) as prometheus:
        yield prometheus, cluster


def draw(prometheus: Prometheus, boards: Sequence[str], span: Span, folder: Path) -> None:
    for name in boards:
        dashboard = read_dashboard(name)
        draw_dashboard(dashboard, ask(prometheus, dashboard, span, {"$sale": PRODUCT_ID}), span, folder / f"{name}.png")
        typer.echo(f"drawn: {name}.png")


async def play(env: Mapping[str, str], cluster: Cluster | None) -> None:
    url = env["FLASHSALE_URL"]
    shop = Shop(url, env["FLASHSALE_ADMIN_TOKEN"], Provider(url, Webhook(env["FLASHSALE_WEBHOOK_SECRET"])))
    async with asyncio.TaskGroup() as group:
        group.create_task(sell(shop, PRODUCT_ID))
        if cluster is not None:
            group.create_task(operate(cluster))


if __name__ == "__main__":
    typer.run(main)
