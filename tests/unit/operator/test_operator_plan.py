"""What the operator does about a resource, given its spec and its sale in Redis."""

from dataclasses import replace
from typing import Any

import pytest

from flashsale_operator.plan import Adopt, Define, Keep, Stall, StallReason, Step, acting_owner, define_answer, not_owner, plan, unusable
from flashsale_operator.resource import DeletionPolicy, read_resource

WINDOWS = (60, 300)
BODY: dict[str, Any] = {
    "metadata": {"namespace": "shop", "name": "sneaker", "uid": "u1", "generation": 3},
    "spec": {"stock": 10, "paymentWindowSeconds": 60, "deletionPolicy": "Drain", "latePayment": "refund", "paused": False},
}
RESOURCE = read_resource(BODY)
SALE = {
    "owner": "shop/sneaker/u1", "generation": "3", "epoch": "7", "total": "10", "available": "6", "reserved": "3", "sold": "1",
    "starts_ms": "0", "ends_ms": "0", "max_per_user": "0", "max_released": "20",
    "hold_seconds": "60", "rate_requests": "0", "rate_seconds": "1",
    "late_payment": "refund", "price": "", "durability": "fsync", "state": "open",
}  # fmt: skip


def body(**spec: Any) -> dict[str, Any]:
    return {**BODY, "spec": BODY["spec"] | spec}


def reason_of(step: Step) -> StallReason:
    assert isinstance(step, Stall)
    return step.reason


def test_resource_is_read_with_all_its_fields() -> None:
    full = read_resource(
        body(
            productId="shoe-1", startsAt="2026-11-27T08:00:00+01:00", endsAt="2026-11-27T08:00:00Z", maxPerUser=2, maxReleasedPerUser=0,
            paused=True,
            rateLimit={"requests": 5, "seconds": 10}, latePayment="reacquire", durability="confirmed", deletionPolicy="Retain",
            price={"amountMinor": 1999, "currency": "EUR"},
        )
        | {"status": {"epoch": 99}}
    )  # fmt: skip
    assert (full.product_id, full.owner, full.deletion_policy, full.epoch) == ("shoe-1", "shop/sneaker/u1", DeletionPolicy.RETAIN, 99)
    assert full.definition == {
        "total": 10, "starts_ms": 1795762800000, "ends_ms": 1795766400000, "max_per_user": 2, "max_released": 0,
        "hold_seconds": 60, "rate_requests": 5,
        "rate_seconds": 10, "late_payment": "reacquire", "durability": "confirmed", "price": "1999 EUR", "state": "paused",
    }  # fmt: skip


def test_time_may_be_written_in_small_letters() -> None:
    small, large = (read_resource(body(startsAt=moment)) for moment in ("2026-11-27t08:00:00.5z", "2026-11-27T08:00:00.5Z"))
    assert small.definition["starts_ms"] == large.definition["starts_ms"] == 1795766400500


def test_resource_with_only_a_stock_has_defaults() -> None:
    assert RESOURCE.product_id == "sneaker"
    assert {name: SALE[name] for name in RESOURCE.definition} == {name: str(value) for name, value in RESOURCE.definition.items()}


@pytest.mark.parametrize(("windows", "window"), [((15, 60, 300), 300), ((30, 60), 60), ((600, 900), 600)])
def test_default_window_is_the_installed_one_nearest_to_300_s(windows: tuple[int, ...], window: int) -> None:
    minimal = read_resource(BODY | {"spec": {"stock": 10}}, windows)
    assert minimal.definition["hold_seconds"] == window
    assert plan(minimal, {}, windows) == Define("the sale does not exist yet")


def test_sale_that_matches_its_resource_is_kept() -> None:
    assert plan(RESOURCE, SALE, WINDOWS) == Keep()
    assert plan(replace(RESOURCE, epoch=7), SALE, WINDOWS) == Keep()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"startsAt": "0001-01-01T00:00:00+14:00"}, "startsAt must be from 1970-01-02 to 2999-12-31"),
        ({"startsAt": "0000-01-01T00:00:00Z"}, "startsAt must be from 1970-01-02 to 2999-12-31"),
        ({"endsAt": "2026-11-27T23:59:60Z"}, "endsAt must be from 1970-01-02"),
        ({"endsAt": "1970-01-01T00:00:00Z"}, "endsAt must be from 1970-01-02"),
        ({"endsAt": "9999-12-31T23:59:59-14:00"}, "endsAt must be from 1970-01-02"),
        ({"startsAt": "2030-01-02T00:00:00Z", "endsAt": "2030-01-02T00:00:00Z"}, "endsAt must be after startsAt"),
    ],
)
def test_impossible_times_stall_the_resource(spec: dict[str, Any], words: str) -> None:
    for sale in ({}, SALE):
        step = plan(read_resource(body(**spec)), sale, WINDOWS)
        assert reason_of(step) is StallReason.TIMES_IMPOSSIBLE
        assert isinstance(step, Stall)
        assert step.message.startswith(words)


