"""A buyer is looked at again if the orders of one page do not explain the units that the sale counts."""

from flashsale_audit.buyers import BuyerPass, units_of
from flashsale_audit.look import Look
from flashsale_audit.records import Letter, PageRecord


def order(user: str, quantity: int = 1, letter: Letter = "R") -> PageRecord:
    return PageRecord(letter, user, quantity, 5_000)


def page(units: dict[str, int], **orders: PageRecord) -> Look:
    return Look(0, "", 0, None, records=orders, units=units)


def test_buyer_with_all_orders_on_one_page_is_right_at_once() -> None:
    buyers = BuyerPass(0)
    buyers.add(page({"ann": 3}, a=order("ann", 1), b=order("ann", 2), c=order("ann", 4, "X")))
    buyers.add_noted({"ann": 3})
    assert buyers.open == {}


def test_buyer_with_orders_on_two_pages_stays_open_with_both() -> None:
    buyers = BuyerPass(0)
    buyers.add(page({"ann": 3}, a=order("ann", 1)))
    buyers.add(page({"ann": 3}, b=order("ann", 2)))
    assert buyers.open == {"ann": {"a", "b"}}


def test_buyer_whose_units_changed_between_pages_stays_open() -> None:
    buyers = BuyerPass(0)
    buyers.add(page({"ann": 1}, a=order("ann", 1)))
    buyers.add(page({"ann": 3}, b=order("ann", 2)))
    assert buyers.open == {"ann": {"b"}}


def test_units_of_a_buyer_without_orders_are_open() -> None:
    buyers = BuyerPass(7)
    buyers.add(page({"ann": 1}, a=order("ann", 1)))
    buyers.add_noted({"ann": 1, "eve": 2, "bob": 0})
    assert buyers.open == {"eve": set()}


def test_units_count_only_live_orders_of_the_buyer() -> None:
    records = {"a": order("ann", 2), "b": order("ann", 3, "P"), "c": order("ann", 5, "C"), "d": order("bob", 7)}
    assert units_of("ann", records, {"a", "b", "c", "d", "gone"}) == 5
