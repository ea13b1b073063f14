"""Requests to the ledger-api about refunds: list, read and change them, and about what the provider paid back by itself."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientSession

from flashsale_cli.http_client import Answer, document_of, segment, send_request

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
        return list(await self._pages("refunds", "refunds", {"state": ",".join(states), "reason": reason, "productId": product_id}, limit))

    async def reported(self, product_id: str | None, limit: int) -> Sequence[Refund]:
        """The paid orders that the provider reported as paid back, at most `limit`. Raises Rejected as `show` does."""
        return await self._pages("reported-refunds", "reportedRefunds", {"productId": product_id}, limit)

    async def show(self, refund_id: str) -> Refund:
        """The refund with its history. Raises Rejected if there is none."""
        refund: Refund = document_of(await self._send("GET", f"refunds/{segment(refund_id)}"), 200, server=SERVER)
        return refund

    async def change(self, refund_id: str, wanted: Mapping[str, Any]) -> tuple[Refund, bool]:
        """(the refund, whether it is as wanted): it is not if somebody else has changed it. Raises Rejected with the server's problem."""
        answer = await self._send("POST", f"refunds/{segment(refund_id)}", wanted)
        if answer.status == 409 and isinstance(answer.document, dict) and "refund" in answer.document:
            return answer.document["refund"], False
        return document_of(answer, 200, server=SERVER), True

    async def leave(self, order: str, reason: str, reported_minor: int | None) -> Refund:
        """Leave the order as paid; returns who left it. Raises Rejected if the provider reported no refund of it.

        With `reported_minor`, also if it has reported another sum by now.
        """
        wanted = {"reason": reason} | ({} if reported_minor is None else {"reportedMinor": reported_minor})
        left: Refund = document_of(await self._send("POST", f"orders/{segment(order)}/leave-paid", wanted), 200, server=SERVER)
        return left

    async def _pages(self, path: str, field: str, filters: Mapping[str, str | None], limit: int) -> Sequence[Refund]:
        """At most `limit` entries of a list, which are in `field` of each page."""
        entries: list[Refund] = []
        after = None
        while len(entries) < limit:
            given = {**filters, "after": after, "limit": min(PAGE, limit - len(entries))}
            query = urlencode({name: value for name, value in given.items() if value})
            page = document_of(await self._send("GET", f"{path}?{query}"), 200, server=SERVER)
            entries += page[field]
            after = page["next"]
            if after is None:
                break
        return entries

    async def _send(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Answer:
        body = json.dumps(document).encode() if document is not None else None
        headers = self._headers | ({"Content-Type": "application/json"} if document is not None else {})
        return await send_request(self._session, method, f"{self._url}/admin/{path}", body, headers)
