"""Sends the crowd's requests to the gateways, each to one of them, and notes every answer in the history."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import aiohttp
import msgspec

from flashsale_chaos.crowd.proofs import Headers
from flashsale_chaos.crowd.webhooks import Signer
from flashsale_chaos.history import NO_ANSWER, Ask, Call, History
from flashsale_core.timestamps import to_ms

JSON = {"content-type": "application/json"}
REPLAYED = "idempotent-replayed"


class Shop:
    def __init__(
        self, session: aiohttp.ClientSession, gateways: Sequence[str], signer: Signer, admin_token: str, history: History, rng: Random
    ) -> None:
        """`gateways` are base URLs."""
        self._session, self._gateways, self._rng = session, gateways, rng
        self._signer, self._history = signer, history
        self._admin = {**JSON, "authorization": f"Bearer {admin_token}"}

    async def order(self, sale: str, order_id: str, user: str, quantity: int, request_id: str, proof: Headers) -> Call:
        body = _order_body(sale, user, quantity, request_id)
        asked = {"ask": Ask.ORDER, "sale": sale, "order_id": order_id, "user": user, "quantity": quantity}
        return await self._send("POST", "/order", body, {**JSON, **proof}, **asked)

    async def look(self, sale: str, order_id: str, proof: Headers) -> Call:
        return await self._send("GET", f"/orders/{sale}.{order_id}", None, proof, ask=Ask.LOOK, sale=sale, order_id=order_id)

    async def cancel(self, sale: str, order_id: str, proof: Headers) -> Call:
        return await self._send("DELETE", f"/orders/{sale}.{order_id}", None, proof, ask=Ask.CANCEL, sale=sale, order_id=order_id)

    async def forge_order(self, sale: str, user: str, request_id: str, proof: Headers) -> Call:
        body = _order_body(sale, user, 1, request_id)
        return await self._send("POST", "/order", body, {**JSON, **proof}, ask=Ask.FORGED, sale=sale, user=user)

    async def forge_cancel(self, sale: str, order_id: str, proof: Headers) -> Call:
        return await self._send("DELETE", f"/orders/{sale}.{order_id}", None, proof, ask=Ask.FORGED, sale=sale)

    async def take_back(self, sale: str, order_id: str, restock: bool) -> Call:
        path = f"/admin/orders/{sale}.{order_id}/return"
        return await self._send("POST", path, {"restock": restock}, self._admin, ask=Ask.RETURN, sale=sale, order_id=order_id)

    async def pay(self, sale: str, order_id: str, payment_id: str, amount_minor: int) -> Call:
        body, headers = self._signer.payment(f"{sale}.{order_id}", payment_id, amount_minor, datetime.now(UTC))
        asked = {"ask": Ask.PAY, "sale": sale, "order_id": order_id, "payment_id": payment_id, "amount_minor": amount_minor}
        return await self._send("POST", "/payments/webhook", body, headers, **asked)

    async def define(self, sale: str, definition: Mapping[str, Any]) -> Call:
        return await self._send(
            "POST", "/admin/stock", definition, self._admin, ask=Ask.DEFINE, sale=sale, quantity=int(definition["stock"])
        )

    async def remove(self, sale: str) -> Call:
        return await self._send("DELETE", f"/admin/sales/{sale}", None, self._admin, ask=Ask.DEFINE, sale=sale)

    async def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str], **asked: Any) -> Call:
        gateway = self._rng.randrange(len(self._gateways))
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        began = time.monotonic()
        status = NO_ANSWER
        answered: dict[str, Any] = {}
        try:
            async with self._session.request(method, f"{self._gateways[gateway]}{path}", data=data, headers=headers) as answer:
                document = msgspec.json.decode(await answer.read())
                status, answered = answer.status, _answered(document, replayed=REPLAYED in answer.headers)
        except (TimeoutError, aiohttp.ClientError, OSError, msgspec.DecodeError):
            pass
        call = Call(gateway=gateway, began=began, ended=time.monotonic(), status=status, **asked, **answered)
        self._history.add(call)
        return call


def _answered(document: Mapping[str, Any], *, replayed: bool) -> dict[str, Any]:
    """The fields of a call that its answer determines."""
    if "code" in document:
        return {"code": document["code"]}
    if "result" in document:
        return {"code": document["result"], "reason": document["reason"]}
    if "restocked" in document:
        return {"state": document["state"], "shown_id": document["orderId"], "code": "replayed" if replayed else "returned"}
    if "expiresAt" not in document:
        return {}
    expires_ms = to_ms(datetime.fromisoformat(document["expiresAt"]))
    shown = {"state": document["state"], "shown_id": document["orderId"], "expires_ms": expires_ms}
    return {**shown, "code": "replayed" if replayed else "accepted"}


def _order_body(sale: str, user: str, quantity: int, request_id: str) -> dict[str, Any]:
    return {"userId": user, "productId": sale, "quantity": quantity, "requestId": request_id}
