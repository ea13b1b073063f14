"""The composition root: the parts of the gateway, what it opens, and the order in which it closes."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from flashsale_core.api_keys import ApiKeys
from flashsale_core.background import end_background
from flashsale_core.late_lookups import ignore_late_lookups
from flashsale_core.scripts import load_scripts, read_scripts
from flashsale_core.semconv import script_call
from flashsale_core.supervise import Supervisor
from flashsale_core.tracing import configure_tracing
from flashsale_gateway import metrics
from flashsale_gateway.attester import Attester
from flashsale_gateway.batching import Admission, Batcher
from flashsale_gateway.decide import Decisions
from flashsale_gateway.ending import Ending
from flashsale_gateway.history import History
from flashsale_gateway.http.catalogue import Catalogue
from flashsale_gateway.http.client_buffers import ClientBuffers
from flashsale_gateway.http.cors import Cors, is_preflight
from flashsale_gateway.http.endpoints import Endpoints
from flashsale_gateway.http.error_handlers import ERROR_HANDLERS
from flashsale_gateway.http.ports import INTERNAL_PATHS, internal_path, is_for_administration, is_for_buyers, is_for_pages
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.read_limits import ReadSlots, TurnLimiter
from flashsale_gateway.http.routes import ROUTES, Services
from flashsale_gateway.http.scrapes import Scrapes
from flashsale_gateway.identity.opening import open_identities
from flashsale_gateway.orders import PATH as ORDER_PATH
from flashsale_gateway.orders import Orders
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.monitor import Lag, Monitor
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.relay import Relay
from flashsale_gateway.payments import PATH as WEBHOOK_PATH
from flashsale_gateway.payments import Payments
from flashsale_gateway.readiness import Progress, Readiness
from flashsale_gateway.refund_reports import RefundReports
from flashsale_gateway.sale_counters import SaleCounters
from flashsale_gateway.settings import Settings
from flashsale_gateway.spans import with_spans
from flashsale_gateway.store import Store
from flashsale_redis import open_redis

RELAY_CONNECTIONS = 3
"""In addition to one for each blocking read; on a cluster there may be one such read per shard."""
SHARED_READ_CONNECTIONS = 4
"""In addition to FLASHSALE_READS_MAX: one each for the names of the sales, the sales, the monitor and the attester."""
NOT_FOUND = Problem("not_found").response()
log = logging.getLogger(__name__)


class Gateway:
    """The ASGI application: orders and payments go to their endpoints, everything else to Starlette."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._endpoints: Endpoints = {}
        self.cors = Cors(settings.cors_origins) if settings.cors_origins else None
        self.client_buffers = ClientBuffers()
        # A limiter each, so that no operator or probe waits behind a crowd of buyers.
        self._limiters = {path: TurnLimiter() for path in ("", *INTERNAL_PATHS)}
        self._starlette = Starlette(routes=ROUTES, lifespan=self._lifespan, exception_handlers=ERROR_HANDLERS)
        # A redirect would name the client's own Host header as its target, would leave TLS and could be cached.
        self._starlette.router.redirect_slashes = False

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def endpoints(self) -> Endpoints:
        """By path. They exist while the lifespan lasts, and no connection is accepted before."""
        return self._endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._starlette(scope, receive, send)
        elif self.cors is None or not is_for_pages(scope["path"]):
            await self._route(scope, receive, send)
        elif is_preflight(scope):
            await self._answer(self.cors.answer_preflight, "", scope, receive, self.cors.with_headers(scope, send))
        else:
            await self._route(scope, receive, self.cors.with_headers(scope, send))

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if endpoint := self._endpoints.get(scope["path"]):
            await endpoint(scope, receive, send)
        elif self._settings.admin_port and not is_for_buyers(scope["path"]):
            await self._answer(NOT_FOUND, "", scope, receive, send)
        else:
            await self._answer(self._starlette, internal_path(scope["path"]), scope, receive, send)

    async def serve_admin(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application of the admin port."""
        served = is_for_administration(scope["path"])
        await self._answer(self._starlette if served else NOT_FOUND, internal_path(scope["path"]), scope, receive, send)

    async def _answer(self, app: ASGIApp, limiter: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._limiters[limiter].turn():
                await app(scope, receive, send)
        except Problem as problem:
            # The connection is closed: few new ones are accepted in a turn, so a crowd cannot spend the loop on refusals.
            start, body = problem.answer.messages()
            start["headers"].append((b"connection", b"close"))
            await send(start)
            await send(body)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        ignore_late_lookups(asyncio.get_running_loop())
        async with AsyncExitStack() as stack:
            app.state.services, self._endpoints = await _open(self._settings, stack)
            yield


async def _open(settings: Settings, stack: AsyncExitStack) -> tuple[Services, Endpoints]:
    """Open everything. The stack closes it in reverse: first what serves requests, last what they need (`Ending` has the order)."""
    stack.push_async_callback(end_background)
    scripts = read_scripts(settings.lua_dir)
    webhooks = tuple(map(Webhook, settings.webhook_secrets))
    tracing = configure_tracing("flashsale-gateway")
    stack.callback(tracing.shutdown)
    redis = _redis(settings, stack, settings.redis_timeout_seconds, settings.redis_connections_max)
    reading = _redis(settings, stack, settings.redis_timeout_seconds, settings.reads_max + SHARED_READ_CONNECTIONS)
    with suppress(RedisError, OSError):
        # Redis may start later than the gateway: then readiness loads the scripts.
        await load_scripts(redis, scripts)
    history, name = History(settings.shards, settings.installation), _consumer_name()
    lag = Lag(settings.outbox_lag_limit_ms)
    publisher = Publisher(settings, tracing)
    outbox = DirectOutbox(redis, scripts, publisher, settings, history.known)
    blocking = _redis(settings, stack, settings.relay_read_seconds, settings.shards + RELAY_CONNECTIONS)
    relay = Relay(blocking, scripts, settings, name, publisher)
    attester = Attester(reading, scripts, settings, history, outbox, name)
    supervisor = Supervisor()
    stack.push_async_callback(supervisor.end)
    supervisor.start("watch", Monitor((redis, reading), outbox, settings, lag).run)
    supervisor.start("handoff", outbox.run)
    attesting, relaying = supervisor.start("attest", attester.run), supervisor.start("relay", relay.run)

    store = Store(redis, reading, scripts, settings, history)
    catalogue = Catalogue(store.sale_names, store.sales, settings.sales_refresh_ms / 1000)
    # Orders have a limit of their own: a stampede that reaches it must not refuse the payments and cancellations that end holds.
    ordering, ending = Admission(settings.waiting_max), Admission(settings.waiting_max)
    decisions = Decisions(store, outbox, SaleCounters(metrics.SALE_ORDERS, metrics.SALES_MAX))
    reserving = with_spans(tracing, script_call("reserve", settings.redis_url), decisions.reserve)
    settling = with_spans(tracing, script_call("settle", settings.redis_url), decisions.settle)
    reserve = Batcher(reserving, settings.batch_max, ordering, store.lane)
    settle = Batcher(settling, settings.batch_max, ending, store.lane)
    cancel = Batcher(decisions.cancel, settings.batch_max, ending, store.lane)
    return_ = Batcher(decisions.return_orders, settings.batch_max, ending, store.lane)
    metrics.WAITING.set_function(lambda: ordering.waiting + ending.waiting)
    batchers = (reserve, settle, cancel, return_)
    readiness = Readiness(redis, scripts, settings.redis_timeout_seconds, settings.require_durable_redis, supervisor, history)
    progress = Progress([batcher.age_seconds for batcher in batchers], settings.redis_timeout_seconds)
    reports = RefundReports(publisher, settings.confirm_timeout_seconds)
    parts = (publisher, outbox, relay, relaying, attester, attesting)
    stack.push_async_callback(Ending(batchers, reports, *parts, settings.leave_timeout_seconds).run)
    identities, admins = open_identities(settings.identity, supervisor, stack), ApiKeys(settings.admin_keys)
    orders, paid = Orders(reserve, lag, settings, tracing, identities), Payments(settle, webhooks, settings, tracing, reports)
    slots, scrapes = ReadSlots(settings.reads_max, settings.redis_timeout_seconds), Scrapes(readiness, catalogue)
    services = Services(store, catalogue, slots, scrapes, cancel, return_, progress, readiness, settings, identities, admins)
    return services, {ORDER_PATH: orders, WEBHOOK_PATH: paid}


def _redis(settings: Settings, stack: AsyncExitStack, timeout_seconds: float, connections_max: int) -> Redis:
    """A client of its own connections, which the stack closes."""
    redis = open_redis(settings.redis_url, timeout_seconds, connections_max)
    stack.push_async_callback(redis.aclose)
    return redis


def _consumer_name() -> str:
    """A consumer name that no other gateway has, now or later: entries held by a dead gateway must not seem to be held by a live one."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
