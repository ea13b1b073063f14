"""The provider's reports settle refunds in the ledger, whichever arrives first and however often."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import asyncpg
import msgspec
import pytest

from flashsale_audit.read_ledger import LedgerReader
from flashsale_core.ids import OrderId, OrderRef, SaleId
from flashsale_core.messages import Message, PaymentRefunded
from flashsale_ledger_api import refunds
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.refund_changes import RefundRequest
from flashsale_ledger_api.reported_refunds import LeaveRequest, leave_paid
from flashsale_order_worker.plan import plan
from flashsale_order_worker.repository import Repository
from tests.integration.ledger import Ledger, open_ledger
from tests.integration.order_events import defined, open_repository, payment, returned

LATE = payment("o1", "p1", "refund_due", 1_600, "late")
RESTORED = msgspec.structs.replace(
    payment("o1", "p1", "refund_due", 9_000, "restored"),
    payments=[msgspec.structs.replace(line, amount_minor=0, currency="") for line in LATE.payments[:1]],
)
RESTORED = msgspec.structs.replace(RESTORED, payments=[msgspec.structs.replace(line, reason="restored") for line in RESTORED.payments])


def report(amount_minor: int, reference: str = "re_1", currency: str = "EUR") -> PaymentRefunded:
    return PaymentRefunded(
        v=1, sale=LATE.sale, order_id="o1", payment_id="p1", reference=reference, amount_minor=amount_minor, currency=currency, at=5_000
    )


async def state(ledger: Ledger) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await ledger.connection.fetch("select state, refunded_minor from refunds")]


async def history(ledger: Ledger) -> list[tuple[Any, ...]]:
    query = "select source, from_state, to_state, refunded_minor, reference from refund_events order by event_id"
    return [tuple(row) for row in await ledger.connection.fetch(query)]


async def reported(ledger: Ledger, repository: Repository) -> list[tuple[Any, ...]]:
    """The paid orders that the provider paid back; the order-worker counts the same ones."""
    rows = await ledger.connection.fetch("select order_id, payment_id, amount_minor, reported_minor from reported_refunds")
    assert (await repository.open_refunds()).reported == len(rows)
    return [tuple(row) for row in rows]


async def leave(ledger: Ledger) -> tuple[dict[str, Any], bool]:
    async with ledger.connection.transaction():
        return await leave_paid(ledger.connection, OrderRef(SaleId(LATE.sale), OrderId("o1")), LeaveRequest(reason="a courtesy"), "ann")


async def after(infra: Mapping[str, str], batches: Sequence[Sequence[Message]]) -> tuple[list[Any], list[Any]]:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        for batch in batches:
            await repository.write(plan([(f"{number}-0", message) for number, message in enumerate(batch)]))
        return await state(ledger), await history(ledger)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_parts_settle_a_refund_in_any_order_of_arrival(infra: Mapping[str, str], together: bool, order: tuple[int, ...]) -> None:
    messages: list[Message] = [LATE, report(400, "re_1"), report(599, "re_2")]
    arrivals = [messages[number] for number in order]
    rows, events = await after(infra, [arrivals, arrivals] if together else [[message] for message in (*arrivals, *arrivals)])
    assert rows == [("sent", 999)]
    assert [event[2] for event in events][-1:] == ["sent"]
    assert [event[2] for event in events].count("sent") == 1


async def test_money_that_was_paid_back_twice_is_a_difference_until_a_person_settles_it(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]

    async def overpaid(ledger: Ledger) -> tuple[str, ...]:
        return (await LedgerReader(ledger.connection).money(LATE.sale)).refunds_overpaid.names

    async with open_repository(url) as repository, open_ledger(url) as ledger:
        await repository.write(plan([("1-0", LATE), ("", report(999, "re_1"))]))
        assert await overpaid(ledger) == ()
        # The shop asked its provider twice.
        await repository.write(plan([("", report(999, "re_2"))]))
        assert (await state(ledger), await overpaid(ledger)) == ([("sent", 1998)], ("p1",))
        # The money is back: a person opens the refund again, and notes what it came to.
        refund_id = await ledger.connection.fetchval("select refund_id from refunds")
        for wanted in (
            RefundRequest(state="due", reason="999 came back", expectedState="sent"),
            RefundRequest(state="sent", reference="re_1", amountMinor=999),
        ):
            async with ledger.connection.transaction():
                await refunds.change(ledger.connection, refund_id, wanted, "ann")
        await repository.apply_reports()
        assert (await state(ledger), await overpaid(ledger)) == ([("sent", 999)], ())


async def test_part_leaves_the_refund_due_with_what_was_paid(infra: Mapping[str, str]) -> None:
    rows, events = await after(infra, [[LATE], [report(400)], [report(400)]])
    assert (rows, events) == ([("due", 400)], [("provider", "due", "due", 400, "re_1")])


async def test_report_without_a_refund_is_kept_and_settles_nothing(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        await repository.write(plan([("1-0", payment("o1", "p1", "failed", 1_600)), ("", report(999))]))
        assert (await state(ledger), await history(ledger), await ledger.count("refund_reports")) == ([], [], 1)
        assert await reported(ledger, repository) == []


@pytest.mark.parametrize("reported_first", [True, False])
async def test_reported_refund_of_a_paid_order_is_listed_until_its_return(infra: Mapping[str, str], reported_first: bool) -> None:
    url = infra["DATABASE_URL"]
    arrivals: list[Message] = [report(400), payment("o1", "p1", "paid", 1_600)]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        for message in arrivals if reported_first else reversed(arrivals):
            await repository.write(plan([("1-0", message)]))
        assert (await reported(ledger, repository), await state(ledger)) == ([("o1", "p1", 999, 400)], [])
        assert (await repository.open_refunds()).reported_oldest_seconds > 86_400
        await repository.write(plan([("2-0", returned("o1", "p1"))]))
        assert (await reported(ledger, repository), await state(ledger)) == ([], [("due", 400)])


async def test_order_that_was_left_as_paid_is_listed_again_after_a_further_report(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        story: list[Message] = [defined(1, 100, 10), payment("o1", "p1", "paid", 1_600), report(400)]
        await repository.write(plan([(f"{number}-0", message) for number, message in enumerate(story)]))
        assert [(await leave(ledger))[1] for _ in range(2)] == [False, True]
        assert (await reported(ledger, repository), await state(ledger)) == ([], [])
        await repository.write(plan([("", report(400)), ("", report(599, "re_2"))]))
        assert await reported(ledger, repository) == [("o1", "p1", 999, 999)]
        assert (await leave(ledger))[0]["reportedMinor"] == 999
        await repository.write(plan([("9-0", returned("o1", "p1"))]))
        # What was left counts on the refund of a later return.
        assert (await reported(ledger, repository), await state(ledger)) == ([], [("sent", 999)])
        with pytest.raises(Problem, match="not_reported"):
            await leave(ledger)


async def test_report_in_another_currency_settles_nothing(infra: Mapping[str, str]) -> None:
    rows, events = await after(infra, [[LATE, report(999, currency="USD")]])
    assert (rows, events) == ([("due", 0)], [])


@pytest.mark.parametrize("known_last", [True, False])
async def test_restored_refund_is_settled_once_its_amount_is_known(infra: Mapping[str, str], known_last: bool) -> None:
    messages: list[Message] = [RESTORED, report(999)]
    rows, _ = await after(infra, [messages])
    assert rows == [("due", 999)]
    rows, _ = await after(infra, [[*messages], [LATE]] if known_last else [[LATE], messages])
    assert rows == [("sent", 999)]


async def test_refund_that_a_person_opened_again_stays_open_until_a_further_report(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        await repository.write(plan([("1-0", LATE), ("", report(999))]))
        await ledger.connection.execute("update refunds set state = 'due', refunded_minor = 0")
        await repository.apply_reports()
        await repository.write(plan([("", report(999))]))
        assert await state(ledger) == [("due", 0)]
        await repository.write(plan([("", report(999, "re_2"))]))
        assert await state(ledger) == [("sent", 999)]


async def change(ledger: Ledger, state: str, **fields: str) -> None:
    """What the ledger-api does for a person."""
    async with ledger.connection.transaction():
        refund_id = await ledger.connection.fetchval("select refund_id from refunds")
        await refunds.change(ledger.connection, refund_id, msgspec.convert({"state": state, **fields}, RefundRequest), "ann")


OPEN_AGAIN = {"reason": "the bank sent it back", "expectedState": "sent"}


async def test_report_of_what_a_person_noted_before_the_reopening_does_not_count(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        await repository.write(plan([("1-0", LATE)]))
        await change(ledger, "sent", reference="re_1")
        await change(ledger, "due", **OPEN_AGAIN)
        for arrival in (report(999, "re_1"), report(999, "re_1")):
            await repository.write(plan([("", arrival)]))
            assert await state(ledger) == [("due", 0)]
        await repository.write(plan([("", report(999, "re_2"))]))
        assert await state(ledger) == [("sent", 999)]


@pytest.mark.parametrize("noted_first", [True, False])
async def test_refund_sent_again_does_not_count_the_report_of_the_first_time(infra: Mapping[str, str], noted_first: bool) -> None:
    url = infra["DATABASE_URL"]
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        await repository.write(plan([("1-0", LATE)]))
        if noted_first:
            await change(ledger, "sent", reference="re_1")
        await repository.write(plan([("", report(999, "re_1"))]))
        await change(ledger, "due", **OPEN_AGAIN)
        await change(ledger, "sent", reference="re_2")
        await repository.write(plan([("", report(999, "re_2"))]))
        assert await state(ledger) == [("sent", 999)]


async def test_report_and_refund_of_two_transactions_at_once_are_matched_later(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    add = "insert into refund_reports values ('p1', $1, 'o1', 're_1', 999, 'EUR', now())"
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        other = await asyncpg.connect(url)
        try:
            async with other.transaction():
                await other.execute(add, LATE.sale)
                await repository.write(plan([("1-0", LATE)]))
        finally:
            await other.close()
        assert await state(ledger) == [("due", 0)]
        await asyncio.gather(*[repository.apply_reports() for _ in range(4)])
        assert (await state(ledger), await history(ledger)) == ([("sent", 999)], [("provider", "due", "sent", 999, "re_1")])


async def test_refund_gets_its_amount_while_another_worker_restores_it(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    columns = "payment_id, sale_id, epoch, order_id, reason, amount_minor, currency, created_at"
    add = f"insert into refunds ({columns}) values ('p1', $1, $2, 'o1', 'restored', 0, '', now())"  # noqa: S608 - the test's own names
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        other = await asyncpg.connect(url)
        try:
            transaction = other.transaction()
            await transaction.start()
            await other.execute(add, LATE.sale, LATE.epoch)
            writing = asyncio.create_task(repository.write(plan([("1-0", LATE)])))
            # The worker waits for the other one's row.
            await asyncio.wait([writing], timeout=0.3)
            await transaction.commit()
            await writing
        finally:
            await other.close()
        rows = await ledger.connection.fetch("select reason, amount_minor from refunds")
        assert [tuple(row) for row in rows] == [("late", 999)]


async def test_worker_and_the_settling_of_all_refunds_do_not_deadlock(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    first, lock = payment("o1", "p0", "refund_due", 1_600, "late"), "select from refunds where payment_id = $1 for update"
    async with open_repository(url) as repository, open_ledger(url) as ledger:
        await repository.write(plan([("1-0", first), ("2-0", LATE)]))
        other = await asyncpg.connect(url)
        try:
            async with other.transaction():
                await other.execute(lock, "p0")
                again = plan([("2-0", LATE), ("", msgspec.structs.replace(report(999), payment_id="p0"))])
                writing = asyncio.create_task(repository.write(again))
                # The worker waits for the first row, and must not have the second one yet.
                await asyncio.wait([writing], timeout=0.3)
                await other.execute(lock, "p1")
            await writing
        finally:
            await other.close()
        assert sorted(await state(ledger)) == [("due", 0), ("sent", 999)]


async def test_report_before_the_return_and_its_payment_settles_their_refund(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    paid, gone = payment("o1", "p1", "paid", 1_600), returned("o1", "p1")
    messages: list[Message] = [report(999), gone, paid]
    for arrivals in permutations(messages):
        async with open_repository(url) as repository, open_ledger(url) as ledger:
            for message in arrivals:
                await repository.write(plan([("1-0", message)]))
            await repository.apply_reports()
            rows = await ledger.connection.fetch("select reason, state, refunded_minor from refunds")
            assert [tuple(row) for row in rows] == [("returned", "sent", 999)]
