"""Orders by sale: exact for sales with a label, one sum for the others, and a limit on the labels."""

from prometheus_client import CollectorRegistry, Counter

from flashsale_gateway.sale_counters import OTHER, SaleCounters


def counted(sales_max: int = 2) -> tuple[SaleCounters, CollectorRegistry]:
    registry = CollectorRegistry()
    return SaleCounters(Counter("orders", "", ["sale", "outcome"], registry=registry), sales_max, idle_seconds=100), registry


def value(registry: CollectorRegistry, sale: str, outcome: str) -> float | None:
    return registry.get_sample_value("orders_total", {"sale": sale, "outcome": outcome})


def test_batch_is_counted_by_outcome() -> None:
    counters, registry = counted()
    counters.count([("shoe", [["accepted", "R"], ["out_of_stock"], ["accepted", "R"]]), ("hat", [["accepted", "R"]])], 0)
    counters.count([("shoe", [["accepted", "R"]])], 1)
    assert (value(registry, "shoe", "accepted"), value(registry, "shoe", "out_of_stock"), value(registry, "hat", "accepted")) == (3, 1, 1)


def test_sales_past_the_limit_are_counted_together() -> None:
    counters, registry = counted()
    for sale in ("shoe", "hat", "coat", "sock"):
        counters.count([(sale, [["accepted"]])], 0)
    assert [value(registry, sale, "accepted") for sale in ("shoe", "hat", "coat", "sock", OTHER)] == [1, 1, None, None, 2]


def test_unknown_sales_get_no_label() -> None:
    counters, registry = counted()
    for number in range(100):
        counters.count([(f"made-up-{number}", [["unknown_sale"]])], 0)
    counters.count([("shoe", [["accepted"]])], 0)
    assert (value(registry, OTHER, "unknown_sale"), value(registry, "shoe", "accepted")) == (100, 1)


def test_idle_sale_loses_its_label_to_a_sale_that_needs_one() -> None:
    counters, registry = counted()
    counters.count([("shoe", [["accepted"]])], 0)
    counters.count([("hat", [["accepted"]])], 10)
    counters.count([("shoe", [["accepted"]])], 20)
    counters.count([("coat", [["accepted"]])], 111)
    # The hat was idle for longer than the shoe.
    assert [value(registry, sale, "accepted") for sale in ("shoe", "hat", "coat")] == [2, None, 1]
    counters.count([("sock", [["accepted"]])], 112)
    assert value(registry, OTHER, "accepted") == 1