def test_sale_that_never_existed_is_created() -> None:
    assert plan(RESOURCE, {}, WINDOWS) == Define("the sale does not exist yet")


def test_sale_that_was_loaded_once_is_never_created_again() -> None:
    loaded = replace(RESOURCE, epoch=7)
    assert reason_of(plan(loaded, {}, WINDOWS)) is StallReason.DATA_LOST
    assert reason_of(plan(loaded, SALE | {"epoch": "8"}, WINDOWS)) is StallReason.DATA_LOST


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"max_per_user": "9"}, "max_per_user differ"),
        ({"total": "12", "available": "8"}, "total differ"),
        ({"state": "paused", "hold_seconds": "300"}, "hold_seconds, state differ"),
        ({"generation": "2"}, "a new generation"),
        ({"owner": ""}, "the sale was released by its owner"),
        ({"owner": "shop//"}, "the sale was released by its owner"),
    ],
)
def test_different_fields_are_defined_again(change: dict[str, str], why: str) -> None:
    assert plan(RESOURCE, SALE | change, WINDOWS) == Define(why)


def test_missing_field_is_defined_again() -> None:
    assert plan(RESOURCE, {name: value for name, value in SALE.items() if name != "late_payment"}, WINDOWS) == Define("late_payment differ")


def test_older_generation_does_not_undo_a_newer_one() -> None:
    assert plan(RESOURCE, SALE | {"generation": "4", "max_per_user": "9"}, WINDOWS) == Keep()
    assert plan(RESOURCE, SALE | {"generation": "13", "base": "10"}, WINDOWS) == Keep()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"owner": "shop/other/u2"}, StallReason.NOT_OWNER),
        ({"owner": "admin"}, StallReason.NOT_OWNER),
        ({"owner": "other//"}, StallReason.NOT_OWNER),
        ({"owner": "shop2//"}, StallReason.NOT_OWNER),
        ({"available": "7"}, StallReason.INCONSISTENT),
        ({"available": "-1", "reserved": "10"}, StallReason.INCONSISTENT),
        ({"sold": "many"}, StallReason.INCONSISTENT),
        ({"epoch": "x"}, StallReason.INCONSISTENT),
        ({"base": "x"}, StallReason.INCONSISTENT),
        ({"state": "closed"}, StallReason.CLOSED),
    ],
)
def test_sale_that_cannot_be_changed_stalls_with_a_reason(change: dict[str, str], expected: StallReason) -> None:
    assert reason_of(plan(RESOURCE, SALE | change, WINDOWS)) is expected


@pytest.mark.parametrize("field", ["owner", "state", "generation", "sold"])
def test_sale_without_a_field_that_scripts_always_write_is_broken(field: str) -> None:
    step = plan(RESOURCE, {name: value for name, value in SALE.items() if name != field}, WINDOWS)
    assert reason_of(step) is StallReason.INCONSISTENT
    assert f"'{field}'" in str(step)


def test_sale_of_a_dead_resource_of_the_same_name_is_adopted_once() -> None:
    # The finalizer was removed by hand, so nobody released the sale; a name has one resource at a time.
    orphan = SALE | {"owner": "shop/sneaker/u0"}
    assert plan(RESOURCE, orphan, WINDOWS) == Adopt("shop/sneaker/u0")
    # A resource that was loaded already adopts nothing: two clusters on one Redis would take the sale from each other for ever.
    stall = plan(replace(RESOURCE, epoch=7), orphan, WINDOWS)
    assert stall == Stall(
        StallReason.NOT_OWNER,
        "sale sneaker belongs to another FlashSale shop/sneaker (uid u0), in this cluster or in another one that uses the same Redis; "
        "to take the sale over, delete this resource and create it again",
    )


