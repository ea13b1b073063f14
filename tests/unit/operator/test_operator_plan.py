"""What the operator does about a resource, from what it wants and what Redis says."""

from dataclasses import replace
from typing import Any

import pytest

from flashsale_operator.plan import Adopt, Define, Keep, Stall, Step, Trouble, acting_owner, define_answer, owner_in_words, plan
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
    "late_payment": "refund", "state": "open",
}  # fmt: skip


def body(**spec: Any) -> dict[str, Any]:
    return {**BODY, "spec": BODY["spec"] | spec}


def trouble(step: Step) -> Trouble:
    assert isinstance(step, Stall)
    return step.trouble


def test_a_resource_is_read_with_all_its_fields() -> None:
    full = read_resource(
        body(
            productId="shoe-1", startsAt="2026-11-27T08:00:00+01:00", endsAt="2026-11-27T08:00:00Z", maxPerUser=2, maxReleasedPerUser=0,
            paused=True,
            rateLimit={"requests": 5, "seconds": 10}, latePayment="reacquire", deletionPolicy="Retain",
        )
        | {"status": {"epoch": 99}}
    )  # fmt: skip
    assert (full.product_id, full.owner, full.deletion_policy, full.epoch) == ("shoe-1", "shop/sneaker/u1", DeletionPolicy.RETAIN, 99)
    assert full.definition == {
        "total": 10, "starts_ms": 1795762800000, "ends_ms": 1795766400000, "max_per_user": 2, "max_released": 0,
        "hold_seconds": 60, "rate_requests": 5,
        "rate_seconds": 10, "late_payment": "reacquire", "state": "paused",
    }  # fmt: skip


def test_a_time_may_be_written_in_small_letters() -> None:
    small, large = (read_resource(body(startsAt=moment)) for moment in ("2026-11-27t08:00:00.5z", "2026-11-27T08:00:00.5Z"))
    assert small.definition["starts_ms"] == large.definition["starts_ms"] == 1795766400500


def test_a_resource_with_little_has_defaults() -> None:
    assert RESOURCE.product_id == "sneaker"
    assert {name: SALE[name] for name in RESOURCE.definition} == {name: str(value) for name, value in RESOURCE.definition.items()}


def test_a_sale_as_the_resource_says_is_left_alone() -> None:
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
def test_times_that_cannot_be_are_a_person_s_matter(spec: dict[str, Any], words: str) -> None:
    for sale in ({}, SALE):
        step = plan(read_resource(body(**spec)), sale, WINDOWS)
        assert trouble(step) is Trouble.TIMES_IMPOSSIBLE
        assert isinstance(step, Stall)
        assert step.message.startswith(words)


def test_a_sale_that_never_was_is_created() -> None:
    assert plan(RESOURCE, {}, WINDOWS) == Define("the sale does not exist yet")


def test_a_sale_that_was_loaded_once_is_never_created_again() -> None:
    loaded = replace(RESOURCE, epoch=7)
    assert trouble(plan(loaded, {}, WINDOWS)) is Trouble.DATA_LOST
    assert trouble(plan(loaded, SALE | {"epoch": "8"}, WINDOWS)) is Trouble.DATA_LOST


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"max_per_user": "9"}, "max_per_user differ"),
        ({"total": "12", "available": "8"}, "total differ"),
        ({"state": "paused", "hold_seconds": "300"}, "hold_seconds, state differ"),
        ({"generation": "2"}, "a new generation"),
        ({"owner": ""}, "the sale was released by its owner"),
    ],
)
def test_what_differs_is_set_again(change: dict[str, str], why: str) -> None:
    assert plan(RESOURCE, SALE | change, WINDOWS) == Define(why)


def test_a_missing_field_is_set_again() -> None:
    assert plan(RESOURCE, {name: value for name, value in SALE.items() if name != "late_payment"}, WINDOWS) == Define("late_payment differ")


