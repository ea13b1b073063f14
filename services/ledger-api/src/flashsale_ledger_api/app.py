"""The composition root: the routes, what they need, and the order in which it closes."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flashsale_core.api_keys import ApiKeys
from flashsale_core.errors import Retryable
from flashsale_core.probes import serve_probes
from flashsale_ledger_api import event_routes, metrics, payment_routes, refund_routes, reported_routes, return_routes
from flashsale_ledger_api.answers import ERROR_HANDLERS, of_problem, problem_of
from flashsale_ledger_api.ledger import Ledger
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.requests import authorize
from flashsale_ledger_api.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]
OPERATIONS: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", "/admin/refunds", "list_refunds", refund_routes.list_refunds),
    ("GET", "/admin/refunds/{refund_id}", "show_refund", refund_routes.show_refund),
    ("POST", "/admin/refunds/{refund_id}", "change_refund", refund_routes.change_refund),
    ("POST", "/admin/orders/{order_id}/return", "return_order", return_routes.return_order),
    # An id of a provider may have a slash.
    ("GET", "/admin/orders/{order_id}/payments/{payment_id:path}", "show_payment", payment_routes.show_payment),
    ("GET", "/admin/reported-refunds", "list_reported_refunds", reported_routes.list_reported_refunds),
    ("POST", "/admin/orders/{order_id}/leave-paid", "leave_order_paid", reported_routes.leave_order_paid),
    ("GET", "/admin/events", "list_events", event_routes.list_events),
)
"""Method, path, name for metrics and documents, and handler."""


def create_app(settings: Settings) -> Starlette:
    app = Starlette(
        routes=[Route(path, _served(name, handler), methods=[method]) for method, path, name, handler in OPERATIONS],
        lifespan=_lifespan,
        exception_handlers=ERROR_HANDLERS,
    )
    # A redirect would name the client's own Host header as its target.
    app.router.redirect_slashes = False
    app.state.settings, app.state.keys = settings, ApiKeys(settings.admin_keys)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    ledger = Ledger(settings)
    app.state.ledger = ledger
    try:
        with serve_probes(settings.probe_host, settings.probe_port, ledger.check):
            yield
    finally:
        await ledger.close()


def _served(name: str, handler: Handler) -> Handler:
    """The handler, for requests with an admin key, with its refusals rendered, and measured."""

    async def handle(request: Request) -> Response:
        started, code = time.perf_counter(), 500
        try:
            response = await _answer(handler, request)
            code = response.status_code
        finally:
            metrics.REQUESTS.labels(name, str(code)).inc()
            metrics.REQUEST_SECONDS.labels(name).observe(time.perf_counter() - started)
        return response

    return handle


async def _answer(handler: Handler, request: Request) -> Response:
    try:
        request.state.who = authorize(request)
        return await handler(request)
    except (Problem, Retryable) as error:
        return of_problem(problem_of(error))
