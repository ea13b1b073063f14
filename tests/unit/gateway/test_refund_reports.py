"""A provider's report of a refund is answered after the broker's confirm, and refused without one."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from flashsale_core.messages import PaymentRefunded, read
from flashsale_core.records import Entry
from flashsale_gateway.errors import Unconfirmed
from flashsale_gateway.refund_reports import RefundReports

REPORT = PaymentRefunded(
    v=1, sale="shoe", order_id="A" * 20, payment_id="p-1", reference="re_1", amount_minor=400, currency="EUR", at=1_000
)


class FakePublisher:
    """A publisher whose broker confirms, refuses or is silent."""

    def __init__(self, *, ready: bool = True, fails: Exception | None = None, silent: bool = False) -> None:
        self.ready = ready
        self.published: list[Entry] = []
        self._fails = fails
        self._silent = silent

    async def publish(self, entries: Sequence[Entry]) -> bool:
        if self._silent:
            await asyncio.sleep(60)
        if self._fails is not None:
            raise self._fails
        self.published.extend(entries)
        return True


async def outcome(publisher: Any, report: PaymentRefunded = REPORT) -> Exception | None:
    answers: asyncio.Queue[Exception | None] = asyncio.Queue()
    reports = RefundReports(publisher, 0.05)
    reports.send(report, answers.put_nowait)
    await reports.finish(5)
    assert answers.qsize() == 1
    return answers.get_nowait()


async def test_confirmed_report_is_a_message_for_the_ledger() -> None:
    publisher = FakePublisher()
    assert await outcome(publisher) is None
    (entry,) = publisher.published
    assert (entry.routing_key, read(entry.body).messages) == ("payment.recorded", [REPORT])


async def test_repeated_report_has_the_same_message_id_and_a_further_refund_another() -> None:
    publisher = FakePublisher()
    for report in (REPORT, msgspec.structs.replace(REPORT, at=2_000), msgspec.structs.replace(REPORT, reference="re_2")):
        await outcome(publisher, report)
    first, again, other = (entry.entry_id for entry in publisher.published)
    assert (first == again, first == other) == (True, False)


async def test_finish_ends_a_report_that_takes_too_long_without_an_answer() -> None:
    answers: list[Exception | None] = []
    reports = RefundReports(cast("Any", FakePublisher(silent=True)), 60)
    reports.send(REPORT, answers.append)
    await reports.finish(0.01)
    assert answers == []


@pytest.mark.parametrize(
    "publisher", [FakePublisher(ready=False), FakePublisher(fails=ConnectionError("gone")), FakePublisher(silent=True)]
)
async def test_report_without_a_confirm_is_to_be_sent_again(publisher: FakePublisher) -> None:
    assert isinstance(await outcome(publisher), Unconfirmed)
