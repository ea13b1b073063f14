import json
from typing import Any

import pytest
import redis

from flashsale_core import sale_times
from flashsale_core.messages import SaleDefined, SaleRetired
from flashsale_core.records import sale_fields, stale_terms
from tests.lua.servers import Sale, unplaced

DEFAULTS = {
    "starts_ms": "0", "ends_ms": "0", "max_per_user": "0", "max_released": "20", "durability": "fsync",
    "hold_seconds": "300", "rate_requests": "0", "rate_seconds": "1",
    "late_payment": "refund", "price": "", "state": "open",
}  # fmt: skip


def test_new_sale_takes_its_defaults(sale: Sale) -> None:
    status, fields = sale.define(total=10)
    assert (status, fields) == (
        "created",
        {
            **DEFAULTS, "owner": "admin", "generation": "1", "epoch": str(sale.now), "changed_ms": str(sale.now), "total": "10",
            "available": "10", "reserved": "0", "sold": "0",
        },
    )  # fmt: skip
    assert sale.redis.smembers(sale.shard.sales) == {b"iphone"}


def test_default_payment_window_applies_to_new_sales_only(sale: Sale) -> None:
    assert sale.define(total=10, default_hold_seconds=120)[1]["hold_seconds"] == "120"
    before = sale.snapshot()
    assert (sale.define(total=10, default_hold_seconds=60)[0], sale.snapshot()) == ("unchanged", before)


def test_any_definition_renews_packed_terms_that_are_stale(sale: Sale) -> None:
    sale.define(total=10, max_per_user=2)
    sale.redis.hset(sale.keys.sale, "max_per_user", 5)
    assert stale_terms(sale.redis.hgetall(sale.keys.sale)) == ("max_per_user",)
    before = len(sale.outbox())
    assert sale.define(total=10, max_per_user=5)[0] == "unchanged"
    assert (stale_terms(sale.redis.hgetall(sale.keys.sale)), sale.terms()[3], len(sale.outbox())) == ((), 5, before)


def test_definition_is_announced_in_full(sale: Sale) -> None:
    sale.define(total=10, owner="7", max_per_user=2, state="paused")
    assert unplaced(sale.outbox()[-1][1]) == SaleDefined(
        v=1, sale="iphone", epoch=sale.now, at=sale.now, owner="7", generation=1, total=10, available=10, reserved=0, sold=0,
        starts_ms=0, ends_ms=0, max_per_user=2, hold_seconds=300, rate_requests=0, rate_seconds=1, late_payment="refund", state="paused",
    )  # fmt: skip


def test_definition_after_the_clock_was_set_back_is_the_later_one(sale: Sale) -> None:
    sale.define(total=10, owner="k8s/a", generation=5)
    epoch = sale.now
    for total, clock_ms in ((11, epoch + 50), (12, epoch - 60_000), (13, epoch - 50_000), (14, epoch + 90_000)):
        sale.now = clock_ms
        assert sale.define(total=total, owner="k8s/a", generation=5)[0] == "changed"
    messages = [message for _, body in sale.outbox() if isinstance(message := unplaced(body), SaleDefined)]
    assert [(message.total, message.generation, message.at - epoch) for message in messages] == [
        (10, 5, 0), (11, 5, 50), (12, 5, 51), (13, 5, 52), (14, 5, 90_000),
    ]  # fmt: skip


def test_sale_of_an_older_release_takes_its_time_from_the_clock(sale: Sale) -> None:
    sale.define(total=10)
    sale.redis.hdel(sale.keys.sale, "changed_ms")
    sale.now += 7
    sale.define(total=11)
    last = unplaced(sale.outbox()[-1][1])
    assert (last.at, sale.redis.hget(sale.keys.sale, "changed_ms")) == (sale.now, str(sale.now).encode())


def test_new_sale_needs_a_total(sale: Sale) -> None:
    assert (sale.define(), sale.snapshot()) == (("total_missing", {}), {})


def test_changed_total_changes_only_the_available_units(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 3), ("o2", "bob", 2))
    sale.settle(("o2", "p1"))
    assert (sale.define(total=12)[0], sale.stock()) == ("changed", (12, 7, 3, 2))
    assert (sale.define(total=5)[0], sale.stock()) == ("changed", (5, 0, 3, 2))
    before = sale.snapshot()
    assert sale.define(total=4, state="paused")[0] == "below_committed"
    assert sale.snapshot() == before


