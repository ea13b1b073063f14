"""What tests of the notifier share: a shop that receives webhooks, a ledger with endpoints, and the notifier's parts in this process."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from flashsale_consumer import Delivery
from flashsale_core.messages import Message, encode
from flashsale_core.shop_events import DEFAULT_TYPES
from flashsale_core.tasks import cancel_and_wait
from flashsale_notifier.addresses import parse_networks
from flashsale_notifier.database import Database
from flashsale_notifier.handlers import ShopEvents
from flashsale_notifier.recorder import Recorder
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import Endpoint
from flashsale_notifier.sender import Sender
from flashsale_notifier.senders import Senders
from flashsale_notifier.settings import NamedEndpoint

SECRET, NEXT_SECRET = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
LOOPBACK = parse_networks("127.0.0.0/8", "NETWORKS")
Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def ok(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


@dataclass
class Shop:
    """A receiver that checks each signature with the library that Standard Webhooks publishes."""

    url: str = ""
    secret: str = SECRET
    reply: Reply = ok
    received: list[tuple[str, str]] = field(default_factory=list)
    """(webhook-id, type) of each request, in the order of arrival."""
    running: int = 0
    running_max: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        document = Webhook(self.secret).verify(await request.read(), dict(request.headers))
        self.received.append((request.headers["webhook-id"], document["type"]))
        self.running += 1
        self.running_max = max(self.running, self.running_max)
        try:
            return await self.reply(request)
        finally:
            self.running -= 1

    @property
    def types(self) -> list[str]:
        return [kind for _, kind in self.received]


@asynccontextmanager
async def open_shop(host: str = "127.0.0.1") -> AsyncIterator[Shop]:
    shop, app = Shop(), web.Application()
    app.router.add_post("/hooks", shop.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    try:
        assert site._server is not None
        shop.url = f"http://{host}:{site._server.sockets[0].getsockname()[1]}/hooks"  # type: ignore[attr-defined]
        yield shop
    finally:
        await runner.cleanup()


def deliveries(*messages: Message) -> list[Delivery]:
    return [Delivery(encode(message), f"{number}-0", redelivered=False) for number, message in enumerate(messages)]


@dataclass
class Notifier:
    """The notifier's parts without a broker: `handle` gets deliveries directly."""

    connection: asyncpg.Connection
    repository: Repository
    recorder: Recorder
    senders: Senders
    handle: ShopEvents

    async def add(self, name: str, url: str, types: tuple[str, ...] = DEFAULT_TYPES, secret: str = SECRET) -> None:
        await self.connection.execute(
            "insert into webhook_endpoints (endpoint, url, types, source, secret) values ($1, $2, $3, 'command', $4)",
            name, url, list(types), secret,
        )  # fmt: skip

    async def states(self, endpoint: str) -> list[str]:
        rows = await self.connection.fetch("select state from webhook_deliveries where endpoint = $1 order by 1", endpoint)
        return [row["state"] for row in rows]

    async def attempts(self, endpoint: str) -> list[tuple[int | None, str]]:
        query = "select status, answer from webhook_attempts where endpoint = $1 order by attempt_id"
        return [(row["status"], row["answer"]) for row in await self.connection.fetch(query, endpoint)]

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Run recorder and senders until the block ends, as a kill ends them: attempts that run are abandoned."""
        tasks = [asyncio.create_task(self.recorder.run()), asyncio.create_task(self.senders.run())]
        try:
            yield
        finally:
            await cancel_and_wait(*tasks)


@asynccontextmanager
async def open_notifier(
    database_url: str,
    named: tuple[NamedEndpoint, ...] = (),
    retries_seconds: tuple[float, ...] = (0.05,) * 9,
    timeout_seconds: float = 10.0,
    disable_after_seconds: float = 1000.0,
) -> AsyncIterator[Notifier]:
    database = Database(database_url, 30, 0.1, 100, "flashsale")
    repository = Repository(database, named)
    recorder = Recorder(repository, disable_after_seconds)

    def sender(endpoint: Endpoint) -> Sender:
        return Sender(endpoint, repository, recorder, LOOPBACK, timeout_seconds, retries_seconds)

    senders = Senders(repository, sender)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("truncate shop_events, webhook_endpoints, webhook_deliveries, webhook_attempts, sales")
        yield Notifier(connection, repository, recorder, senders, ShopEvents(repository, senders.wake, with_reserved=False))
    finally:
        await connection.close()
        await database.close()
