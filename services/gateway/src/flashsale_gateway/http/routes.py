"""Every route but those of orders and payments: parse, call, map the result to an answer."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from flashsale_core import on_behalf
from flashsale_core.api_keys import ApiKeys
from flashsale_core.ids import OrderRef, is_sale_id, parse_order_ref
from flashsale_core.orders import KEPT, LETTERS, WAITING
from flashsale_core.records import OrderRecord
from flashsale_core.scripts import Cancel, Return
from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_gateway import metrics
from flashsale_gateway.batching import Batcher
from flashsale_gateway.errors import Unconfirmed
from flashsale_gateway.http import bodies, openapi, sale_documents, sale_ending
from flashsale_gateway.http.admin_audit import audited, audited_service
from flashsale_gateway.http.answers import CACHE_CONTROL, NO_STORE, SHARED, STATIC
from flashsale_gateway.http.body_schemas import STOCK_MAX, read_return, read_stock
from flashsale_gateway.http.callers import caller_of
from flashsale_gateway.http.catalogue import Catalogue
from flashsale_gateway.http.operations import Audience
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.read_limits import ReadSlots
from flashsale_gateway.http.scrapes import Scrapes
from flashsale_gateway.http.sessions import open_session
from flashsale_gateway.http.stock_conditions import etag, read_condition
from flashsale_gateway.identity.identities import Caller, Identities
from flashsale_gateway.readiness import Progress, Readiness
from flashsale_gateway.settings import Settings
from flashsale_gateway.store import Result, Store

PAGE_MAX = 1000
QUERY_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes call, opened by the composition root."""

    store: Store
    catalogue: Catalogue
    slots: ReadSlots
    scrapes: Scrapes
    cancel: Batcher[Cancel, Result]
    return_order: Batcher[Return, Result]
    progress: Progress
    readiness: Readiness
    settings: Settings
    identities: Identities
    admins: ApiKeys


async def show_order(request: Request) -> Response:
    services, order = _services(request), _order_ref(request)
    caller = caller_of(request.scope, services.identities)
    async with services.slots.slot():
        record = await _visible_order(services.store, order, caller)
    document = _order(order, record.state, record.quantity, record.deadline_ms)
    return _json(document)


async def cancel_order(request: Request) -> Response:
    services, order = _services(request), _order_ref(request)
    caller = caller_of(request.scope, services.identities)
    with audited_service(caller, "order.cancel", sale=order.sale_id, order_id=str(order)) as change:
        async with services.slots.slot():
            # The script compares the owner: a read before it has no fence, and would deny orders that a lost Redis is about to get back.
            result, quantity, deadline_ms = await services.cancel.submit(order.sale_id, Cancel(order.order_id, caller.user or ""))
        change.result = result
    metrics.CANCELS.labels(result).inc()
    match result:
        case "cancelled" | "replayed":
            return _json(_order(order, "cancelled", quantity, deadline_ms), headers=_replay_headers(result))
        case "refused":
            raise Problem("already_paid")
        case "gone":
            raise Problem("order_gone", "The order has expired or was returned")
        case _:
            async with services.slots.slot():
                raise await _missing_order(services.store, order)


async def return_order(request: Request) -> Response:
    """Take a paid order back: its refund is due, and with `restock` its units are for sale again."""
    services = _services(request)
    by, order = _administrator(request), _order_ref(request)
    body = read_return(await bodies.read_json(request.scope, request.receive, services.settings))
    with audited(by, "order.return", order.sale_id, order_id=str(order)) as change:
        try:
            result, letter, quantity, _, payment_id = await services.return_order.submit(
                order.sale_id, Return(order.order_id, body.restock, by)
            )
        except Unconfirmed:
            metrics.RETURNS.labels("unconfirmed").inc()
            raise
        change.result = result
    metrics.RETURNS.labels(result).inc()
    match result:
        case "returned" | "replayed":
            if letter == WAITING:
                await services.store.restock(order.sale_id, [order.order_id])
            document = {"orderId": str(order), "state": "returned", "productId": order.sale_id, "quantity": quantity}
            return _json(document | {"restocked": letter != KEPT, "paymentId": payment_id}, headers=_replay_headers(result))
        case "refused":
            raise Problem("not_paid", f"The order is {LETTERS[letter]}")
        case _:
            async with services.slots.slot():
                raise await _missing_order(services.store, order)


async def create_session(request: Request) -> Response:
    services = _services(request)
    return _json(await open_session(services.identities, request.scope, request.receive, services.settings))