def test_omitted_fields_stay_and_the_generation_counts_changes(sale: Sale) -> None:
    sale.define(total=10, max_per_user=2)
    assert sale.define(hold_seconds=60)[1]["max_per_user"] == "2"
    before = sale.snapshot()
    status, fields = sale.define(total=10, hold_seconds=60)
    assert (status, fields["generation"], sale.snapshot()) == ("unchanged", "2", before)


def test_end_is_never_before_the_start_whichever_is_set_last(sale: Sale) -> None:
    assert sale.define(total=10, starts_ms=20, ends_ms=20) == ("ends_before_start", {})
    assert sale.define(total=10, starts_ms=20)[0] == "created"
    before = sale.snapshot()
    assert [sale.define(total=11, ends_ms=ends)[0] for ends in (10, 20)] == ["ends_before_start"] * 2
    assert sale.snapshot() == before
    assert sale.define(ends_ms=30)[0] == "changed"
    assert sale.define(starts_ms=30)[0] == "ends_before_start"
    assert [sale.define(**changes)[0] for changes in ({"starts_ms": 29}, {"ends_ms": 0}, {"starts_ms": 40})] == ["changed"] * 3


def test_sale_whose_end_is_before_its_start_can_be_changed(sale: Sale) -> None:
    sale.define(total=10, starts_ms=20)
    sale.redis.hset(sale.keys.sale, "ends_ms", 10)
    assert (sale.define(total=11)[0], sale.define(starts_ms=5)[0]) == ("changed", "changed")


def test_latest_possible_end_is_a_whole_number_and_stays_unchanged(sale: Sale) -> None:
    sale.define(total=10, ends_ms=sale_times.END_MS - 1)
    message = unplaced(sale.outbox()[-1][1])
    assert isinstance(message, SaleDefined)
    assert (message.ends_ms, sale.define(ends_ms=sale_times.END_MS - 1)[0]) == (sale_times.END_MS - 1, "unchanged")


def test_definition_is_fenced_by_owner_and_generation(sale: Sale) -> None:
    sale.define(total=10, owner="k8s/a", generation=5)
    before = sale.snapshot()
    assert sale.define(total=11, owner="k8s/b", generation=6)[0] == "not_owner"
    assert sale.define(total=11, owner="admin")[0] == "not_owner"
    assert sale.define(total=11, owner="k8s/a", generation=4)[0] == "stale_generation"
    assert sale.define(total=10, owner="k8s/a", generation=5)[0] == "unchanged"
    assert sale.snapshot() == before
    assert sale.define(total=11, owner="k8s/a", generation=5)[0] == "changed"
    assert sale.define(total=11, owner="k8s/a", generation=6)[1]["generation"] == "6"


@pytest.mark.parametrize(("field", "value"), [("hold_seconds", 60), ("late_payment", "reacquire"), ("ends_ms", 5), ("rate_requests", 3)])
def test_definition_never_changes_live_holds(sale: Sale, field: str, value: Any) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 3))
    held = (sale.stock(), sale.records(), sale.buyers(), sale.deadlines())
    sale.define(**{field: value})
    assert (sale.stock(), sale.records(), sale.buyers(), sale.deadlines()) == held


def test_sale_closes_drains_and_is_removed(sale: Sale) -> None:
    sale.define(total=10, rate_requests=5)
    sale.reserve(("o1", "ann", 3))
    assert sale.retire("remove") == ["not_closed", 3]
    assert (sale.retire("close"), sale.retire("close")) == (["closed", 3], ["closed", 3])
    assert sale.define(total=20)[0] == "closed"
    assert sale.retire("remove") == ["holds_live", 3]
    sale.settle(("o1", "p1"))
    assert sale.retire("remove") == ["removed", 0]
    assert sorted(sale.snapshot()) == sorted([sale.shard.outbox.encode(), sale.keys.sale.encode()])
    messages = [message for _, body in sale.outbox() if isinstance(message := unplaced(body), SaleRetired)]
    assert messages == [
        SaleRetired(v=1, sale="iphone", epoch=sale.now, at=sale.now, state="closed", total=10, available=7, reserved=3, sold=0),
        SaleRetired(v=1, sale="iphone", epoch=sale.now, at=sale.now, state="removed", total=10, available=7, reserved=0, sold=3),
    ]


