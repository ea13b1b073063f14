"""Which slot a command belongs to, and which master serves it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale_core.keys import sale_keys, shard_keys, shard_of
from flashsale_redis import one_slot_groups, open_redis
from flashsale_redis.slots import SLOTS, masters_of, slot_of, slot_of_command

KEY = "fs:{7}:deadlines"


@pytest.mark.parametrize(
    ("command", "slot"),
    [
        (("GET", KEY), slot_of(KEY)),
        (("EVALSHA", "sha", 2, KEY, "fs:{7}:outbox", "argument"), slot_of(KEY)),
        (("EVAL", "return 1", 0), None),
        (("XGROUP CREATE", KEY, "relay", "0"), slot_of(KEY)),
        (("XINFO CONSUMERS", KEY, "relay"), slot_of(KEY)),
        (("XREADGROUP", b"GROUP", "relay", "me", b"COUNT", b"64", b"STREAMS", KEY, ">"), slot_of(KEY)),
        (("TIME",), None),
        (("INFO", "everything"), None),
        (("SCRIPT LOAD", "return 1"), None),
        (("SCRIPT EXISTS", "sha"), None),
    ],
)
def test_slot_of_a_command_is_that_of_its_first_key(command: tuple[Any, ...], slot: int | None) -> None:
    assert slot_of_command(command) == slot


@given(st.text(st.characters(codec="ascii", exclude_characters="{}|"), min_size=1, max_size=40))
def test_all_keys_of_a_sale_and_its_shard_share_a_slot(sale_id: str) -> None:
    sale, shard = sale_keys(sale_id), shard_keys(shard_of(sale_id))
    names = [sale.sale, sale.orders, sale.buyers, sale.rate_even, sale.rate_odd]
    names += [shard.deadlines, shard.outbox, shard.direct, shard.sales]
    assert len({slot_of(name) for name in names}) == 1


def test_sixteen_shards_spread_over_three_masters() -> None:
    slots = {slot_of(shard_keys(shard).outbox) for shard in range(16)}
    assert len(slots) == 16
    shares = [sum(slot * 3 // SLOTS == master for slot in slots) for master in range(3)]
    assert min(shares) >= 3


def test_node_without_a_name_is_the_one_that_was_asked() -> None:
    answer = [
        [0, 99, [b"10.0.0.1", 7001, b"id", []], [b"10.0.0.9", 7009, b"replica", []]],
        [200, SLOTS - 1, [None, 7002, b"id", []]],
    ]
    masters = masters_of(answer, ("seed", 6379))
    assert (len(masters), masters[99], masters[100], masters[200]) == (SLOTS, ("10.0.0.1", 7001), None, ("seed", 7002))


def test_keys_are_grouped_by_slot_only_on_a_cluster() -> None:
    keys = [shard_keys(1).outbox, shard_keys(2).outbox, shard_keys(1).direct]
    assert one_slot_groups(open_redis("redis://r", 1, 1), keys) == [keys]
    assert one_slot_groups(open_redis("redis+cluster://r", 1, 1), keys) == [[keys[0], keys[2]], [keys[1]]]
