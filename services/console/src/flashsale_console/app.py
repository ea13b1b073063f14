"""The composition root: the routes, what they need, and the order in which it closes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from flashsale_console.access import Access, Operation, served
from flashsale_console.answers import SecureHeaders, on_http_exception
from flashsale_console.engine import Engine
from flashsale_console.histories import Histories
from flashsale_console.ledger import Ledger
from flashsale_console.live_sales import LiveSales
from flashsale_console.pages import (
    assets,
    attention,
    changes,
    exports,
    leaving,
    login,
    orders,
    refunds,
    returns,
    sale,
    sales,
    system,
    webhooks,
)
from flashsale_console.password_checks import PasswordChecks
from flashsale_console.render import compile_templates
from flashsale_console.services import Console
from flashsale_console.settings import Settings
from flashsale_console.users import Users
from flashsale_console.watch import Watch
from flashsale_core.probes import serve_probes

PUBLIC, VIEWER, MERCHANT = Access
OPERATIONS = (
    Operation("GET", "/assets/{name}", "asset", PUBLIC, assets.show),
    Operation("GET", "/login", "login", PUBLIC, login.show),
    Operation("POST", "/login", "log_in", PUBLIC, login.log_in),
    Operation("POST", "/logout", "log_out", VIEWER, login.log_out),
    Operation("GET", "/", "attention", VIEWER, attention.show),
    Operation("GET", "/live", "attention_live", VIEWER, attention.live, renews=False),
    Operation("GET", "/sales", "sales", VIEWER, sales.show),
    Operation("GET", "/sales/{sale_id}", "sale", VIEWER, sale.show),
    Operation("GET", "/sales/{sale_id}/live", "sale_live", VIEWER, sale.live, renews=False),
    Operation("GET", "/sales/{sale_id}/plots", "sale_plots", VIEWER, sale.plots, renews=False),
    Operation("GET", "/sales/{sale_id}/orders.csv", "export_orders", MERCHANT, exports.orders),
    Operation("GET", "/sales/{sale_id}/change", "ask_sale", MERCHANT, changes.ask),
    Operation("POST", "/sales/{sale_id}/change", "change_sale", MERCHANT, changes.carry_out),
    Operation("GET", "/orders", "orders", VIEWER, orders.search),
    Operation("GET", "/orders/{order_id}", "order", VIEWER, orders.show),
    Operation("GET", "/orders/{order_id}/return", "ask_return", MERCHANT, returns.ask),
    Operation("POST", "/orders/{order_id}/return", "return_order", MERCHANT, returns.carry_out),
    Operation("GET", "/orders/{order_id}/leave-paid", "ask_leave", MERCHANT, leaving.ask),
    Operation("POST", "/orders/{order_id}/leave-paid", "leave_paid", MERCHANT, leaving.carry_out),
    Operation("GET", "/refunds", "refunds", VIEWER, refunds.queue),
    Operation("GET", "/refunds.csv", "export_refunds", MERCHANT, exports.refunds_of_state),
    Operation("GET", "/refunds/{refund_id}", "refund", VIEWER, refunds.show),
    Operation("GET", "/refunds/{refund_id}/change", "ask_refund", MERCHANT, refunds.ask),
    Operation("POST", "/refunds/{refund_id}/change", "change_refund", MERCHANT, refunds.carry_out),
    Operation("GET", "/webhooks", "webhooks", VIEWER, webhooks.show),
    Operation("GET", "/changes", "changes", VIEWER, changes.list_changes),
    Operation("GET", "/system", "system", VIEWER, system.show),
    Operation("GET", "/system/live", "system_live", VIEWER, system.live, renews=False),
)


def create_app(settings: Settings) -> Starlette:
    """Raises SettingsError if the users file cannot be read."""
    app = Starlette(
        routes=[Route(operation.path, served(operation), methods=[operation.method]) for operation in OPERATIONS],
        lifespan=_lifespan,
        exception_handlers={HTTPException: on_http_exception},
        middleware=[Middleware(SecureHeaders)],
    )
    # A redirect would name the client's own Host header as its target.
    app.router.redirect_slashes = False
    app.state.settings, app.state.users = settings, Users(settings.users_file)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    compile_templates()
    async with AsyncExitStack() as opened:
        live, ledger, engine = LiveSales(settings), Ledger(settings), Engine(settings)
        for resource in (live, ledger, engine):
            opened.push_async_callback(resource.close)
        passwords = PasswordChecks()
        opened.callback(passwords.close)
        watch = Watch(ledger, live, engine, settings.metrics_urls)
        app.state.console = Console(settings, app.state.users, ledger, live, engine, watch, Histories(ledger), passwords)
        # Without Redis the ledger's pages work, and the attention page says so.
        opened.enter_context(serve_probes(settings.probe_host, settings.probe_port, ledger.check))
        yield