def test_successor_of_a_removed_sale_has_a_higher_epoch(sale: Sale) -> None:
    epochs = []
    for clock_ms in (1_000_000, 1_000_000, 940_000, 2_000_000):
        sale.now = clock_ms
        epochs.append(int(sale.define(total=1)[1]["epoch"]))
        assert [sale.retire(action)[0] for action in ("close", "remove")] == ["closed", "removed"]
    assert epochs == [1_000_000, 1_000_001, 1_000_002, 2_000_000]


def test_removed_sale_differs_from_an_unknown_one_for_thirty_days(sale: Sale) -> None:
    sale.define(total=1)
    sale.reserve(("o1", "ann", 1))
    sale.settle(("o1", "p1"))
    sale.retire("close")
    sale.retire("remove")
    before = sale.snapshot()
    assert (sale.reserve(("o1", "ann", 1), ("o2", "bob", 1)), sale.cancel("o1")[0][0]) == ([["sale_removed"]] * 2, "unknown_order")
    assert (sale.retire("remove"), sale.retire("close")) == (["removed", 0], ["removed", 0])
    assert (sale.retire("release"), sale.retire("close", owner="k8s/a")) == (["unknown_sale", 0], ["unknown_sale", 0])
    assert (sale.define(), sale.snapshot()) == (("total_missing", {}), before)
    days = 30 * 24 * 3600 * 1000
    assert days - 60_000 < sale.redis.pttl(sale.keys.sale) <= days
    assert sale.redis.memory_usage(sale.keys.sale) < 200
    assert (sale.define(total=1)[0], sale.redis.pttl(sale.keys.sale)) == ("created", -1)
    assert (
        sale_fields(sale.redis.hgetall(sale.keys.sale))
        .keys()
        .isdisjoint({"removed_ms", "removed_owner", "removed_epoch", "removed_generation"})
    )


def test_condition_on_a_removed_sale_does_not_hold_for_the_next_of_its_name(sale: Sale) -> None:
    sale.define(total=10)
    read = sale.define(total=11)[1]["generation"]
    sale.retire("close")
    sale.retire("remove")
    created = sale.define(total=5)[1]
    assert (read, created["generation"]) == ("2", "3")
    assert sale.define(total=5, max_per_user=1)[1]["generation"] == "4"
    assert sale.define(total=99, if_generation=int(read))[0] == "generation_moved"


def test_resource_defines_the_next_sale_of_a_removed_name_by_its_own_generations(sale: Sale) -> None:
    sale.define(total=10, owner="k8s/a", generation=4)
    sale.retire("close", owner="k8s/a")
    sale.retire("remove", owner="k8s/a")
    created = sale.define(total=10, owner="k8s/b", generation=1)[1]
    assert (created["generation"], created["base"]) == ("5", "4")
    assert sale.define(total=10, owner="k8s/b", generation=1)[0] == "unchanged"
    assert sale.define(total=12, owner="k8s/b", generation=2)[1]["generation"] == "6"
    assert sale.define(total=10, owner="k8s/b", generation=1)[0] == "stale_generation"


DAY_MS = 24 * 3600 * 1000


def test_sale_is_pruned_when_it_ended_long_ago_and_no_hold_is_live(sale: Sale) -> None:
    sale.define(total=5, ends_ms=sale.now + 1000)
    sale.reserve(("o1", "ann", 1))
    sale.now += 1000 + DAY_MS
    assert sale.prune(DAY_MS) == "kept"
    sale.now += 1
    assert sale.prune(DAY_MS) == "kept"
    sale.expire("o1")
    assert (sale.prune(DAY_MS), sale.prune(DAY_MS)) == ("removed", "removed")
    assert sale.reserve(("o1", "ann", 1)) == [["sale_removed"]]
    assert unplaced(sale.outbox()[-1][1]) == SaleRetired(
        v=1, sale="iphone", epoch=sale.now - DAY_MS - 1001, at=sale.now, state="removed", total=5, available=5, reserved=0, sold=0
    )


def test_closed_sale_is_pruned_by_the_time_of_its_close(sale: Sale) -> None:
    sale.define(total=5, ends_ms=sale.now + 90 * DAY_MS)
    sale.retire("close")
    sale.now += DAY_MS
    sale.retire("close")
    assert sale.prune(DAY_MS) == "kept"
    # Closed by a release that did not record the time.
    sale.redis.hdel(sale.keys.sale, "closed_ms")
    sale.now += 1
    assert sale.prune(DAY_MS) == "kept"
    sale.now += DAY_MS + 1
    assert sale.prune(DAY_MS) == "removed"