async def list_sales(request: Request) -> Response:
    if len(request.scope["query_string"]) > QUERY_BYTES_MAX:
        raise Problem("bad_request", f"A query string has at most {QUERY_BYTES_MAX} bytes")
    after, limit = request.query_params.get("after", ""), _limit(request)
    documents = [snapshot.document for _, snapshot in await _services(request).catalogue.page(after, limit)]
    return _raw_json(b'{"sales":[%b]}' % b",".join(documents), cached=SHARED)


async def show_sale(request: Request) -> Response:
    sale_id = request.path_params["sale_id"]
    if not is_sale_id(sale_id):
        raise Problem("unknown_sale")
    services = _services(request)
    async with services.slots.slot():
        fields = await services.store.sale(sale_id)
        if not fields:
            raise await _missing_sale(services.store, sale_id)
    document = msgspec.json.encode(sale_documents.to_json(sale_id, fields))
    return _raw_json(document, headers={"etag": etag(fields["generation"], document)}, cached=SHARED)


async def set_stock(request: Request) -> Response:
    services = _services(request)
    by = _administrator(request)
    stock = read_stock(await bodies.read_json(request.scope, request.receive, services.settings))
    condition = read_condition(request.headers.getlist("if-match"), request.headers.get("idempotency-key"), stock.requestId)
    with audited(by, "sale.set", stock.productId) as change:
        definition = sale_documents.to_definition(stock, services.settings.payment_windows, condition)
        defined = await services.store.define(stock.productId, definition, by)
        change.result = defined.status
    match defined.status:
        case "created" | "changed" | "unchanged" | "replayed":
            if defined.sale.get("durability") == "confirmed":
                await services.store.wait_for_announcement(stock.productId, services.settings.confirm_timeout_seconds)
            headers = {"etag": etag(defined.sale["generation"])} | _replay_headers(defined.status)
            return _json(sale_documents.to_json(stock.productId, defined.sale), 201 if defined.status == "created" else 200, headers)
        case "generation_moved":
            generation = defined.sale["generation"]
            raise Problem("generation_moved", f"The sale has generation {generation}; read it again, and repeat", field="If-Match")
        case "unknown_sale":
            raise Problem("unknown_sale", "Only a sale that exists can be changed under a condition or by a difference; send stock")
        case "above_limit":
            raise Problem("bad_request", f"A sale has at most {STOCK_MAX} units", field="add")
        case "below_committed":
            committed = int(defined.sale["reserved"]) + int(defined.sale["sold"])
            raise Problem(
                "below_committed",
                f"{committed} units are reserved or sold; the stock cannot be less",
                field="stock" if stock.add is msgspec.UNSET else "add",
            )
        case "ends_before_start":
            raise sale_documents.contradicting_times(stock, defined.sale)
        case "not_owner":
            raise Problem("not_owner", f"The sale belongs to {defined.sale['owner']}; change it there")
        case _:
            raise Problem("closed", "The sale is closed and cannot be changed")


async def end_sale(request: Request) -> Response:
    """Close a sale and, without a mode, remove it if no hold is live; `mode=close` only closes it, and `mode=release` gives it up."""
    services, sale_id = _services(request), request.path_params["sale_id"]
    by = _administrator(request)
    mode = _end_mode(request)
    if not is_sale_id(sale_id):
        raise Problem("unknown_sale")
    with audited(by, f"sale.{mode}", sale_id) as change:
        ended = await sale_ending.end(services.store, sale_id, mode, by)
        change.result = ended.status
    match ended.status:
        case "closed" | "removed" | "released" | "holds_live":
            return _json(sale_ending.to_json(sale_id, ended), 202 if ended.status == "holds_live" else 200)
        case "not_owner":
            owner = (await services.store.sale(sale_id)).get("owner", "another owner")
            raise Problem("not_owner", f"The sale belongs to {owner}; end it there")
        case _:
            raise Problem("unknown_sale")


async def healthz(request: Request) -> Response:
    _services(request).progress.check()
    return _ok()


async def readyz(request: Request) -> Response:
    _services(request).progress.check()
    await _services(request).readiness.check()
    return _ok()


async def show_metrics(request: Request) -> Response:
    body, content_type = await _services(request).scrapes.get(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type, CACHE_CONTROL: NO_STORE})


async def openapi_document(request: Request) -> Response:
    body = _openapi(_audience(request), _services(request).settings)
    return Response(body, headers={CACHE_CONTROL: STATIC}, media_type="application/json")


async def docs(request: Request) -> Response:
    return HTMLResponse(_page(_audience(request)), headers={CACHE_CONTROL: STATIC})


