"""Asks the gateway and the ledger-api for changes, with the console's admin key and the name of the person.

The engine decides; its refusal is shown in its own words.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp

from flashsale_console.settings import Settings
from flashsale_core.on_behalf import HEADER

ANSWER_BYTES_MAX = 256 * 1024
METRICS_BYTES_MAX = 8 * ANSWER_BYTES_MAX
CONNECTIONS_MAX = 8


class Answer(NamedTuple):
    status: int
    """0 if there was no answer."""
    document: Mapping[str, Any]

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def words(self) -> str:
        """The refusal in the engine's words: its title, and the detail if there is one."""
        title, detail = str(self.document.get("title", "")), str(self.document.get("detail", ""))
        return f"{title}: {detail}" if title and detail else title or detail or f"The engine answered {self.status}"

    @property
    def code(self) -> str:
        return str(self.document.get("code", "" if self.is_done else "no_answer"))


class Engine:
    """Connections to both services. Open it in a running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._gateway, self._ledger_api = settings.gateway_url, settings.ledger_api_url
        self._headers = {"Authorization": f"Bearer {settings.admin_key}"}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            timeout=aiohttp.ClientTimeout(total=settings.engine_timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def set_sale(self, person: str, document: Mapping[str, Any], generation: int | None) -> Answer:
        """`generation` is the one that the person saw: the change is refused if the sale was changed since. None changes any."""
        condition = {} if generation is None else {"If-Match": f'"{generation}"'}
        return await self._send("POST", f"{self._gateway}/admin/stock", person, document, condition)

    async def end_sale(self, person: str, sale_id: str, mode: str) -> Answer:
        return await self._send("DELETE", f"{self._gateway}/admin/sales/{sale_id}?mode={mode}", person)

    async def return_order(self, person: str, order_id: str, *, restock: bool) -> Answer:
        return await self._send("POST", f"{self._gateway}/admin/orders/{order_id}/return", person, {"restock": restock})

    async def return_removed(self, person: str, order_id: str, reason: str) -> Answer:
        """Return an order whose sale was removed."""
        return await self._send("POST", f"{self._ledger_api}/admin/orders/{order_id}/return", person, {"reason": reason})

    async def leave_paid(self, person: str, order_id: str, reason: str, reported_minor: int) -> Answer:
        """`reported_minor` is the sum that the person saw: the order is not left if the provider has reported more since."""
        document = {"reason": reason, "reportedMinor": reported_minor}
        return await self._send("POST", f"{self._ledger_api}/admin/orders/{order_id}/leave-paid", person, document)

    async def show_refund(self, person: str, refund_id: int) -> Answer:
        return await self._send("GET", f"{self._ledger_api}/admin/refunds/{refund_id}", person)

    async def change_refund(self, person: str, refund_id: int, document: Mapping[str, Any]) -> Answer:
        return await self._send("POST", f"{self._ledger_api}/admin/refunds/{refund_id}", person, document)

    async def text(self, url: str) -> str:
        """The beginning of what a service answers at `url`. Raises aiohttp.ClientError, OSError and TimeoutError."""
        async with self._session.get(url, allow_redirects=False) as response:
            response.raise_for_status()
            return (await _read(response, METRICS_BYTES_MAX)).decode(errors="replace")

    async def close(self) -> None:
        await self._session.close()

    async def _send(
        self, method: str, url: str, person: str, document: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        body = None if document is None else json.dumps(document).encode()
        sent = self._headers | {HEADER: person, "Content-Type": "application/json"} | dict(headers or {})
        try:
            async with self._session.request(method, url, data=body, headers=sent, allow_redirects=False) as response:
                return Answer(response.status, _decoded(await _read(response, ANSWER_BYTES_MAX)))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            if method != "GET":
                reason += ". It is unknown whether the change was made: look at the page again before you repeat it"
            return Answer(0, {"title": "The engine did not answer", "detail": reason, "code": "no_answer"})


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The body, at most `bytes_max` bytes. One read of aiohttp's returns what has arrived by then, such as the first segment."""
    body = b""
    while len(body) < bytes_max and (part := await response.content.read(bytes_max - len(body))):
        body += part
    return body


def _decoded(raw: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
