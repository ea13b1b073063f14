"""Which events messages become: each once, with the same id and bytes whatever is redelivered."""

import json
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from flashsale_core.messages import Message, PaymentsRecorded, SaleRetired, decode, encode
from flashsale_notifier.shop_messages import ShopEvent, events_of, refund_due, sale_ended
from tests.integration.order_events import STORY, cancelled, defined, expired, payment, reserved, returned


def events(*messages: Message, with_reserved: bool = False) -> Sequence[ShopEvent]:
    return events_of(messages, with_reserved=with_reserved)


def data(event: ShopEvent) -> Any:
    document = json.loads(event.body)
    assert (document["type"], list(document)) == (event.type, ["type", "timestamp", "data"])
    return document["data"]


def test_paid_order_has_its_payment_and_its_rank() -> None:
    (event,) = events(payment("o1", "p1", "paid", 1_500))
    assert json.loads(event.body)["timestamp"] == "1970-01-01T00:00:01.500Z"
    assert data(event) == {
        "orderId": "shoe.o1", "productId": "shoe", "userId": "ann", "quantity": 1, "state": "paid", "rank": 2,
        "paymentId": "p1", "amountMinor": 999, "currency": "EUR",
    }  # fmt: skip


def test_order_reserved_is_left_out_unless_it_is_asked_for() -> None:
    assert events(reserved("o1", "o2")) == []
    assert [event.type for event in events(reserved("o1", "o2"), with_reserved=True)] == ["order.reserved"] * 2


def test_released_orders_rank_between_reserved_and_paid() -> None:
    ranks = {event.type: data(event)["rank"] for event in events(expired("o1"), cancelled("o2"))}
    assert ranks == {"order.expired": 1, "order.cancelled": 1}


def test_each_refund_of_an_order_is_an_event_of_its_own() -> None:
    refunds = events(payment("o1", "p1", "refund_due", 1, "late"), payment("o1", "p2", "refund_due", 2, "duplicate"))
    assert sorted((data(event)["paymentId"], data(event)["reason"]) for event in refunds) == [("p1", "late"), ("p2", "duplicate")]


def test_return_is_an_event_and_its_refund_another() -> None:
    back, refund = sorted(events(returned("o1", "p1", restocked=False)), key=lambda event: event.type)
    assert data(back) == {
        "orderId": "shoe.o1", "productId": "shoe", "userId": "ann", "quantity": 1, "state": "returned", "rank": 3,
        "paymentId": "p1", "restocked": False,
    }  # fmt: skip
    assert data(refund) == {
        "orderId": "shoe.o1", "productId": "shoe", "paymentId": "p1", "reason": "returned", "amountMinor": None, "currency": "",
    }  # fmt: skip


def test_message_decides_no_refund_of_an_unknown_order() -> None:
    assert events(replace(payment("o1", "p1", "refund_due", 1, "unknown_order"), sale="", epoch=0)) == []


def test_refund_of_an_unknown_sale_names_what_is_known() -> None:
    assert data(refund_due("", 0, "o1", "p1", 1, {}))["orderId"] == "o1"


def test_restored_payment_has_no_amount() -> None:
    assert data(events(payment("o1", "p1", "refund_due", 1, "restored"))[0])["amountMinor"] is None


def test_failed_payment_is_no_event() -> None:
    assert events(payment("o1", "p1", "failed", 1)) == []


def test_sale_that_sold_its_last_unit_is_sold_out_once_for_each_stock() -> None:
    last = replace(payment("o1", "p1", "paid", 1), sold_out=10)
    kinds = [event.type for event in events(last, replace(last, at=2), replace(last, sold_out=20))]
    assert sorted(kinds) == ["order.paid", "sale.sold_out", "sale.sold_out"]


def test_sale_that_sells_returned_units_again_is_sold_out_again() -> None:
    last = replace(payment("o1", "p1", "paid", 1), sold_out=10)
    again = replace(payment("o2", "p2", "paid", 2), sold_out=10, restocked=1)
    # A redelivery, and a change of the sale that is sold out, add nothing.
    changed = replace(defined(3, 300, 10), available=0, sold=10, restocked=1)
    kinds = [event.type for event in events(last, again, again, changed)]
    assert sorted(kinds) == ["order.paid", "order.paid", "sale.sold_out", "sale.sold_out"]


def test_owner_who_takes_the_rest_away_sells_out_the_sale() -> None:
    taken = replace(defined(3, 300, 10), available=0, sold=10)
    assert [data(event) for event in events(taken)] == [{"productId": "shoe", "sold": 10}]
    assert events(replace(taken, sold=0)) == []
    assert events(replace(taken, reserved=1)) == []


def test_end_of_a_sale_is_one_event_whoever_ends_it() -> None:
    closed = SaleRetired(v=1, sale="shoe", epoch=7, at=9_000, state="closed", total=20, available=1, reserved=0, sold=19)
    (event,) = events(closed, replace(closed, state="removed", at=9_900))
    assert data(event) == {"productId": "shoe", "stock": 20, "available": 1, "reserved": 0, "sold": 19}
    assert sale_ended("shoe", 7, 90_000, {"stock": 20}).id == event.id


def test_story_gives_the_same_events_in_any_order_and_twice() -> None:
    story = events(*STORY)
    assert story == events(*STORY, *STORY)
    assert {event.id for event in story} == {event.id for event in events(*reversed(STORY))}
    assert [event.id for event in story] == sorted(event.id for event in story)


def test_message_of_an_older_release_is_not_sold_out() -> None:
    line = encode(payment("o1", "p1", "paid", 1)).replace(b',"sold_out":0', b"")
    message = decode(line)
    assert isinstance(message, PaymentsRecorded)
    assert message.sold_out == 0