ROUTES = [
    Route("/orders/{order_id}", show_order, methods=["GET"]),
    Route("/orders/{order_id}", cancel_order, methods=["DELETE"]),
    Route("/session", create_session, methods=["POST"]),
    Route("/sales", list_sales, methods=["GET"]),
    Route("/sales/{sale_id}", show_sale, methods=["GET"]),
    Route("/admin/stock", set_stock, methods=["POST"]),
    Route("/admin/orders/{order_id}/return", return_order, methods=["POST"]),
    Route("/admin/sales/{sale_id}", end_sale, methods=["DELETE"]),
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", show_metrics, methods=["GET"]),
    Route("/openapi.json", openapi_document, methods=["GET"]),
    Route("/docs", docs, methods=["GET"]),
    Route("/admin/openapi.json", openapi_document, methods=["GET"]),
    Route("/admin/docs", docs, methods=["GET"]),
]


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _audience(request: Request) -> Audience:
    """Whose document is asked for: with an admin port, that of administration is not served to buyers."""
    return Audience.ADMINISTRATION if request.url.path.startswith("/admin/") else Audience.SHOPS


@lru_cache(maxsize=len(Audience))
def _openapi(audience: Audience, settings: Settings) -> bytes:
    return msgspec.json.encode(openapi.document(audience, settings.quantity_max, settings.payment_windows))


@lru_cache(maxsize=len(Audience))
def _page(audience: Audience) -> str:
    return openapi.page(audience)


def _administrator(request: Request) -> str:
    """The name of the key that the request bears, and of the person for whom it asks. Raises Problem without a key."""
    name = _services(request).admins.name_of_bearer(request.headers.get("authorization", ""))
    if name is None:
        raise Problem("unauthorized")
    try:
        return on_behalf.with_person(name, request.headers.getlist(on_behalf.HEADER))
    except ValueError as error:
        raise Problem("bad_request", str(error), field=on_behalf.HEADER) from None


def _order_ref(request: Request) -> OrderRef:
    order = parse_order_ref(request.path_params["order_id"])
    if order is None:
        raise Problem("unknown_order", "An order id is a product id, a dot and 20 characters")
    return order


async def _visible_order(store: Store, order: OrderRef, caller: Caller) -> OrderRecord:
    """Raises Problem, the same for an order of somebody else as for none: nobody learns which orders exist."""
    record = await store.order(*order)
    if record is None or not caller.may_see(record.user_id):
        raise await _missing_order(store, order)
    return record


async def _missing_order(store: Store, order: OrderRef) -> Problem:
    if await store.is_removed(order.sale_id):
        return Problem("sale_removed", f"If order {order} was made, it is only in the ledger")
    return Problem("unknown_order", f"No order {order}")


async def _missing_sale(store: Store, sale_id: str) -> Problem:
    removed = is_sale_id(sale_id) and await store.is_removed(sale_id)
    return Problem("sale_removed" if removed else "unknown_sale")


def _end_mode(request: Request) -> str:
    mode = request.query_params.get("mode", "remove")
    if mode not in sale_ending.MODES:
        raise Problem("bad_request", "Must be close, remove or release", field="mode")
    return mode


def _limit(request: Request) -> int:
    raw = request.query_params.get("limit", "100")
    if not raw.isascii() or not raw.isdigit() or len(raw) > 4 or not 1 <= int(raw) <= PAGE_MAX:
        raise Problem("bad_request", f"Must be a whole number from 1 to {PAGE_MAX}", field="limit")
    return int(raw)


def _order(order: OrderRef, state: str, quantity: int, deadline_ms: int) -> dict[str, Any]:
    document = {"orderId": str(order), "state": str(state), "productId": order.sale_id, "quantity": quantity}
    return document | {"expiresAt": rfc3339_of_ms(deadline_ms)}


def _json(document: Any, status: int = 200, headers: dict[str, str] | None = None, cached: str = NO_STORE) -> Response:
    return _raw_json(msgspec.json.encode(document), status, headers, cached)


def _raw_json(body: bytes, status: int = 200, headers: dict[str, str] | None = None, cached: str = NO_STORE) -> Response:
    return Response(body, status, {CACHE_CONTROL: cached, **(headers or {})}, "application/json")


def _replay_headers(result: str) -> dict[str, str]:
    return {"idempotent-replayed": "true"} if result == "replayed" else {}


def _ok() -> Response:
    return Response(b"ok\n", headers={CACHE_CONTROL: NO_STORE}, media_type="text/plain")
