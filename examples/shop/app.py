"""A shop that sells by the engine: buy, pay, follow the order. Its pages work with and without JavaScript."""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from examples.shop import pages
from examples.shop.back_office import BackOffice
from examples.shop.engine import Engine
from examples.shop.providers import PaymentError, Provider, SimulatedProvider, Stripe, authorised_by_stripe
from examples.shop.settings import Settings
from examples.shop.store import Order, Store
from examples.shop.till import Till
from flashsale_client import Bought, Json, Patience, Wish, buy

BUY_JS = Path(__file__).parents[2] / "clients" / "javascript" / "buy.js"
BUY_SECONDS = 10.0
COOKIE = "shop_buyer"
log = logging.getLogger("shop")


class Shop:
    def __init__(self, settings: Settings, provider: Provider | None = None) -> None:
        self.settings = settings
        self.store = Store(settings.database)
        self.engine = Engine(settings)
        provider = provider or (Stripe(settings) if settings.stripe_key else SimulatedProvider())
        self.till = Till(self.store, self.engine, provider, BackOffice(settings) if settings.ledger_url else None)
        self._events = [Webhook(secret) for secret in settings.events_secrets]

    def front(self, request: Request) -> Response:
        return _recognised(request, HTMLResponse(pages.front(self.settings)))

    def credentials(self, request: Request) -> Response:
        """For buy() in the browser."""
        return _recognised(request, JSONResponse(self.engine.credentials(_buyer(request)), headers={"cache-control": "no-store"}))

    def sign_in(self, request: Request) -> Response:
        """For a buyer on the engine's page of a sale, who comes back with a token. It is in the fragment, which no server sees."""
        token = self.engine.credentials(_buyer(request)).get("token")
        if not token or not self.settings.storefront_url:
            return PlainTextResponse("This shop has no buyer tokens, or no page of the engine", 404)
        sale = quote(request.query_params.get("to", ""), safe="")
        return _recognised(request, RedirectResponse(f"{self.settings.storefront_url}/s/{sale}#token={token}", 303))

    def buy(self, request: Request) -> Response:
        """The button without JavaScript: the shop's server buys for the buyer."""
        buyer = _buyer(request)
        known = self.engine.credentials(buyer)
        wish = Wish(self.settings.engine_url, self.settings.product, token=known.get("token", ""), user_id=known.get("userId", ""))
        outcome = buy(wish, Patience(BUY_SECONDS))
        if isinstance(outcome, Bought):
            return _recognised(request, RedirectResponse(f"/o/{outcome.order['orderId']}", 303))
        return _recognised(request, HTMLResponse(pages.refused(outcome.problem), 409))

    async def forward(self, request: Request) -> Response:
        """An order of a browser, for the engine."""
        try:
            answer = await run_in_threadpool(self.engine.forward, await request.body(), request.headers)
        except OSError:
            return PlainTextResponse("the engine does not answer", 502)
        kept = {name: answer.headers[name] for name in ("content-type", "retry-after", "idempotent-replayed") if name in answer.headers}
        return Response(answer.body, answer.status, kept)

    def order(self, request: Request) -> Response:
        order = self._order(request)
        if order is None:
            return PlainTextResponse("There is no such order", 404)
        storefront, sale = self.settings.storefront_url, order.order_id.rpartition(".")[0]
        back = f"{storefront}/s/{quote(sale, safe='')}" if storefront else ""
        return HTMLResponse(pages.order(order, self.engine.order(order.order_id, order.buyer), back))

    def pay(self, request: Request) -> Response:
        order = self._order(request)
        if order is None:
            return PlainTextResponse("There is no such order", 404)
        try:
            return RedirectResponse(self.till.begin(order), 303)
        except PaymentError as error:
            log.warning("payment of %s: %s", order.order_id, error)
            return HTMLResponse(pages.refused({"title": "The payment cannot begin now; try again"}), 503)

    async def stripe(self, request: Request) -> Response:
        body, signature = await request.body(), request.headers.get("stripe-signature", "")
        try:
            authorised = authorised_by_stripe(body, signature, self.settings.stripe_webhook_secret)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        order = self.store.get(authorised[0]) if authorised else None
        if authorised and order:
            await run_in_threadpool(self.till.authorised, order, authorised[1])
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        """The engine's webhooks. Any answer but 2xx brings the event again."""
        event = self._verified(await request.body(), dict(request.headers))
        if event is None:
            return PlainTextResponse("no signature fits", 401)
        await run_in_threadpool(self.till.apply, event)
        return Response(status_code=204)

    async def reconcile(self) -> None:
        """For ever: what no webhook has brought."""
        while True:
            try:
                await run_in_threadpool(self.till.reconcile)
            except OSError as error:
                log.warning("reconciliation waits: %s", error)
            except Exception:
                # Broad on purpose: a fault of one round must not end all later ones, which nobody would notice.
                log.exception("reconciliation failed")
            await asyncio.sleep(self.settings.reconcile_seconds)

    def _order(self, request: Request) -> Order | None:
        """The buyer's own order. The engine checks the owner of an order that the shop has not seen yet."""
        order_id, buyer = request.path_params["order_id"], _buyer(request)
        known = self.store.get(order_id)
        if known is None and (shown := self.engine.order(order_id, buyer)):
            amount = self.settings.amount_minor * shown["quantity"]
            self.store.add(Order(order_id, buyer, shown["quantity"], amount, self.settings.currency))
            known = self.store.get(order_id)
        return known if known and known.buyer == buyer else None

    def _verified(self, body: bytes, headers: dict[str, str]) -> Json | None:
        for webhook in self._events:
            try:
                event: Json = webhook.verify(body, headers)
            except WebhookVerificationError:
                continue
            return event
        return None


def create_app(shop: Shop) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        reconciling = asyncio.create_task(shop.reconcile())
        try:
            yield
        finally:
            reconciling.cancel()

    routes: list[tuple[str, str, Callable[..., Any]]] = [
        ("GET", "/", shop.front),
        ("GET", "/credentials", shop.credentials),
        ("GET", "/sign-in", shop.sign_in),
        ("POST", "/buy", shop.buy),
        ("POST", "/order", shop.forward),
        ("GET", "/o/{order_id}", shop.order),
        ("POST", "/o/{order_id}/pay", shop.pay),
        ("POST", "/stripe", shop.stripe),
        ("POST", "/events", shop.events),
        ("GET", "/buy.js", lambda _: FileResponse(BUY_JS, media_type="text/javascript")),
    ]
    return Starlette(routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in routes], lifespan=lifespan)


def _buyer(request: Request) -> str:
    """Who buys. A real shop has a login; here each browser is a buyer, known by a secret in its cookie."""
    secret = request.cookies.get(COOKIE) or request.scope.setdefault("new_buyer", secrets.token_urlsafe(24))
    return hashlib.sha256(secret.encode()).hexdigest()[:24]


def _recognised(request: Request, response: Response) -> Response:
    """The response, which also sets the cookie of a new buyer."""
    if secret := request.scope.get("new_buyer"):
        response.set_cookie(COOKIE, secret, httponly=True, samesite="lax", max_age=30 * 86_400)
    return response
