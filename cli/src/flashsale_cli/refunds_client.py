"""Requests to the ledger-api about refunds: list, read and change them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientSession

from flashsale_cli.http_client import Answer, document_of, send_request

Refund = Mapping[str, Any]
PAGE = 1000
SERVER = "the ledger-api"


class RefundsClient:
    def __init__(self, session: ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def list(self, states: Sequence[str], reason: str | None, product_id: str | None, limit: int) -> list[Refund]:
        """The oldest refunds in these states, at most `limit`; of one reason or sale, or of all. Raises Rejected as `show` does."""
        refunds: list[Refund] = []
        after = None
        while len(refunds) < limit:
            size = min(PAGE, limit - len(refunds))
            given = {"state": ",".join(states), "reason": reason, "productId": product_id, "after": after, "limit": size}
            query = urlencode({name: value for name, value in given.items() if value})
            page = document_of(await self._send("GET", f"?{query}"), 200, server=SERVER)
            refunds += page["refunds"]
            after = page["next"]
            if after is None:
                break
        return refunds

    async def show(self, refund_id: str) -> Refund:
        """The refund with its history. Raises Rejected if there is none."""
        refund: Refund = document_of(await self._send("GET", f"/{refund_id}"), 200, server=SERVER)
        return refund

    async def change(self, refund_id: str, wanted: Mapping[str, Any]) -> tuple[Refund, bool]:
        """(the refund, whether it is as wanted): it is not if somebody else has changed it. Raises Rejected with the server's problem."""
        answer = await self._send("POST", f"/{refund_id}", wanted)
        if answer.status == 409 and isinstance(answer.document, dict) and "refund" in answer.document:
            return answer.document["refund"], False
        return document_of(answer, 200, server=SERVER), True

    async def _send(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Answer:
        body = json.dumps(document).encode() if document is not None else None
        headers = self._headers | ({"Content-Type": "application/json"} if document is not None else {})
        return await send_request(self._session, method, f"{self._url}/admin/refunds{path}", body, headers)