def test_open_and_owned_sales_are_never_pruned(sale: Sale) -> None:
    sale.define(total=0)
    sale.now += 100 * DAY_MS
    assert sale.prune(0) == "kept"
    owned = Sale(sale.redis, "owned")
    owned.define(total=5, owner="k8s/a", ends_ms=owned.now + 1000)
    owned.now += DAY_MS
    assert owned.prune(0) == "not_owner"
    owned.retire("release", owner="k8s/a")
    assert owned.prune(0) == "removed"


def test_only_the_owner_retires_and_only_an_existing_sale(sale: Sale) -> None:
    assert sale.retire("close") == ["unknown_sale", 0]
    sale.define(total=1)
    assert sale.retire("close", owner="k8s/a") == ["not_owner", 0]


def test_released_sale_goes_on_and_its_next_definition_owns_it(sale: Sale) -> None:
    sale.define(total=10, owner="k8s/a", generation=7)
    sale.reserve(("o1", "ann", 3))
    assert sale.retire("release") == ["not_owner", 3]
    assert sale.retire("release", owner="k8s/a") == ["released", 3]
    assert sale.reserve(("o2", "bob", 1))[0][0] == "accepted"
    status, defined = sale.define(total=12, owner="k8s/b", generation=1)
    assert (status, defined["owner"], defined["generation"]) == ("changed", "k8s/b", "8")
    assert sale.define(total=12, owner="k8s/b", generation=2)[1]["generation"] == "9"
    assert sale.define(total=12, owner="k8s/b", generation=1)[0] == "stale_generation"
    assert (sale.stock(), sale.define(total=12, owner="k8s/a", generation=8)[0]) == ((12, 8, 4, 0), "not_owner")


def test_sale_that_a_resource_released_is_taken_only_from_its_namespace(sale: Sale) -> None:
    sale.define(total=10, owner="shop/a/u1")
    sale.reserve(("o1", "ann", 3))
    assert sale.retire("release", owner="shop/a/u1") == ["released", 3]
    assert sale.retire("release", owner="shop/a/u1") == ["not_owner", 3]
    assert sale.redis.hget(sale.keys.sale, "owner") == b"shop//"
    for stranger in ("rival/a/u1", "shop2/a/u1"):
        assert sale.define(total=99, owner=stranger)[0] == "not_owner"
        assert sale.retire("close", owner=stranger) == ["not_owner", 3]
    assert sale.define(total=12, owner="shop/b/u2")[1]["owner"] == "shop/b/u2"
    assert sale.retire("close", owner="") == ["not_owner", 3]


def test_administrator_takes_or_frees_every_released_sale(sale: Sale) -> None:
    sale.define(total=10, owner="shop/a/u1")
    sale.retire("release", owner="shop/a/u1")
    assert sale.retire("release", owner="") == ["released", 0]
    assert sale.define(total=10, owner="rival/a/u1")[1]["owner"] == "rival/a/u1"
    sale.retire("release", owner="rival/a/u1")
    assert sale.define(total=10)[1]["owner"] == "admin"
    assert sale.retire("release") == ["released", 0]
    assert sale.redis.hget(sale.keys.sale, "owner") == b""


def test_removed_sale_can_be_defined_again_from_nothing(sale: Sale) -> None:
    sale.define(total=2)
    sale.reserve(("o1", "ann", 1))
    sale.cancel("o1")
    sale.retire("close")
    sale.retire("remove")
    sale.now += 1
    assert sale.define(total=2)[1]["epoch"] == str(sale.now)
    assert sale.reserve(("o1", "ann", 1))[0][0] == "accepted"