def test_an_old_view_does_not_undo_a_newer_one() -> None:
    assert plan(RESOURCE, SALE | {"generation": "4", "max_per_user": "9"}, WINDOWS) == Keep()
    assert plan(RESOURCE, SALE | {"generation": "13", "base": "10"}, WINDOWS) == Keep()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"owner": "shop/other/u2"}, Trouble.NOT_OWNER),
        ({"owner": "admin"}, Trouble.NOT_OWNER),
        ({"available": "7"}, Trouble.INCONSISTENT),
        ({"available": "-1", "reserved": "10"}, Trouble.INCONSISTENT),
        ({"sold": "many"}, Trouble.INCONSISTENT),
        ({"epoch": "x"}, Trouble.INCONSISTENT),
        ({"base": "x"}, Trouble.INCONSISTENT),
        ({"state": "closed"}, Trouble.CLOSED),
    ],
)
def test_what_cannot_be_helped_is_said(change: dict[str, str], expected: Trouble) -> None:
    assert trouble(plan(RESOURCE, SALE | change, WINDOWS)) is expected


@pytest.mark.parametrize("field", ["owner", "state", "generation", "sold"])
def test_a_sale_that_lacks_a_field_only_the_scripts_write_is_broken(field: str) -> None:
    step = plan(RESOURCE, {name: value for name, value in SALE.items() if name != field}, WINDOWS)
    assert trouble(step) is Trouble.INCONSISTENT
    assert f"'{field}'" in str(step)


def test_a_sale_of_a_dead_resource_of_the_same_name_is_taken_over_once() -> None:
    # Its finalizer was taken away by hand, so nobody let go of the sale; a name has one resource at a time.
    orphan = SALE | {"owner": "shop/sneaker/u0"}
    assert plan(RESOURCE, orphan, WINDOWS) == Adopt("shop/sneaker/u0")
    # One that was loaded already does not take: two clusters on one Redis would take the sale from each other for ever.
    stall = plan(replace(RESOURCE, epoch=7), orphan, WINDOWS)
    assert stall == Stall(
        Trouble.NOT_OWNER,
        "product sneaker belongs to another FlashSale shop/sneaker (uid u0), of this cluster or of another one on the same Redis; "
        "to take it over, delete this resource and create it anew",
    )


@pytest.mark.parametrize("owner", ["shop/sneaker2/u0", "other/sneaker/u0", "sneaker/u0", "admin"])
def test_a_sale_of_another_name_is_not_taken_over(owner: str) -> None:
    assert trouble(plan(RESOURCE, SALE | {"owner": owner}, WINDOWS)) is Trouble.NOT_OWNER


@pytest.mark.parametrize(
    ("change", "acting"),
    [
        ({}, "shop/sneaker/u1"),
        ({"owner": "shop/sneaker/u0"}, "shop/sneaker/u0"),
        ({"owner": "shop/other/u0"}, "shop/sneaker/u1"),
        ({"owner": ""}, "shop/sneaker/u1"),
        ({"owner": "", "state": "closed"}, ""),
    ],
)
def test_a_deletion_ends_what_nobody_else_can_end(change: dict[str, str], acting: str) -> None:
    assert acting_owner(RESOURCE, SALE | change) == acting


def test_a_window_that_is_not_installed_is_named_with_those_that_are() -> None:
    step = plan(RESOURCE, SALE, (15, 300))
    assert isinstance(step, Stall)
    assert step.message == (
        "paymentWindowSeconds 60 is not installed; use one of 15, 300, or add it to the chart's paymentWindows"
    )  # fmt: skip


def test_stock_below_what_is_committed_is_told_with_the_numbers() -> None:
    stall = define_answer("below_committed", SALE, {"total": 2})
    assert stall is not None
    assert stall.trouble is Trouble.BELOW_COMMITTED
    assert "stock 2 is below the 4 units already committed (3 reserved, 1 sold); the sale goes on with 10." in stall.message


@pytest.mark.parametrize("status", ["created", "changed", "unchanged", "stale_generation"])
def test_other_answers_are_no_trouble(status: str) -> None:
    assert define_answer(status, SALE, {}) is None


def test_owners_are_named_as_people_know_them() -> None:
    assert owner_in_words("shop/sneaker/u1") == "FlashSale shop/sneaker"
    assert owner_in_words("admin") == "'admin' (set through POST /admin/stock)"
