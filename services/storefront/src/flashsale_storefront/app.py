"""The storefront as an ASGI application: its routes, what they need, and the order in which it closes."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from flashsale_core.errors import Retryable
from flashsale_core.ids import is_sale_id
from flashsale_core.probes import serve_probes
from flashsale_core.request_bodies import read_body
from flashsale_core.supervise import Supervisor
from flashsale_redis import open_redis
from flashsale_storefront import metrics
from flashsale_storefront.answers import ANY_ORIGIN, JSON, NO_SNIFFING, SHARED, Answer, Header, header, of_problem
from flashsale_storefront.assets import Assets
from flashsale_storefront.demo import BODY_BYTES_MAX, DemoPayments, sale_of
from flashsale_storefront.documents import State
from flashsale_storefront.live_sales import LiveSales, WatchedSale
from flashsale_storefront.pages import Pages
from flashsale_storefront.problems import Problem
from flashsale_storefront.settings import Settings
from flashsale_storefront.source import Source
from flashsale_storefront.streams import Streams

REDIS_CONNECTIONS_MAX = 4
POLL_REUSE_SECONDS = 0.02
"""How long the answer to a poll is sent again: by this much the server's time in it may be late."""
EVENT_STREAM = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"), ANY_ORIGIN)
"""x-accel-buffering: nginx would keep the events until its buffer is full."""
LIVE = (JSON, NO_SNIFFING, ANY_ORIGIN, (b"cache-control", SHARED))
"""Without an ETag: a cache that renews a kept document by 304 would send an old time with it."""
Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
log = logging.getLogger(__name__)


