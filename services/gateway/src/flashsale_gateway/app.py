"""The composition root: what the gateway is made of, what it opens, and in what order it closes."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from redis.exceptions import RedisError
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flashsale_core.scripts import Scripts, load_scripts, read_scripts
from flashsale_core.semconv import script_call
from flashsale_core.supervise import Supervisor
from flashsale_core.tracing import configure_tracing
from flashsale_gateway import metrics
from flashsale_gateway.batching import Admission, Batcher
from flashsale_gateway.decide import Decisions
from flashsale_gateway.errors import GatewayError
from flashsale_gateway.http.catalogue import Catalogue
from flashsale_gateway.http.client_buffers import ClientBuffers
from flashsale_gateway.http.endpoints import Endpoints
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.read_limits import ReadSlots, TurnLimiter
from flashsale_gateway.http.routes import ROUTES, Services
from flashsale_gateway.http.scrapes import Scrapes
from flashsale_gateway.http.translation import problem_of
from flashsale_gateway.orders import PATH as ORDER_PATH
from flashsale_gateway.orders import Orders
from flashsale_gateway.outbox import relay
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.payments import PATH as WEBHOOK_PATH
from flashsale_gateway.payments import Payments
from flashsale_gateway.readiness import Progress, Readiness
from flashsale_gateway.sale_counters import SaleCounters
from flashsale_gateway.settings import Settings
from flashsale_gateway.spans import around
from flashsale_gateway.store import Store
from flashsale_redis import open_redis

# Besides one for each blocking read, of which there are as many as shards on a cluster.
RELAY_CONNECTIONS = 3
SHARED_READS = 3
"""Besides FLASHSALE_READS_MAX: one for the names of the sales, one for the sales, one for the watch."""
HOUSE = ("/healthz", "/readyz", "/metrics", "/admin")
"""Paths that are for inside: each has a pace of its own, and no crowd is in front of it."""
log = logging.getLogger(__name__)


class Gateway:
    """The ASGI application: orders and payments go straight to their endpoints, all else through Starlette."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._endpoints: Endpoints = {}
        self.client_buffers = ClientBuffers()
        self._public, self._house = TurnLimiter(), {path: TurnLimiter() for path in HOUSE}
        self._starlette = Starlette(routes=ROUTES, lifespan=self._lifespan, exception_handlers=_HANDLERS)
        # It would send a client where its own Host header says, past TLS and into caches.
        self._starlette.router.redirect_slashes = False

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def endpoints(self) -> Endpoints:
        """By path. Open as long as the lifespan lasts, and no connection is taken before."""
        return self._endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._starlette(scope, receive, send)
        elif endpoint := self._endpoints.get(scope["path"]):
            await endpoint(scope, receive, send)
        else:
            await self._paced(scope, receive, send)

    async def _paced(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        pace = self._house.get("/admin" if path.startswith("/admin/") else path, self._public)
        try:
            async with pace.turn():
                await self._starlette(scope, receive, send)
        except Problem as problem:
            # Closed, for a new connection has to be taken first, and few are in a turn: a crowd cannot spend the loop on refusals.
            start, body = problem.answer.messages()
            start["headers"].append((b"connection", b"close"))
            await send(start)
            await send(body)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services, self._endpoints = await _open(self._settings, stack)
            yield


async def _open(settings: Settings, stack: AsyncExitStack) -> tuple[Services, Endpoints]:
    """Open everything; the stack closes it in reverse: first what serves requests, last what they need."""
    scripts = read_scripts(settings.lua_dir)
    webhook = Webhook(settings.webhook_secret)
    tracing = configure_tracing("flashsale-gateway")
    stack.callback(tracing.shutdown)
    redis = open_redis(settings.redis_url, settings.redis_timeout_seconds, settings.redis_connections_max)
    stack.push_async_callback(redis.aclose)
    reading = open_redis(settings.redis_url, settings.redis_timeout_seconds, settings.reads_max + SHARED_READS)
    stack.push_async_callback(reading.aclose)
    with suppress(RedisError, OSError):
        # Redis may come later than we do: readiness loads the scripts then.
        await load_scripts(redis, scripts)
    lag = relay.Lag(settings.outbox_lag_limit_ms)
    publisher = Publisher(settings, tracing)
    handoff = DirectOutbox(redis, scripts, publisher, settings)
    supervisor = Supervisor()
    stack.push_async_callback(supervisor.start("watch", lambda: relay.watch(redis, handoff, settings, lag, reading)).end)
    await stack.enter_async_context(_relaying(scripts, settings, publisher, supervisor))
    stack.push_async_callback(supervisor.start("handoff", handoff.run).end)
    stack.push_async_callback(handoff.finish)

    store = Store(redis, reading, scripts, settings)
    catalogue = Catalogue(store.sale_names, store.sales, settings.sales_refresh_ms / 1000)
    # Orders have a bound of their own: a stampede that fills it must not refuse the payments and cancels that end holds.
    ordering, ending = Admission(settings.waiting_max), Admission(settings.waiting_max)
    decisions = Decisions(store, handoff, SaleCounters(metrics.SALE_ORDERS, metrics.SALES_MAX))
    reserving = around(tracing, script_call("reserve", settings.redis_url), decisions.reserve)
    settling = around(tracing, script_call("settle", settings.redis_url), decisions.settle)
    reserve = Batcher(reserving, settings.batch_max, ordering, store.lane)
    settle = Batcher(settling, settings.batch_max, ending, store.lane)
    cancel = Batcher(decisions.cancel, settings.batch_max, ending, store.lane)
    metrics.WAITING.set_function(lambda: ordering.waiting + ending.waiting)
    for batcher in (reserve, settle, cancel):
        stack.push_async_callback(batcher.finish)
    readiness = Readiness(redis, scripts, settings.redis_timeout_seconds, settings.require_durable_redis, supervisor)
    progress = Progress([batcher.age_seconds for batcher in (reserve, settle, cancel)], settings.redis_timeout_seconds)
    orders, paid = Orders(reserve, lag, settings, tracing), Payments(settle, webhook, settings, tracing)
    slots, scrapes = ReadSlots(settings.reads_max, settings.redis_timeout_seconds), Scrapes(readiness, catalogue)
    return Services(store, catalogue, slots, scrapes, cancel, progress, readiness, settings), {ORDER_PATH: orders, WEBHOOK_PATH: paid}


@asynccontextmanager
async def _relaying(scripts: Scripts, settings: Settings, publisher: Publisher, supervisor: Supervisor) -> AsyncIterator[None]:
    timeout_seconds = settings.redis_timeout_seconds + settings.relay_block_ms / 1000
    redis = open_redis(settings.redis_url, timeout_seconds, settings.shards + RELAY_CONNECTIONS)
    worker = relay.Relay(redis, scripts, settings, _instance(), publisher)
    relaying = supervisor.start("relay", worker.run)
    try:
        yield
    finally:
        worker.stop()
        await relaying.finish(settings.relay_block_ms / 1000 + settings.relay_publish_timeout_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await worker.leave()
        await redis.aclose()


def _instance() -> str:
    """A name no other gateway has, now or later: what a dead one held must look abandoned."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


def _on_problem(_: Request, error: Exception) -> Response:
    problem = problem_of(error)
    assert problem is not None  # noqa: S101 - Starlette calls this for Problem and GatewayError only
    return problem.response()


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code != 405:
        return Problem("not_found").response()
    # Starlette names the methods of the first route at this path; there may be one a method.
    methods = {method for route in ROUTES if route.path_regex.match(request.url.path) for method in route.methods or ()}
    return Problem("method_not_allowed", allow=", ".join(sorted(methods))).response()


def _on_gone(_: Request, __: Exception) -> Response:
    """The client left before its body was whole: nobody reads this answer."""
    return Problem("bad_request").response()


def _on_fault(request: Request, error: Exception) -> Response:
    traced = {"trace_id": request.state.trace_id} if hasattr(request.state, "trace_id") else {}
    log.error("request.failed", extra={"path": request.url.path, **traced}, exc_info=error)
    return Problem("internal").response()


_HANDLERS = {Problem: _on_problem, GatewayError: _on_problem, ClientDisconnect: _on_gone, HTTPException: _on_http, Exception: _on_fault}
