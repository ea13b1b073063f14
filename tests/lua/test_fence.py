"""The fence: no script changes a shard that recovery has not opened for the history that the server has now."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import redis

from flashsale_core.fence import Fence, fenced_reason, read_attestations, read_fence
from flashsale_core.keys import (
    attest_keys,
    define_keys,
    order_keys,
    reclaim_keys,
    reserve_keys,
    restock_keys,
    return_keys,
    settle_keys,
    shard_of,
)
from flashsale_core.scripts import Cancel, Order, Payment, pack, pack_orders, pack_payments
from tests.lua.servers import FAR, FENCED, Sale, reserve_many


def calls(sale: Sale, known: str = "") -> dict[str, Callable[[], Any]]:
    """A call of each script that needs an open fence, which would change something; `known` is the seq that the caller hands in."""
    name, seqs = sale.name, pack([int(known or 0)])
    orders, payments = pack_orders([(name, [Order("o9", "eve", 1)])]), pack_payments([(name, [Payment("o1", "p1", "succeeded", 1, "EUR")])])
    return {
        "reserve": lambda: sale._call("reserve", reserve_keys([name]), orders, clock_and=(seqs,)),
        "settle": lambda: sale._call("settle", settle_keys([name]), payments, clock_and=(seqs,)),
        "cancel": lambda: sale._call("cancel", order_keys(name), name, pack([Cancel("o1")]), clock_and=(known,)),
        "expire": lambda: sale._call("expire", order_keys(name), name, pack(["o2"]), clock_and=(known,)),
        "define": lambda: sale._call(
            "define", define_keys(name), name, pack({"owner": "admin", "generation": 0, "total": 9}), clock_and=(known,)
        ),
        "return_order": lambda: sale._call("return_order", return_keys(name), name, pack([("o3", True)]), "", clock_and=(known,)),
        "restock": lambda: sale._call("restock", restock_keys(name), name, pack(["o4"]), clock_and=(known,)),
        "retire": lambda: sale._call("retire", define_keys(name), name, "close", "admin", clock_and=("0", known)),
        "reclaim": lambda: sale._call("reclaim", reclaim_keys(shard_of(name)), "0", "10", clock_and=(known,)),
    }


def prepared(sale: Sale) -> Sale:
    """o1 is held, o2 is held and due, o3 is paid, the unit of o4 was returned and waits, and the direct outbox has an old entry."""
    sale.define(total=5)
    sale.reserve(("o2", "bob", 1), ("o3", "cem", 1), ("o4", "dan", 1))
    sale.settle(("o3", "p3"), ("o4", "p4"))
    sale.take_back(("o4", True))
    sale.now += 300_000
    sale.reserve(("o1", "ann", 1))
    sale.redis.xadd(sale.shard.direct, {"k": "order.expired", "b": "{}", "t": "1"})
    return sale


def fence(sale: Sale) -> Fence:
    return read_fence(sale.redis.hgetall(sale.shard.fence))


def attest(sale: Sale, name: str, seq: int, held: int = 0) -> list[Any]:
    return list(sale._call("attest", attest_keys(shard_of(sale.name)), name, str(seq), str(held))[1:])


def seal(sale: Sale, incarnation: str, state: str, fields: dict[str, Any], accept: str = "") -> str:
    """With a clock behind it, as the other scripts."""
    return str(sale._call("seal", (sale.shard.fence,), incarnation, state, pack(fields), accept)[1])


@pytest.mark.parametrize("script", FENCED)
@pytest.mark.parametrize("reason", ["missing", "history", "regressed", "restoring"])
def test_fenced_shard_refuses_every_change(sale: Sale, script: str, reason: str) -> None:
    prepared(sale)
    match reason:
        case "missing":
            sale.redis.delete(sale.shard.fence)
        case "history":
            sale.redis.hset(sale.shard.fence, "replid", "0" * 40)
        case "restoring":
            sale.redis.hset(sale.shard.fence, "state", "restoring")
    before, seq = sale.snapshot(), fence(sale).seq
    with pytest.raises(redis.ResponseError) as refused:
        calls(sale, str(seq + 1) if reason == "regressed" else "")[script]()
    assert (fenced_reason(refused.value), sale.snapshot(), fence(sale).seq) == (reason, before, seq)


@pytest.mark.parametrize("script", FENCED)
def test_open_shard_takes_what_a_caller_knows(sale: Sale, script: str) -> None:
    prepared(sale)
    before = sale.snapshot()
    answer = calls(sale, str(fence(sale).seq))[script]()
    assert sale.snapshot() != before
    if script != "reclaim":
        assert answer[-1] == fence(sale).seq


def test_user_without_the_right_to_run_info_is_refused(sale: Sale) -> None:
    sale.define(total=5)
    sale.redis.acl_setuser("narrow", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    port = sale.redis.connection_pool.connection_kwargs["port"]
    with redis.Redis(port=port, username="narrow", password="any") as client, pytest.raises(redis.ResponseError, match="FENCED hidden"):
        Sale(client).define(total=6)
    sale.redis.acl_deluser("narrow")


def test_closed_shard_of_one_sale_refuses_the_whole_call(sale: Sale) -> None:
    far = Sale(sale.redis, FAR)
    for each in (sale, far):
        each.define(total=5)
    sale.redis.hset(far.shard.fence, "state", "fenced")
    before = sale.snapshot()
    with pytest.raises(redis.ResponseError, match="FENCED fenced"):
        reserve_many((sale, [("o1", "ann", 1)]), (far, [("o1", "ann", 1)]))
    assert sale.snapshot() == before


def test_every_line_of_an_entry_has_its_position(sale: Sale) -> None:
    far = Sale(sale.redis, FAR)
    for each in (sale, far):
        each.define(total=5)
    _, entries = reserve_many((sale, [("o1", "ann", 1)]), (far, [("o1", "ann", 1), ("o2", "bob", 1)]))
    (entry,) = entries
    lines = [json.loads(line) for line in entry[2].split("\n")]
    # The entry is in the outbox of the first sale's shard, and so is its position.
    assert [line["seq"] for line in lines] == [[shard_of(sale.name), 1, 2]] * 2
    assert (fence(sale).seq, fence(far).seq) == (2, 1)


def test_positions_are_contiguous_over_all_scripts(sale: Sale) -> None:
    prepared(sale)
    for script in ("reserve", "settle", "expire", "return_order", "restock", "define", "retire"):
        calls(sale)[script]()
    sale.reserve(("o1", "ann", 1))
    seqs = [json.loads(line)["seq"] for _, body in sale.outbox() if body != b"{}" for line in body.splitlines()]
    assert seqs == [[shard_of(sale.name), 1, number] for number in range(1, len(seqs) + 1)]
    assert fence(sale).seq == len(seqs)


def test_gateway_that_knows_more_closes_the_fence(sale: Sale) -> None:
    prepared(sale)
    seq = fence(sale).seq
    assert attest(sale, "g1", seq, 2) == ["open", 1, seq]
    assert (attest(sale, "", 0), attest(sale, "g2", seq + 1)) == (["open", 1, seq], ["regressed", 1, seq])
    assert (attest(sale, "g1", seq), fence(sale).state) == (["fenced", 1, seq], "fenced")
    gateways = read_attestations(sale.redis.hgetall(sale.shard.gateways))
    assert {name: (entry.seq, entry.held, entry.at_ms) for name, entry in gateways.items()} == {
        "g1": (seq, 0, sale.now),
        "g2": (seq + 1, 0, sale.now),
    }


def test_attestation_never_makes_a_fence(sale: Sale) -> None:
    sale.redis.flushdb()
    assert (attest(sale, "g1", 7), sale.redis.keys()) == (["missing", 0, 0], [sale.shard.gateways.encode()])


def test_seal_changes_only_the_fence_that_was_read(sale: Sale) -> None:
    assert seal(sale, "", "", {"state": "open"}) == "changed"
    assert seal(sale, "2", "", {"state": "open"}) == "changed"
    assert seal(sale, "1", "restoring", {"state": "open"}) == "changed"
    assert seal(sale, "1", "open", {"state": "fenced", "incarnation": 2, "seq": 1_000_000}) == "sealed"
    assert seal(sale, "1", "open", {"state": "open"}) == "changed"
    # A seq never goes back.
    assert seal(sale, "2", "", {"seq": 5}) == "sealed"
    assert (fence(sale).state, fence(sale).incarnation, fence(sale).seq) == ("fenced", 2, 1_000_000)


def test_seal_accepts_the_history_of_its_server(sale: Sale) -> None:
    sale.define(total=5)
    sale.redis.hset(sale.shard.fence, "replid", "of another server")
    assert seal(sale, "1", "open", {"state": "open"}) == "sealed"
    with pytest.raises(redis.ResponseError, match="FENCED history"):
        sale.define(total=6)
    assert seal(sale, "1", "open", {"state": "open"}, "1") == "sealed"
    assert sale.define(total=6)[0] == "changed"


def test_released_ownership_is_announced(sale: Sale) -> None:
    sale.define(total=5)
    sale.retire("release")
    routing_key, body = sale.outbox()[-1]
    message = msgspec.json.decode(body)
    assert (routing_key, message["owner"], message["generation"]) == ("sale.defined", "", 1)
