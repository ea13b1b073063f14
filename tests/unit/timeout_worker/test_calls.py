"""How a batch is split into script calls, and the calls into round trips."""

from flashsale_timeout_worker.calls import CHUNK, ROUND_TRIP_CALLS_MAX, ROUND_TRIP_ORDERS_MAX, Call, by_sale, round_trips, split_calls


def ids(count: int) -> list[str]:
    return [f"o{number}" for number in range(count)]


def test_each_sale_has_its_own_calls_of_at_most_a_chunk_of_orders() -> None:
    many = ids(CHUNK + 88)
    assert list(split_calls({"shoe": many, "hat": ["o1"]})) == [Call("shoe", many[:CHUNK]), Call("shoe", many[CHUNK:]), Call("hat", ["o1"])]


def test_round_trip_is_bounded_in_calls_and_in_orders() -> None:
    small = [Call(f"s{number}", ["o1"]) for number in range(ROUND_TRIP_CALLS_MAX + 1)]
    large = [Call("shoe", ids(CHUNK)) for _ in range(ROUND_TRIP_ORDERS_MAX // CHUNK + 1)]
    assert list(round_trips(small)) == [small[:-1], small[-1:]]
    assert list(round_trips(large)) == [large[:-1], large[-1:]]
    assert list(round_trips([])) == []


def test_members_are_grouped_by_sale() -> None:
    assert by_sale(["shoe|o1", "hat|o2", "shoe|o3"]) == {"shoe": ["o1", "o3"], "hat": ["o2"]}
