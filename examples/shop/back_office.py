"""The engine's private side, for the shop's servers: the feed of events, and the refunds that are due."""

import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from examples.shop.engine import UNDECIDED
from examples.shop.settings import Settings
from examples.shop.store import Order
from flashsale_client import Answer, Json, Send, send

SECONDS = 10.0
PAGES_MOST = 1000


class BackOffice:
    """Each method raises OSError when there is no answer, or one that the shop cannot use."""

    def __init__(self, settings: Settings, http: Send = send) -> None:
        self._url = f"{settings.ledger_url}/admin"
        self._headers = {"authorization": f"Bearer {settings.admin_key}"}
        self._http = http

    def events(self, after: str) -> tuple[list[Json], str]:
        """A page of the feed: (events, where the next page begins). An engine without the notifier has no events."""
        answer = self._ask("events", {"after": after} if after else {})
        if answer.status == 409 and after:
            # The engine's database was restored: begin again. What the shop has already changes nothing.
            answer = self._ask("events", {})
        page = _usable(answer)
        return page["events"], str(page["next"])

    def payment_result(self, order: Order) -> str:
        """What the ledger has of the order's payment: `paid` or `refund_due`; UNDECIDED as long as it has nothing."""
        answer = self._ask(f"orders/{quote(order.order_id, safe='')}/payments/{quote(order.payment_id, safe='')}", {})
        return UNDECIDED if answer.status == 404 else str(_usable(answer)["result"])

    def due_refunds(self) -> Iterator[Json]:
        """From the oldest on."""
        after: dict[str, str] = {}
        for _ in range(PAGES_MOST):
            page = _usable(self._ask("refunds", {"state": "due", **after}))
            yield from page["refunds"]
            if page["next"] is None:
                return
            after = {"after": page["next"]}

    def mark_sent(self, refund_id: str, reference: str) -> None:
        """The buyer has the money back, or it was never taken. Doing it twice is harmless."""
        body = json.dumps({"state": "sent", "reference": reference}).encode()
        headers = {**self._headers, "content-type": "application/json"}
        _usable(self._http("POST", f"{self._url}/refunds/{refund_id}", headers, body, SECONDS))

    def _ask(self, path: str, fields: dict[str, str]) -> Answer:
        return self._http("GET", f"{self._url}/{path}?{urlencode(fields)}", self._headers, None, SECONDS)


def _usable(answer: Answer) -> Json:
    document = answer.json()
    if answer.status != 200 or document is None:
        raise OSError(f"the engine answers {answer.status}: {answer.body[:200].decode(errors='replace')}")
    return document
