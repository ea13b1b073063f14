"""Brings what the provider paid back to the ledger: published at once, and answered after the broker's confirm.

Redis has no part in it: a refund changes no stock and no order, so a report needs no entry in an outbox. A provider that gets no 200 sends
its webhook again, and the ledger counts each refund once, by the provider's id.
"""

import asyncio
import hashlib
from collections.abc import Callable

import msgspec

from flashsale_core.messages import PaymentRefunded
from flashsale_core.records import Entry
from flashsale_core.tasks import cancel_and_wait
from flashsale_core.topology import PAYMENTS_ROUTING_KEY
from flashsale_gateway.errors import Unconfirmed
from flashsale_gateway.outbox.publisher import Publisher

Done = Callable[[Exception | None], None]


class RefundReports:
    def __init__(self, publisher: Publisher, confirm_timeout_seconds: float) -> None:
        self._publisher = publisher
        self._confirm_timeout_seconds = confirm_timeout_seconds
        self._in_flight: set[asyncio.Task[None]] = set()

    def send(self, report: PaymentRefunded, done: Done) -> None:
        """Publish the report. In a later turn of the event loop `done` gets None after the confirm, otherwise Unconfirmed."""
        task = asyncio.get_running_loop().create_task(self._send(report, done))
        # The loop itself keeps only a weak reference to it.
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def finish(self, timeout_seconds: float) -> None:
        """Wait for the reports in flight; after `timeout_seconds` the provider gets no answer, and reports again."""
        if self._in_flight:
            await asyncio.wait(list(self._in_flight), timeout=timeout_seconds)
        await cancel_and_wait(*self._in_flight)

    async def _send(self, report: PaymentRefunded, done: Done) -> None:
        try:
            if not self._publisher.ready:
                raise Unconfirmed
            async with asyncio.timeout(self._confirm_timeout_seconds):
                await self._publisher.publish([_entry(report)])
        except Exception as error:
            # The publisher has counted what it raised; whatever it was, the report is not safe yet.
            done(error if isinstance(error, Unconfirmed) else Unconfirmed(str(error)))
        else:
            done(None)


def _entry(report: PaymentRefunded) -> Entry:
    """A repeated webhook has the same id of a message, so that one that is parked can be recognised."""
    name = "\0".join((report.sale, report.order_id, report.payment_id, report.reference))
    return Entry("", f"refund-{hashlib.sha256(name.encode()).hexdigest()[:32]}", PAYMENTS_ROUTING_KEY, msgspec.json.encode(report))
