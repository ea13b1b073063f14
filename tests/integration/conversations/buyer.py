"""The well-formed requests of one conversation, each with its expected answer: a model of one buyer's orders."""

import base64
import hmac
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

from flashsale_core.ids import order_id
from tests.integration.conversations.conversation import Expected, Order, Request

JSON = b"application/json"
ORDER, WEBHOOK = b"/order", b"/payments/webhook"
UPGRADE = ((b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAEAAEAAAAIAAAABAAMAAABk"))
"""Java's HttpClient offers HTTP/2 like this in its first request."""
HARMLESS = ((b"X-Shop", b"one"), (b"Accept", b"*/*"), (b"User-Agent", b"conversations"), (b"Cookie", b"a=" + b"b" * 500))
TRAILERS = ((b"X-Sum", b"1"), (b"Idempotency-Key", b"of-a-trailer"), (b"Content-Type", b"text/plain"), (b"Content-Type", JSON))
Fields = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class World:
    """The sales and secrets that conversations use. Sale ids of equal length give conversations of equal shape."""

    sale: str
    """Has more units than all conversations order."""
    scarce_sale: str
    order_id_key: bytes
    webhook_key: bytes
    now_seconds: float
    """Seconds since 1970, the timestamp of webhooks: the gateway refuses those older than five minutes."""


@dataclass
class _BuyerOrder:
    """An order of this buyer, and its expected state."""

    user: str
    request_id: str
    order: Order
    state: str = "reserved"
    payment: bytes = b""

    @property
    def ref(self) -> str:
        return f"{self.order.sale}.{self.order.order_id}"


@dataclass
class Buyer:
    world: World
    random: Random
    number: int
    """The number of the conversation, which is part of the names of users and requests."""
    _own: list[_BuyerOrder] = field(default_factory=list)
    _named: int = 0

    def request(self) -> Request:
        """Any request after which the connection stays open."""
        kinds = {
            self._new: 8,
            self._again: 2,
            self._refused: 4,
            self._trailers: 2,
            self._scarce: 1,
            self._pay: 3,
            self._read: 4,
            self._cancel: 1,
            self._upgrade: 1,
        }
        request: Request = self.random.choices(list(kinds), list(kinds.values()))[0]()
        if self.random.random() < 0.03:
            # A server should ignore an empty line before a request (RFC 9112, 2.2).
            return _behind(b"\r\n", request)
        return request

    def last(self) -> Request:
        """A request whose answer closes the connection."""
        if self.random.random() < 0.5:
            return (
                self.order(version=b"1.0", closes=True)
                if self.random.random() < 0.5
                else self._get(b"/healthz", OK, version=b"1.0", closes=True)
            )
        close = ((b"Connection", self.random.choice([b"close", b"Close"])),)
        return (
            self.order(fields=close, closes=True) if self.random.random() < 0.5 else self._get(b"/healthz", OK, fields=close, closes=True)
        )

    def order(self, *, fields: Fields = (), version: bytes = b"1.1", closes: bool = False, expects: bool = False) -> Request:
        """A new order with a Content-Length."""
        own = self._new_own()
        more = ((b"Expect", b"100-continue"),) if expects else ()
        body = self._document(own)
        return self._post(ORDER, body, _accepted(own), own.order, fields=(*fields, *more), version=version, closes=closes, expects=expects)

    def healthz(self) -> Request:
        return self._get(b"/healthz", OK)

    # Orders.

    def _new(self) -> Request:
        own = self._new_own()
        key = own.request_id.encode()
        how = self.random.choice(["body", "body", "header", "quoted", "both", "query", "parameters", "chunked", "expects"])
        if how == "expects":
            return self._post(ORDER, self._document(own), _accepted(own), own.order, fields=((b"Expect", b"100-continue"),), expects=True)
        named = {"header": key, "quoted": b'"%b"' % key, "both": key}.get(how)
        return self._post(
            ORDER + (b"?from=mail" if how == "query" else b""),
            self._document(own, without=("requestId",) if how in {"header", "quoted"} else ()),
            _accepted(own),
            own.order,
            fields=((b"Idempotency-Key", named),) if named else (),
            media_type=b"Application/JSON; charset=utf-8" if how == "parameters" else JSON,
            chunked=how == "chunked",
        )

    def _again(self) -> Request:
        own = self._any_own()
        if own is None:
            return self._new()
        expected = problem(410, "order_gone") if own.state == "cancelled" else _order(own, status="success", replayed=True)
        return self._post(ORDER, self._document(own), expected, own.order, chunked=self.random.random() < 0.2)

    def _refused(self) -> Request:
        own = self._any_own()
        kinds = ["unknown sale", "nothing", "too many", "no id", "other id", "no JSON", "no text", "media type", "no media type", "large"]
        kind = self.random.choice([*kinds, "conflict"] if own is not None and own.state != "cancelled" else kinds)
        if kind == "conflict" and own is not None:
            return self._post(ORDER, self._document(own, quantity=own.order.quantity + 1), problem(422, "request_conflict"))
        return self._refused_as(kind, self._unsent_order())

    def _refused_as(self, kind: str, own: _BuyerOrder) -> Request:
        chunked = self.random.random() < 0.3
        match kind:
            case "unknown sale":
                return self._post(ORDER, self._document(own, productId="no-such-sale"), problem(404, "unknown_sale"), chunked=chunked)
            case "nothing" | "too many":
                body = self._document(own, quantity=0 if kind == "nothing" else 101)
                return self._post(ORDER, body, problem(400, "bad_request", "quantity"), chunked=chunked)
            case "no id":
                return self._post(
                    ORDER, self._document(own, without=("requestId",)), problem(400, "bad_request", "requestId"), chunked=chunked
                )
            case "other id":
                other = ((b"Idempotency-Key", b"another"),)
                return self._post(ORDER, self._document(own), problem(400, "bad_request", "requestId"), fields=other, chunked=chunked)
            case "no JSON" | "no text":
                body = b'{"userId": ' if kind == "no JSON" else b"\xff" * 30
                return self._post(ORDER, body, problem(400, "bad_request"), chunked=chunked)
            case "large":
                return self._post(ORDER, b" " * 17_000, problem(413, "body_too_large"))
            case _:
                media_type = b"text/plain" if kind == "media type" else b""
                return self._post(
                    ORDER, self._document(own), problem(415, "unsupported_media_type"), media_type=media_type, chunked=chunked
                )

    def _trailers(self) -> Request:
        """Trailers behind a body do not count as headers of its request."""
        trailers = self.random.sample(TRAILERS, self.random.randint(1, 2))
        # Plain uvicorn reads trailers as headers when they arrive early.
        comparable = all(name == b"X-Sum" for name, _ in trailers)
        how = self.random.choice(["accepted", "no id", "no media type"])
        if how == "accepted":
            own = self._new_own()
            return self._post(ORDER, self._document(own), _accepted(own), own.order, chunked=True, trailers=trailers, comparable=comparable)
        body = self._document(self._unsent_order(), without=("requestId",) if how == "no id" else ())
        expected = problem(400, "bad_request", "requestId") if how == "no id" else problem(415, "unsupported_media_type")
        media_type = JSON if how == "no id" else b""
        return self._post(ORDER, body, expected, media_type=media_type, chunked=True, trailers=trailers, comparable=comparable)

    def _scarce(self) -> Request:
        own = self._unsent_order(self.world.scarce_sale)
        expected = (*_accepted(own), *problem(409, "out_of_stock"))
        return self._post(ORDER, self._document(own), expected, own.order, comparable=False)

    def _upgrade(self) -> Request:
        if self.random.random() < 0.5:
            return self._get(b"/healthz", OK, fields=UPGRADE, comparable=False)
        own = self._new_own()
        return self._post(ORDER, self._document(own), _accepted(own), own.order, fields=UPGRADE, comparable=False)

    # Payments, cancels, reads.

    def _pay(self) -> Request:
        own = next((own for own in self._own if own.state != "cancelled"), None)
        if own is None or self.random.random() < 0.3:
            return self._pay_wrongly()
        if not own.payment:
            own.payment, own.state = self._payment(own.ref), "paid"
            return self._webhook(own.payment, (Expected(200, (("result", "paid"),)),))
        return self._webhook(own.payment, (Expected(200, (("result", "replayed"),), replayed=True),))

    def _pay_wrongly(self) -> Request:
        body = self._payment(f"{self.world.sale}.{self._unsent_order().order.order_id}")
        if self.random.random() < 0.5:
            return self._webhook(body, (Expected(401, (("code", "bad_signature"),)),), signature=b"v1,AAAA")
        return self._post(WEBHOOK, body, (Expected(401, (("code", "bad_signature"), ("field", "webhook-id"))),))

    def _payment(self, ref: str) -> bytes:
        data = {"orderId": ref, "paymentId": f"pay-{self.world.sale}-{self._name()}", "amountMinor": 999, "currency": "EUR"}
        return json.dumps({"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": data}).encode()

    def _webhook(self, body: bytes, expected: tuple[Expected, ...], signature: bytes = b"") -> Request:
        message_id, moment = f"msg-{self._name()}".encode(), b"%d" % self.world.now_seconds
        mac = hmac.digest(self.world.webhook_key, b"%b.%b.%b" % (message_id, moment, body), "sha256")
        signed = signature or b"v1," + base64.b64encode(mac)
        fields = ((b"webhook-id", message_id), (b"webhook-timestamp", moment), (b"webhook-signature", signed))
        return self._post(WEBHOOK, body, expected, fields=fields, chunked=self.random.random() < 0.2)

    def _cancel(self) -> Request:
        own = self._any_own()
        if own is None:
            return self._get(b"/orders/nothing", problem(404, "unknown_order"), method=b"DELETE")
        path = b"/orders/" + own.ref.encode()
        if own.state == "paid":
            return self._get(path, problem(409, "already_paid"), method=b"DELETE")
        replayed, own.state = own.state == "cancelled", "cancelled"
        return self._get(path, _order(own, replayed=replayed), method=b"DELETE")

    def _read(self) -> Request:
        own, sale = self._any_own(), self.world.sale
        kinds = {
            "health": (b"/healthz", OK),
            "sale": (f"/sales/{sale}".encode(), (Expected(200, (("productId", sale), ("state", "open"))),)),
            "no sale": (b"/sales/no-such-sale", problem(404, "unknown_sale")),
            "no order": (f"/orders/{sale}.{self._unsent_order().order.order_id}".encode(), problem(404, "unknown_order")),
            "nothing": (b"/nothing/here", problem(404, "not_found")),
            "method": (ORDER, problem(405, "method_not_allowed")),
        }
        if own is not None and self.random.random() < 0.5:
            return self._get(f"/orders/{own.ref}".encode(), _order(own))
        return self._get(*self.random.choice(list(kinds.values())))

    # This buyer's orders.

    def _new_own(self) -> _BuyerOrder:
        self._own.append(own := self._unsent_order())
        return own

    def _unsent_order(self, sale: str = "") -> _BuyerOrder:
        name, sale = self._name(), sale or self.world.sale
        user, request_id = f"u{name}", f"r{name}"
        made = order_id(self.world.order_id_key, sale, user, request_id)
        return _BuyerOrder(user, request_id, Order(sale, made, self.random.randint(1, 3)))

    def _any_own(self) -> _BuyerOrder | None:
        return self.random.choice(self._own) if self._own else None

    def _name(self) -> str:
        self._named += 1
        return f"{self.number}.{self._named}"

    def _document(self, own: _BuyerOrder, *, without: tuple[str, ...] = (), **changes: object) -> bytes:
        asked = {"userId": own.user, "productId": own.order.sale, "quantity": own.order.quantity, "requestId": own.request_id}
        left = [(name, value) for name, value in (asked | changes).items() if name not in without]
        self.random.shuffle(left)
        return json.dumps(dict(left), indent=self.random.choice([None, None, 2])).encode()

    # On the wire.

    def _post(
        self,
        path: bytes,
        body: bytes,
        expected: tuple[Expected, ...],
        order: Order | None = None,
        *,
        fields: Fields = (),
        media_type: bytes = JSON,
        version: bytes = b"1.1",
        chunked: bool = False,
        trailers: Fields = (),
        closes: bool = False,
        expects: bool = False,
        comparable: bool = True,
    ) -> Request:
        typed = ((b"Content-Type", media_type),) if media_type else ()
        framed = (b"Transfer-Encoding", b"chunked") if chunked else (b"Content-Length", b"%d" % len(body))
        head = self._head(b"POST", path, version, [*typed, framed, *fields])
        data = head + (self._chunks(body, trailers) if chunked else body)
        return Request(data, len(head), expected, order, closes, expects, comparable)

    def _get(
        self,
        path: bytes,
        expected: tuple[Expected, ...],
        *,
        method: bytes = b"GET",
        fields: Fields = (),
        version: bytes = b"1.1",
        closes: bool = False,
        comparable: bool = True,
    ) -> Request:
        head = self._head(method, path, version, list(fields))
        return Request(head, len(head), expected, closes=closes, comparable=comparable)

    def _head(self, method: bytes, path: bytes, version: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
        fields += self.random.sample(HARMLESS, self.random.randint(0, 2))
        self.random.shuffle(fields)
        case = self.random.choice(["", "", "lower", "upper"])
        lines = [b"%b: %b\r\n" % (_cased(name, case), value) for name, value in fields]
        return b"%b %b HTTP/%b\r\nHost: shop\r\n%b\r\n" % (method, path, version, b"".join(lines))

    def _chunks(self, body: bytes, trailers: Fields) -> bytes:
        cuts = [0, *sorted(self.random.sample(range(1, len(body)), min(self.random.randint(0, 3), len(body) - 1))), len(body)]
        extension = self.random.choice([b"", b"", b";a=b"])
        chunks = [b"%x%b\r\n%b\r\n" % (end - start, extension, body[start:end]) for start, end in itertools.pairwise(cuts)]
        return b"".join([*chunks, b"0\r\n", *[b"%b: %b\r\n" % field for field in trailers], b"\r\n"])


OK = (Expected(200, text=b"ok\n"),)


def _cased(name: bytes, case: str) -> bytes:
    """The name in another case, which means the same."""
    return name.lower() if case == "lower" else name.upper() if case == "upper" else name


def problem(status: int, code: str, named: str = "") -> tuple[Expected, ...]:
    return (Expected(status, (("code", code), *((("field", named),) if named else ()))),)


def _accepted(own: _BuyerOrder) -> tuple[Expected, ...]:
    return _order(own, status="success")


def _order(own: _BuyerOrder, *, replayed: bool = False, **more: str) -> tuple[Expected, ...]:
    fields = {"orderId": own.ref, "state": own.state, "productId": own.order.sale, "quantity": own.order.quantity, **more}
    return (Expected(200, tuple(fields.items()), replayed=replayed),)


def _behind(before: bytes, request: Request) -> Request:
    return replace(request, data=before + request.data, head_bytes=len(before) + request.head_bytes)
