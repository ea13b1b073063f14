"""`reclaim` moves old entries from the direct outbox to the shared one, and nothing else."""

import msgspec
import pytest

from flashsale_core.keys import reclaim_keys, shard_of
from tests.lua.servers import SCRIPTS, Sale


def add(sale: Sale, stream: str, at_ms: int, body: bytes) -> None:
    sale.redis.xadd(stream, {"k": "order.expired", "b": body}, id=f"{at_ms}-*")


def reclaim(sale: Sale, age_ms: int, count_max: int = 64) -> list[object]:
    keys = reclaim_keys(shard_of(sale.name))
    packed = sale.redis.eval(SCRIPTS.reclaim.source, len(keys), *keys, str(age_ms), str(count_max), str(sale.now))
    return list(msgspec.msgpack.decode(packed)[1:])


def bodies(sale: Sale, stream: str) -> list[bytes]:
    return [fields[b"b"] for _, fields in sale.redis.xrange(stream)]


def test_empty_outbox_moves_nothing(sale: Sale) -> None:
    assert reclaim(sale, 1000) == ["none", 0]
    assert not sale.redis.exists(sale.shard.direct, sale.shard.outbox)


def test_old_entries_move_in_order_and_young_ones_stay(sale: Sale) -> None:
    add(sale, sale.shard.outbox, sale.now - 9000, b"shared")
    for age_ms, body in ((5000, b"first"), (1001, b"second"), (1000, b"third"), (999, b"young")):
        add(sale, sale.shard.direct, sale.now - age_ms, body)
    assert reclaim(sale, 1000) == ["moved", 3]
    assert bodies(sale, sale.shard.outbox) == [b"shared", b"first", b"second", b"third"]
    assert bodies(sale, sale.shard.direct) == [b"young"]
    assert reclaim(sale, 1000) == ["none", 0]


@pytest.mark.parametrize("entries", [1, 3, 5])
def test_one_call_moves_at_most_its_count(sale: Sale, entries: int) -> None:
    for number in range(entries):
        add(sale, sale.shard.direct, sale.now - 5000, b"%d" % number)
    assert reclaim(sale, 1000, count_max=3) == ["moved", min(3, entries)]
    assert len(bodies(sale, sale.shard.direct)) == max(0, entries - 3)


def test_moved_entry_is_unchanged(sale: Sale) -> None:
    sale.define(total=5)
    sale.redis.delete(sale.shard.outbox)
    sale.reserve(("o1", "ann", 1))
    (written,) = sale.outbox()
    sale.redis.rename(sale.shard.outbox, sale.shard.direct)
    assert reclaim(sale, -(10**15)) == ["moved", 1]
    assert sale.outbox() == [written]


def test_entries_with_ids_ahead_of_the_clock_move_by_their_own_time(sale: Sale) -> None:
    """The clock was an hour ahead and was set back. Ids never decrease, so all later entries have ids in the future."""
    sale.define(total=5)
    sale.redis.delete(sale.shard.outbox)
    for age_ms, body in ((-3_600_000, b"ahead"), (2000, b"old"), (500, b"young")):
        sale.redis.xadd(sale.shard.direct, {"k": "order.expired", "b": body, "t": sale.now - age_ms}, id=f"{sale.now + 3_600_000}-*")
    assert reclaim(sale, 1000) == ["moved", 2]
    assert (bodies(sale, sale.shard.outbox), bodies(sale, sale.shard.direct)) == ([b"ahead", b"old"], [b"young"])


def test_entry_without_time_and_with_an_id_ahead_of_the_clock_moves(sale: Sale) -> None:
    add(sale, sale.shard.direct, sale.now + 3_600_000, b"from the release before")
    assert reclaim(sale, 1000) == ["moved", 1]


def test_scripts_note_the_time_of_the_call(sale: Sale) -> None:
    sale.define(total=5)
    sale.reserve(("o1", "ann", 1))
    sale.settle(("o1", "p1"))
    sale.retire("close")
    assert [fields[b"t"] for _, fields in sale.redis.xrange(sale.shard.outbox)] == [b"%d" % sale.now] * 4