@pytest.mark.parametrize("owner", ["shop/sneaker2/u0", "other/sneaker/u0", "sneaker/u0", "admin"])
def test_sale_of_a_resource_of_another_name_is_not_adopted(owner: str) -> None:
    assert reason_of(plan(RESOURCE, SALE | {"owner": owner}, WINDOWS)) is StallReason.NOT_OWNER


@pytest.mark.parametrize(
    ("change", "acting"),
    [
        ({}, "shop/sneaker/u1"),
        ({"owner": "shop/sneaker/u0"}, "shop/sneaker/u0"),
        ({"owner": "shop/other/u0"}, "shop/sneaker/u1"),
        ({"owner": ""}, "shop/sneaker/u1"),
        ({"owner": "", "state": "closed"}, ""),
        ({"owner": "shop//", "state": "closed"}, "shop//"),
        ({"owner": "other//", "state": "closed"}, "shop/sneaker/u1"),
    ],
)
def test_deletion_acts_in_the_name_of_a_dead_owner(change: dict[str, str], acting: str) -> None:
    assert acting_owner(RESOURCE, SALE | change) == acting


def test_uninstalled_window_is_named_with_the_installed_ones() -> None:
    step = plan(RESOURCE, SALE, (15, 300))
    assert isinstance(step, Stall)
    assert step.message == (
        "paymentWindowSeconds 60 is not installed; use one of 15, 300, or add it to paymentWindows in the chart's values"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("windows", "spec", "reason"),
    [
        ((15, 300), {}, StallReason.WINDOW_NOT_INSTALLED),
        (WINDOWS, {"paymentWindowSeconds": 61}, StallReason.WINDOW_NOT_INSTALLED),
        (WINDOWS, {"startsAt": "2026-11-27T08:00:00Z", "endsAt": "2026-11-27T07:00:00Z"}, StallReason.TIMES_IMPOSSIBLE),
    ],
)
def test_rest_of_a_change_applies_to_a_sale_that_exists(windows: tuple[int, ...], spec: dict[str, Any], reason: StallReason) -> None:
    paused = read_resource(body(paused=True, **spec))
    assert reason_of(plan(paused, {}, windows)) is reason
    assert plan(paused, SALE, windows) == Define("state differ")
    assert reason_of(plan(paused, SALE | {"state": "paused"}, windows)) is reason


def test_times_stay_out_of_a_sale_whose_window_is_not_installed_either() -> None:
    both = read_resource(body(startsAt="0001-01-01T00:00:00Z", paused=True))
    left_out = unusable(both, (300,))
    assert left_out.fields == {"hold_seconds", "starts_ms", "ends_ms"}
    assert left_out.stall is not None
    assert left_out.stall.reason is StallReason.WINDOW_NOT_INSTALLED
    assert plan(both, SALE, (300,)) == Define("state differ")


def test_stock_below_committed_units_is_refused_with_the_numbers() -> None:
    stall = define_answer("below_committed", SALE, read_resource(body(stock=2)))
    assert stall is not None
    assert stall.reason is StallReason.BELOW_COMMITTED
    assert "stock 2 is below the 4 units already committed (3 reserved, 1 sold); the sale continues with 10 units." in stall.message


@pytest.mark.parametrize("status", ["created", "changed", "unchanged", "stale_generation"])
def test_other_statuses_of_define_do_not_stall(status: str) -> None:
    assert define_answer(status, SALE, RESOURCE) is None


def test_message_names_an_owner_of_the_own_namespace() -> None:
    assert not_owner(RESOURCE, "shop/boots/u1").message == "sale sneaker belongs to FlashSale shop/boots"
    assert not_owner(RESOURCE, "admin").message == "sale sneaker belongs to 'admin' (set through POST /admin/stock)"


@pytest.mark.parametrize("owner", ["rival/secret-launch/u9", "rival//"])
def test_message_names_nothing_of_another_namespace(owner: str) -> None:
    stalls = [plan(RESOURCE, SALE | {"owner": owner}, WINDOWS), define_answer("not_owner", SALE | {"owner": owner}, RESOURCE)]
    for stall in stalls:
        assert isinstance(stall, Stall)
        assert stall.message == (
            "sale sneaker belongs to another namespace; choose another productId, or ask whoever runs this installation"
        )
