"""Orders by sale: exact for those with a label, together for the rest, and bounded."""

from prometheus_client import CollectorRegistry, Counter

from flashsale_gateway.sale_counters import OTHER, SaleCounters


def counted(sales_max: int = 2) -> tuple[SaleCounters, CollectorRegistry]:
    registry = CollectorRegistry()
    return SaleCounters(Counter("orders", "", ["sale", "outcome"], registry=registry), sales_max, idle_seconds=100), registry


def value(registry: CollectorRegistry, sale: str, outcome: str) -> float | None:
    return registry.get_sample_value("orders_total", {"sale": sale, "outcome": outcome})


def test_a_batch_is_counted_by_outcome() -> None:
    demand, registry = counted()
    demand.count([("shoe", [["accepted", "R"], ["out_of_stock"], ["accepted", "R"]]), ("hat", [["accepted", "R"]])], 0)
    demand.count([("shoe", [["accepted", "R"]])], 1)
    assert (value(registry, "shoe", "accepted"), value(registry, "shoe", "out_of_stock"), value(registry, "hat", "accepted")) == (3, 1, 1)


def test_sales_past_the_bound_are_counted_together() -> None:
    demand, registry = counted()
    for sale in ("shoe", "hat", "coat", "sock"):
        demand.count([(sale, [["accepted"]])], 0)
    assert [value(registry, sale, "accepted") for sale in ("shoe", "hat", "coat", "sock", OTHER)] == [1, 1, None, None, 2]


def test_names_that_are_no_sale_get_no_label() -> None:
    demand, registry = counted()
    for number in range(100):
        demand.count([(f"made-up-{number}", [["unknown_sale"]])], 0)
    demand.count([("shoe", [["accepted"]])], 0)
    assert (value(registry, OTHER, "unknown_sale"), value(registry, "shoe", "accepted")) == (100, 1)


def test_a_label_is_given_up_after_an_hour_without_orders_to_a_sale_that_wants_it() -> None:
    demand, registry = counted()
    demand.count([("shoe", [["accepted"]])], 0)
    demand.count([("hat", [["accepted"]])], 10)
    demand.count([("shoe", [["accepted"]])], 20)
    demand.count([("coat", [["accepted"]])], 111)
    # The hat was idle for longer than the shoe.
    assert [value(registry, sale, "accepted") for sale in ("shoe", "hat", "coat")] == [2, None, 1]
    demand.count([("sock", [["accepted"]])], 112)
    assert value(registry, OTHER, "accepted") == 1
