import re

import pytest

from flashsale_core import ids
from flashsale_core.ids import OrderId, OrderRef, SaleId, is_sale_id, order_id, parse_order_ref
from flashsale_core.keys import deadline_member, sale_keys, shard_keys, shard_of, split_deadline_member

KEY = b"0123456789abcdef"


def test_same_request_has_the_same_id_and_every_part_counts() -> None:
    first = order_id(KEY, "iphone", "ann", "r1")
    assert (first, len(first)) == (order_id(KEY, "iphone", "ann", "r1"), ids.ORDER_ID_LENGTH)
    others = {order_id(KEY, "iphone", "ann", "r2"), order_id(KEY, "iphone", "bob", "r1"), order_id(KEY, "pixel", "ann", "r1"),
              order_id(b"another-key-16bytes", "iphone", "ann", "r1"), order_id(KEY, "iphone", "ann-r1", "")}  # fmt: skip
    assert len(others | {first}) == 6


def test_id_of_a_request_never_changes() -> None:
    # Changing how ids are made would give every repeated request a second order.
    assert order_id(KEY, "iphone", "ann", "r1") == "eQ6yDFhwRKT5n5wmHzcg"


def test_reference_reads_back() -> None:
    ref = OrderRef(SaleId("iphone.15-pro"), OrderId("ABCDEFGHIJ_123-56789"))
    assert (str(ref), parse_order_ref(str(ref))) == ("iphone.15-pro.ABCDEFGHIJ_123-56789", ref)


@pytest.mark.parametrize(
    "text", ["", ".", "iphone", "iphone.short", "iphone.ABCDEFGHIJ_123-56789\n", ".ABCDEFGHIJ_123-56789", "a b.ABCDEFGHIJ_123-56789"]
)
def test_text_that_names_no_order_is_no_reference(text: str) -> None:
    assert parse_order_ref(text) is None


@pytest.mark.parametrize(
    ("sale", "good"),
    [
        ("a", True),
        ("A-1_b.c", True),
        ("a\n", False),
        ("", False),
        ("-a", False),
        ("x" * 65, False),
        ("a|b", False),
        ("a{b", False),
        ("ä", False),
    ],
)
def test_sale_id_is_valid_or_not(sale: str, good: bool) -> None:
    assert is_sale_id(sale) is good


def test_shard_of_a_sale_never_changes() -> None:
    # If the shard of a sale changed, its keys could not be found.
    assert {name: shard_of(name) for name in ("iphone", "pixel", "a", "sale-2026")} == {"iphone": 1, "pixel": 2, "a": 3, "sale-2026": 4}


def test_all_keys_of_one_script_share_their_hash_tag() -> None:
    sale, shard = sale_keys("iphone"), shard_keys(shard_of("iphone"))
    names = [sale.sale, sale.orders, sale.buyers, sale.rate_even, sale.rate_odd, shard.deadlines, shard.outbox, shard.direct, shard.sales]
    tags = {re.findall(r"\{(.*?)\}", name)[0] for name in names}
    assert (tags, len(set(names))) == ({str(shard_of("iphone"))}, len(names))


def test_sale_cannot_take_the_name_of_a_shards_key() -> None:
    assert not {sale_keys(name, 1).sale for name in ("deadlines", "outbox", "direct", "sales")} & {*vars_of(shard_keys(0))}


def vars_of(keys: object) -> list[str]:
    return [getattr(keys, name) for name in ("deadlines", "outbox", "direct", "sales")]


def test_deadline_member_reads_back() -> None:
    assert split_deadline_member(deadline_member("iphone.15", "o_1")) == ("iphone.15", "o_1")
