"""Which script calls a batch becomes, and which of them travel together."""

from flashsale_timeout_worker.calls import CHUNK, ROUND_CALLS_MAX, ROUND_ORDERS_MAX, Call, by_sale, calls, rounds


def ids(count: int) -> list[str]:
    return [f"o{number}" for number in range(count)]


def test_each_sale_has_calls_of_its_own_and_more_orders_than_one_takes_are_cut() -> None:
    many = ids(CHUNK + 88)
    assert list(calls({"shoe": many, "hat": ["o1"]})) == [Call("shoe", many[:CHUNK]), Call("shoe", many[CHUNK:]), Call("hat", ["o1"])]


def test_a_round_trip_is_bounded_in_calls_and_in_orders() -> None:
    small = [Call(f"s{number}", ["o1"]) for number in range(ROUND_CALLS_MAX + 1)]
    large = [Call("shoe", ids(CHUNK)) for _ in range(ROUND_ORDERS_MAX // CHUNK + 1)]
    assert list(rounds(small)) == [small[:-1], small[-1:]]
    assert list(rounds(large)) == [large[:-1], large[-1:]]
    assert list(rounds([])) == []


def test_members_are_grouped_by_sale() -> None:
    assert by_sale(["shoe|o1", "hat|o2", "shoe|o3"]) == {"shoe": ["o1", "o3"], "hat": ["o2"]}
