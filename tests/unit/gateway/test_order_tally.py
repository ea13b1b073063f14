"""Orders counted together: the metrics show what counting each of them would show."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Histogram

from flashsale_gateway.metrics import BatchHistogram
from flashsale_gateway.order_tally import OrderTally

BUCKETS = (0.125, 0.5, 1)
SECONDS = (0.0, 0.125, 0.1875, 0.5, 0.875, 1.0, 2.5, 2.5)


def samples(registry: CollectorRegistry) -> set[tuple[str, str, float]]:
    return {
        (sample.name, sample.labels.get("le", sample.labels.get("outcome", "")), sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_batch_of_observations_fills_the_buckets_that_single_ones_fill() -> None:
    single, batch = CollectorRegistry(), CollectorRegistry()
    each, together = Histogram("took", "", buckets=BUCKETS, registry=single), BatchHistogram("took", "", buckets=BUCKETS, registry=batch)
    for amount in SECONDS:
        each.observe(amount)
    together.observe_all(SECONDS[:3])
    together.observe_all(SECONDS[3:])
    assert samples(batch) == samples(single)


async def test_orders_of_a_turn_are_counted_in_the_next() -> None:
    registry = CollectorRegistry()
    tally = OrderTally(Counter("orders", "", ["outcome"], registry=registry), BatchHistogram("took", "", registry=registry))
    for outcome in ("accepted", "accepted", "out_of_stock"):
        tally.add(outcome, 0.2)
    await asyncio.sleep(0)
    tally.add("accepted", 0.3)
    await asyncio.sleep(0)
    counts = [registry.get_sample_value("orders_total", {"outcome": outcome}) for outcome in ("accepted", "out_of_stock")]
    assert (counts, registry.get_sample_value("took_count")) == ([3, 1], 4)