def test_orders_of_a_lost_sale_are_never_deleted(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(*[(f"old{number}", f"u{number}", 1) for number in range(5)])
    sale.redis.unlink(sale.keys.sale)
    before = sale.snapshot()
    assert sale.retire("close") == ["unknown_sale", 0]
    with pytest.raises(redis.ResponseError, match="INVARIANT the sale is missing"):
        sale.define(total=10)
    assert sale.snapshot() == before


def test_stock_that_covers_what_was_sold_twice_ends_the_oversell(sale: Sale) -> None:
    sale.define(total=2)
    sale.reserve(("o1", "ann", 2))
    sale.settle(("o1", "p1"))
    # As a rebuild leaves a sale that lost data oversold.
    sale.redis.hset(sale.keys.sale, mapping={"total": 3, "sold": 3, "oversold": 1})
    assert sale.define(total=2)[0] == "below_committed"
    assert sale.define(max_per_user=1)[1]["oversold"] == "1"
    assert json.loads(sale.outbox()[-1][1])["total"] == 2
    # A difference of 0 changes what else is asked for: `flashsale sale set --pause` sends it.
    status, fields = sale.define(add=0, state="paused", request_id="r1")
    assert (status, fields["state"], fields["oversold"], sale.stock()) == ("changed", "paused", "1", (3, 0, 0, 3))
    assert [sale.define(add=add, request_id=f"r{add}")[0] for add in (0, -1)] == ["unchanged", "below_committed"]
    status, fields = sale.define(total=3)
    assert (status, fields["oversold"], sale.stock()) == ("changed", "0", (3, 0, 0, 3))
    assert sale.define(total=3)[0] == "unchanged"


def test_difference_is_added_to_the_stock_once_for_each_request(sale: Sale) -> None:
    sale.define(total=10)
    assert sale.define(add=5, request_id="r1")[0] == "changed"
    before = sale.snapshot()
    assert (sale.define(add=5, request_id="r1")[0], sale.snapshot()) == ("replayed", before)
    assert sale.define(add=-3, request_id="r2")[0] == "changed"
    assert sale.stock() == (12, 12, 0, 0)
    message = unplaced(sale.outbox()[-1][1])
    assert isinstance(message, SaleDefined)
    assert (message.total, message.generation, len(sale.outbox())) == (12, 3, 3)


def test_two_people_who_change_the_stock_from_one_reading_lose_nothing(sale: Sale) -> None:
    _, read = sale.define(total=10)
    generation = int(read["generation"])
    assert sale.define(total=15, if_generation=generation, request_id="ann")[0] == "changed"
    before = sale.snapshot()
    assert sale.define(total=12, if_generation=generation, request_id="bob")[0] == "generation_moved"
    assert sale.snapshot() == before
    # A repeat whose answer was lost is no second change, although the generation has moved by it.
    assert sale.define(total=15, if_generation=generation, request_id="ann")[0] == "replayed"
    assert [sale.define(add=5, request_id=name)[0] for name in ("cem", "dan")] == ["changed"] * 2
    assert sale.stock() == (25, 25, 0, 0)


def test_request_that_created_a_sale_or_changed_nothing_is_made_once(sale: Sale) -> None:
    assert sale.define(total=10, request_id="ann")[0] == "created"
    assert sale.define(add=5, request_id="bob")[0] == "changed"
    # A repeat whose answer was lost: it would take bob's units away.
    assert sale.define(total=10, request_id="ann")[0] == "replayed"
    entries = len(sale.outbox())
    assert (sale.define(total=15, request_id="cem")[0], len(sale.outbox())) == ("unchanged", entries)
    assert sale.define(add=5, request_id="dan")[0] == "changed"
    assert (sale.define(total=15, request_id="cem")[0], sale.stock()) == ("replayed", (20, 20, 0, 0))
    # The ledger has them for a rebuild, and nobody else sees them.
    assert b'"requests":"ann bob cem dan"' in sale.outbox()[-1][1]
    assert "requests" not in sale.define()[1]


def test_difference_never_falls_below_what_is_committed_nor_above_the_limit(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 4))
    before = sale.snapshot()
    assert [sale.define(add=add, request_id=str(add))[0] for add in (-7, -11, 10**9)] == [
        "below_committed",
        "below_committed",
        "above_limit",
    ]
    assert sale.snapshot() == before
    assert (sale.define(add=-6, request_id="r")[0], sale.stock()) == ("changed", (4, 0, 4, 0))


def test_unknown_sale_has_no_stock_to_add_to(sale: Sale) -> None:
    changes: list[dict[str, Any]] = [{"add": 1, "request_id": "r"}, {"total": 1, "if_generation": 1}, {"total": 1, "if_exists": True}]
    assert [sale.define(**change)[0] for change in changes] == ["unknown_sale"] * 3
    assert not sale.redis.exists(sale.keys.sale)


def test_last_sixteen_requests_are_remembered(sale: Sale) -> None:
    sale.define(total=0)
    for number in range(17):
        sale.define(add=1, request_id=f"r{number}")
    assert [sale.define(add=1, request_id=f"r{number}")[0] for number in (16, 1, 0)] == ["replayed", "replayed", "changed"]
    assert sale.stock()[0] == 18
