"""`python -m tools.bench.notifier`: a shop that is away, a notifier that is killed ten times, and a dead endpoint, under 200 events/s.

Every id must arrive, each repetition with the same id; half of the events of a working shop arrive within a second, and a dead endpoint
slows no other. The pauses between attempts are a sixtieth of the real ones, and so is the time that the shop is away (ten minutes).
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Annotated

import aio_pika
import aiohttp
import asyncpg
import typer
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from flashsale_cli.console import EXIT_FAILED, console, number
from flashsale_cli.webhooks import open_webhooks
from flashsale_core import topology
from flashsale_core.messages import PaymentLine, PaymentsRecorded, encode
from flashsale_core.shop_events import DEFAULT_TYPES, event_id
from flashsale_local_stack import Stack, free_ports, private_stack
from flashsale_notifier.retries import RETRIES_SECONDS
from tests.integration.broker import control

SCALE = 60
RATE = 200
KILLS = 10
AWAY_SECONDS = 600 / SCALE
GIVE_UP_SECONDS = 300.0
READY_SECONDS = 60.0
(PROBE_PORT,) = free_ports(1)
P50_SECONDS_MAX = 1.0


@dataclass
class Shop:
    """A receiver: `is_away` answers 502, as a load balancer without a shop does."""

    secret: str = ""
    is_away: bool = False
    arrived: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    """Seconds from the publication of an event until its first arrival."""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        document = Webhook(self.secret).verify(body, dict(request.headers))
        if self.is_away:
            return web.Response(status=502)
        key = request.headers["webhook-id"]
        if not self.arrived[key]:
            self.delays.append(time.time() - float(document["data"]["paymentId"]))
        self.arrived[key] += 1
        return web.Response(status=204)


async def hang(request: web.Request) -> web.Response:
    await asyncio.sleep(3600)
    return web.Response()


@asynccontextmanager
async def serving(shop: Shop, steady: Shop) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/shop", shop.answer)
    app.router.add_post("/steady", steady.answer)
    app.router.add_post("/dead", hang)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def notifying(env: Mapping[str, str], log: Path) -> "AsyncIterator[subprocess.Popen[bytes]]":
    own = {
        "FLASHSALE_NOTIFIER_ALLOWED_NETWORKS": "127.0.0.0/8",
        "FLASHSALE_NOTIFIER_RETRY_SECONDS": ",".join(str(max(1, seconds // SCALE)) for seconds in RETRIES_SECONDS),
        "FLASHSALE_NOTIFIER_ATTEMPT_TIMEOUT_SECONDS": "3",
        "FLASHSALE_PROBE_PORT": str(PROBE_PORT),
        "FLASHSALE_PROBE_HOST": "127.0.0.1",
    }
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-m", "flashsale_notifier"], env={**os.environ, **env, **own}, stderr=output)  # noqa: ASYNC220 - it only starts
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def until_ready() -> None:
    """Raises TimeoutError after READY_SECONDS."""
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{PROBE_PORT}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


async def publish(amqp_url: str, published: set[str], stop: asyncio.Event) -> None:
    """RATE payments a second until `stop`; the payment id is the time of the publication."""
    async with await aio_pika.connect(amqp_url) as connection:
        exchange = await (await connection.channel()).get_exchange(topology.EVENTS_EXCHANGE)
        started = time.monotonic()
        for place in count():
            if stop.is_set():
                return
            order, at = f"o{place:017d}xyz", time.time()
            line = PaymentLine(order, repr(at), "paid", "", 999, "EUR", "ann", 1, int(at * 1000))
            message = PaymentsRecorded(v=1, sale="shoe", epoch=7, at=int(at * 1000), payments=[line])
            await exchange.publish(aio_pika.Message(encode(message), delivery_mode=aio_pika.DeliveryMode.PERSISTENT), "payment.recorded")
            published.add(event_id("shoe", 7, order, "paid"))
            await asyncio.sleep(max(0.0, started + (place + 1) / RATE - time.monotonic()))


async def measure(stack: Stack, seconds: float, folder: Path) -> list[str]:
    """What was missed; empty if all is well."""
    env, shop, steady, published, stop = stack.env(), Shop(), Shop(), set[str](), asyncio.Event()
    definitions = folder / "definitions.json"
    definitions.write_text(json.dumps(topology.definitions([], [5], events=topology.Events.ON)))
    control(stack, "import_definitions", str(definitions))
    async with serving(shop, steady) as url, open_webhooks(env["DATABASE_URL"]) as webhooks:
        shop.secret = await webhooks.add("shop", f"{url}/shop", DEFAULT_TYPES)
        steady.secret = await webhooks.add("steady", f"{url}/steady", DEFAULT_TYPES)
        await webhooks.add("dead", f"{url}/dead", DEFAULT_TYPES)
        # First without a fault: the shop's delays, next to a dead endpoint.
        async with notifying(env, folder / "notifier.log"):
            await until_ready()
            publishing = asyncio.create_task(publish(env["AMQP_URL"], published, stop))
            await asyncio.sleep(seconds / 3)
            calm = list(steady.delays)
            shop.is_away = True
            away_until = time.monotonic() + AWAY_SECONDS
        for _ in range(KILLS):
            async with notifying(env, folder / "notifier.log"):
                await until_ready()
                await asyncio.sleep(seconds / 2 / KILLS)
                shop.is_away = time.monotonic() < away_until
        stop.set()
        await publishing
        shop.is_away = False
        async with notifying(env, folder / "notifier.log"):
            deadline = time.monotonic() + GIVE_UP_SECONDS
            while time.monotonic() < deadline and not (published <= set(shop.arrived) and published <= set(steady.arrived)):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    return await judge(env["DATABASE_URL"], published, shop, steady, calm)


async def judge(database_url: str, published: set[str], shop: Shop, steady: Shop, calm: list[float]) -> list[str]:
    connection = await asyncpg.connect(database_url)
    stored = await connection.fetchval("select count(*) from shop_events where type <> 'webhook.test'")
    await connection.close()
    half = median(calm) if calm else float("inf")
    repeats = sum(times - 1 for times in (*shop.arrived.values(), *steady.arrived.values()))
    console().print(f"events published {number(len(published))}, stored {number(stored)}, arrived at the shop {number(len(shop.arrived))}")
    console().print(
        f"repeated with the same id {number(repeats)}; p50 of a working shop next to a dead one {half * 1000:.0f} ms ({len(calm)})"
    )
    checks = {
        "an event is missing, or has two ids": stored == len(published),
        "an id did not arrive at the shop that was away": set(shop.arrived) == published,
        "an id did not arrive at the working shop": set(steady.arrived) == published,
        "p50 is a second or more next to a dead endpoint": half < P50_SECONDS_MAX,
    }
    return [words for words, holds in checks.items() if not holds]


def main(seconds: Annotated[float, typer.Option(help="How long events are published.", min=6)] = 60.0) -> None:
    """Exit status 1 if a target is missed."""
    with tempfile.TemporaryDirectory(prefix="flashsale-notifier-") as name, private_stack(services=False) as stack:
        missed = asyncio.run(measure(stack, seconds, Path(name)))
        if missed:
            console().print((Path(name) / "notifier.log").read_text()[-3000:], markup=False, highlight=False)
    for words in missed:
        console().print(f"missed: {words}", style="red")
    console().print("no event was lost, and none arrived under two ids" if not missed else "targets were missed")
    raise typer.Exit(EXIT_FAILED if missed else 0)


if __name__ == "__main__":
    typer.run(main)