class Storefront:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._streams = Streams(settings.streams_max, settings.streams_per_address_max, settings.keepalive_seconds)
        self._assets = Assets()
        self._pages = Pages(settings.shop_name, settings.links, settings.ordering, self._assets, is_demo=settings.demo is not None)
        self._polls = metrics.REQUESTS.labels("live", "200")
        self._sales: LiveSales
        self._demo: DemoPayments | None = None

    def end_streams(self) -> None:
        self._streams.end_all()

    def live_answer(self, path: bytes, defaults: Iterable[Header]) -> bytes | None:
        """GET of a live document that is in memory: from the connection, without ASGI."""
        if not path.endswith(b"/live"):
            return None
        sale = self._sales.find(path.rsplit(b"/", 2)[1].decode("latin-1")) if path.startswith((b"/s/", b"/sales/")) else None
        if sale is None or path.count(b"/") != 3 or not self._sales.is_known(sale):
            return None
        self._polls.inc()
        now = self._sales.time()
        if now > sale.wire_until:
            sale.wire, sale.wire_until = self._live(sale).wire(defaults), now + POLL_REUSE_SECONDS
        return sale.wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        what = "other"
        try:
            what, answer = await self._route(scope, receive, send)
        except Problem as problem:
            answer = self._refusal(scope, problem)
        except Exception:
            log.exception("request.failed", extra={"path": scope["path"]})
            answer = self._refusal(scope, Problem("internal"))
        if answer is None:
            return
        metrics.REQUESTS.labels(what, str(answer.status)).inc()
        for message in answer.messages():
            await send(message)

    def _refusal(self, scope: Scope, problem: Problem) -> Answer:
        """A page for whoever opens an address in a browser, and problem+json for programs, which do not ask for HTML."""
        if scope["method"] in ("GET", "HEAD") and b"text/html" in header(scope["headers"], b"accept"):
            sale_id = "".join(scope["path"].split("/")[2:3])
            answer = self._pages.without_sale(sale_id if is_sale_id(sale_id) else "", problem)
        else:
            answer = of_problem(problem)
        return answer._replace(headers=(*answer.headers, (b"vary", b"accept")))

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> tuple[str, Answer | None]:
        """What was asked for, and the answer; None if it is sent already."""
        match scope["path"].split("/"):
            case ["", "s", "-", "demo", "payments"] if self._demo is not None:
                return "demo", await self._pay(scope, receive)
            case ["", "s", "-", version, name]:
                _require_read(scope)
                return "asset", _found(self._assets.answer(version, name, scope["headers"]))
            case ["", "s", sale_id]:
                _require_read(scope)
                return "page", await self._page(sale_id, header(scope["headers"], b"if-none-match"))
            case ["", "s" | "sales", sale_id, "live"]:
                _require_read(scope)
                return "live", self._live(await self._known_sale(sale_id))
            case ["", "s" | "sales", sale_id, "events"]:
                _require_read(scope)
                return "events", await self._stream(await self._sale(sale_id), scope, receive, send)
        raise Problem("not_found")

    async def _sale(self, sale_id: str) -> WatchedSale:
        if not is_sale_id(sale_id):
            raise Problem("unknown_sale")
        return await self._sales.get(sale_id)

    async def _known_sale(self, sale_id: str) -> WatchedSale:
        """Raises Problem also while the sale's state is not known: old numbers would be a guess."""
        sale = await self._sale(sale_id)
        if not self._sales.is_known(sale):
            raise Problem("recovering", state=State.RECOVERING)
        return sale

    def _live(self, sale: WatchedSale) -> Answer:
        return Answer(200, LIVE, self._sales.body(sale))

    async def _page(self, sale_id: str, condition: bytes) -> Answer:
        try:
            sale = await self._known_sale(sale_id)
        except Problem as problem:
            return self._pages.without_sale(sale_id, problem)
        return self._pages.of_sale(sale, self._sales.body(sale), self._sales.now_ms(), condition)

    async def _stream(self, sale: WatchedSale, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        if scope["method"] == "HEAD":
            return Answer(200, EVENT_STREAM, b"")
        address = scope["client"][0] if scope["client"] else ""
        with self._streams.place(sale, address, send, scope["extensions"]["flashsale.abort"]["call"]) as stream:
            await send({"type": "http.response.start", "status": 200, "headers": list(EVENT_STREAM)})
            stream.write(self._streams.event(sale))
            while (await receive())["type"] != "http.disconnect":
                pass
        return None

    async def _pay(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            raise Problem("method_not_allowed", allow="POST")
        # A foreign page cannot send this type without a preflight, which gets no answer.
        if header(scope["headers"], b"content-type") != b"application/json":
            raise Problem("bad_request", "Send application/json", field="Content-Type")
        body = await read_body(_chunks(receive), BODY_BYTES_MAX, self._settings.body_timeout_seconds, Problem)
        sale = await self._known_sale(sale_of(body))
        assert self._demo is not None  # noqa: S101
        return await self._demo.pay(body, sale.content.document["price"])

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            log.exception("lifespan.failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        settings = self._settings
        if settings.demo is not None:
            log.warning("demo.enabled", extra={"reason": "FLASHSALE_STOREFRONT_DEMO: sign-in and payments are simulated"})
            self._demo = DemoPayments(settings.demo)
        redis = open_redis(settings.redis_url, settings.redis_timeout_seconds, REDIS_CONNECTIONS_MAX)
        self._sales = LiveSales(
            Source(redis, settings.installation, settings.shards, settings.redis_timeout_seconds).read,
            self._streams,
            refresh_seconds=settings.refresh_ms / 1000,
            stale_seconds=settings.stale_seconds,
            watch_seconds=settings.watch_seconds,
            sales_max=settings.sales_max,
        )
        self._streams.body = self._sales.body
        supervisor = Supervisor()
        supervisor.start("sales", self._sales.run)
        supervisor.start("keepalive", lambda: self._streams.keep_alive(self._sales.now_ms))

        async def ready() -> None:
            if (fault := supervisor.fault or self._sales.fault) is not None:
                raise Retryable(fault)

        try:
            with serve_probes(settings.probe_host, settings.probe_port, ready):
                yield
        finally:
            await supervisor.end()
            await redis.aclose()


def _require_read(scope: Scope) -> None:
    if scope["method"] not in ("GET", "HEAD"):
        raise Problem("method_not_allowed", allow="GET, HEAD")


def _found(answer: Answer | None) -> Answer:
    if answer is None:
        raise Problem("not_found")
    return answer


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The body as the client sends it. One that leaves gets no answer, so what it has sent is enough."""
    more = True
    while more:
        message = await receive()
        yield bytes(message.get("body", b""))
        more = message.get("more_body", False)
