"""Sales through the Service: sold out and audited, units back on time, edited while they run, and what drifts is repaired or fenced."""

import time

import pytest

from flashsale_core.keys import sale_keys, shard_keys, shard_of
from tests.e2e.kube import Namespace, condition, flash_sale, last_json, numbers, report, until


def settled(shop: Namespace, name: str, *expected: int, seconds: float = 40) -> None:
    """The status tells these (total, available, reserved, sold)."""
    until(lambda: numbers(shop.sale(name)) == expected, seconds, f"numbers of {name} are {expected}", every_seconds=0.5)


def opened(shop: Namespace, name: str, stock: int, window: int = 60, **spec: object) -> None:
    shop.apply(flash_sale(name, stock, paymentWindowSeconds=window, **spec))
    until(lambda: shop.ready(name), 10, f"FlashSale {name} is Ready")


def test_ten_thousand_orders_for_a_thousand_units(shop: Namespace) -> None:
    opened(shop, "rush", 1000, window=300, maxPerUser=1)
    job = shop.cli(
        "rush",
        "flashsale load --product rush --buyers 10000 --connections 300 --replays 0.1 --orders-out /tmp/orders --json"
        " && flashsale pay --orders-in /tmp/orders >/dev/null"
        " && flashsale audit rush --wait-seconds 60 --expect-accepted /tmp/orders",
    )
    assert job.succeeded, job.logs
    load = last_json(job.logs)
    report("10,000 buyers for 1,000 units through the Service", **{name: load[name] for name in ("seconds", "per_second") if name in load})
    settled(shop, "rush", 1000, 0, 0, 1000)
    until(lambda: shop.sale("rush")["status"]["phase"] == "SoldOut", 15, "phase SoldOut")
    metrics = shop.cli("rush-metrics", METRICS)
    assert 'flashsale_sale_stock_units{sale="rush",state="sold"} 1000.0' in metrics.logs


METRICS = """python -c "import urllib.request; print(urllib.request.urlopen('http://flashsale-gateway/metrics').read().decode())" """


def test_unpaid_units_come_back_through_the_broker(shop: Namespace) -> None:
    opened(shop, "waits", 50, window=5)
    job = shop.cli(
        "waits", "flashsale load --product waits --buyers 80 --orders-out /tmp/orders && sleep 9 && flashsale audit waits --wait-seconds 20"
    )
    assert job.succeeded, job.logs
    settled(shop, "waits", 50, 50, 0, 0)
    assert expired(shop, "queue") > 0


def test_unpaid_units_come_back_by_the_sweeper_alone(shop: Namespace) -> None:
    shop.kubectl("set", "env", "deployment/flashsale-timeout-worker", "FLASHSALE_TIMEOUT_WORKER_CONSUME=false")
    try:
        shop.kubectl("rollout", "status", "deployment/flashsale-timeout-worker", "--timeout=90s")
        opened(shop, "swept", 50, window=5)
        job = shop.cli(
            "swept",
            "flashsale load --product swept --buyers 80 --orders-out /tmp/orders && sleep 9 && flashsale audit swept --wait-seconds 20",
        )
        assert job.succeeded, job.logs
        settled(shop, "swept", 50, 50, 0, 0)
        assert expired(shop, "sweep") == 50
    finally:
        shop.kubectl("set", "env", "deployment/flashsale-timeout-worker", "FLASHSALE_TIMEOUT_WORKER_CONSUME-")
        shop.kubectl("rollout", "status", "deployment/flashsale-timeout-worker", "--timeout=90s")


def expired(shop: Namespace, source: str) -> float:
    """Orders expired by one clock, as the one timeout-worker counts them."""
    (pod,) = shop.pods("timeout-worker")
    script = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9102/metrics').read().decode())"
    lines = shop.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", script).splitlines()
    found = [line for line in lines if line.startswith(f'flashsale_expired_orders_total{{source="{source}"}}')]
    return float(found[0].split()[-1]) if found else 0.0


def test_edits_while_it_sells_leave_holds_alone(shop: Namespace) -> None:
    opened(shop, "edited", 100, window=300)
    assert shop.cli("edited", "flashsale load --product edited --buyers 60").succeeded
    settled(shop, "edited", 100, 40, 60, 0)
    shop.patch("edited", stock=200)
    settled(shop, "edited", 200, 140, 60, 0)
    shop.patch("edited", stock=70)
    settled(shop, "edited", 70, 10, 60, 0)
    # Below what is committed: said with the numbers, the sale goes on, and what came with it counts.
    shop.patch("edited", stock=30, maxPerUser=1)
    until(lambda: condition(shop.sale("edited"), "Stalled").get("reason") == "BelowCommitted", 10, "Stalled")
    assert "below the 60 units already committed (60 reserved, 0 sold)" in condition(shop.sale("edited"), "Stalled")["message"]
    assert shop.redis("HMGET", sale_keys("edited").sale, "total", "reserved", "max_per_user").split() == ["70", "60", "1"]
    assert last_json(shop.cli("edited-on", "flashsale load --product edited --buyers 20 --json").logs)["orders"] == 10
    shop.patch("edited", stock=80, paused=True)
    until(lambda: shop.ready("edited"), 10, "Ready again")
    refused = shop.cli("edited-paused", "flashsale load --product edited --buyers 5 --json")
    assert last_json(refused.logs)["orders"] == 0
    shop.patch("edited", paused=False)
    until(lambda: shop.ready("edited"), 10, "Ready again")
    settled(shop, "edited", 80, 10, 70, 0)


def test_drift_is_repaired_or_fenced(shop: Namespace) -> None:
    key = sale_keys("drift").sale
    opened(shop, "drift", 10)
    shop.redis("HSET", key, "max_per_user", "99")
    seconds = until(lambda: shop.redis("HGET", key, "max_per_user") == "0", 10, "max_per_user is as the resource says")
    report("a field changed by hand in Redis is set back", seconds=f"{seconds:.1f}", bar="10")
    assert "NOPERM" in shop.redis("HINCRBY", key, "available", "5")
    shop.redis("HSET", key, "available", "15")
    seconds = until(lambda: condition(shop.sale("drift"), "Stalled").get("reason") == "Inconsistent", 10, "Stalled")
    report("contradicting numbers are fenced", seconds=f"{seconds:.1f}", bar="10")
    assert last_json(shop.cli("drift", "flashsale load --product drift --buyers 20 --json; true").logs)["orders"] == 0
    shop.redis("HSET", key, "available", "10")
    until(lambda: shop.ready("drift"), 10, "Ready again")
    shop.redis("UNLINK", key)
    seconds = until(lambda: condition(shop.sale("drift"), "Stalled").get("reason") == "DataLost", 10, "Stalled")
    report("a sale gone from Redis is fenced", seconds=f"{seconds:.1f}", bar="10")
    assert shop.redis("HGETALL", key) == ""
    # Only a person says that nothing was sold: by creating it anew.
    shop.kubectl("delete", "flashsale", "drift", "--timeout=60s")
    opened(shop, "drift", 10)
    assert numbers(shop.sale("drift")) == (10, 10, 0, 0)


def test_two_resources_for_one_product(shop: Namespace) -> None:
    opened(shop, "first", 5, productId="shared")
    shop.apply(flash_sale("second", 50, paymentWindowSeconds=60, productId="shared"))
    until(lambda: condition(shop.sale("second"), "Stalled").get("reason") == "NotOwner", 10, "Stalled")
    assert f"belongs to FlashSale {shop.name}/first" in condition(shop.sale("second"), "Stalled")["message"]
    assert shop.redis("HGET", sale_keys("shared").sale, "total") == "5"
    shop.kubectl("delete", "flashsale", "second", "--timeout=60s")
    assert shop.redis("HGET", sale_keys("shared").sale, "total") == "5"


def test_delete_drains_first(shop: Namespace) -> None:
    opened(shop, "drained", 20, window=15)
    assert shop.cli("drained", "flashsale load --product drained --buyers 5").succeeded
    shop.kubectl("delete", "flashsale", "drained", "--wait=false")
    until(lambda: shop.sale("drained")["status"]["phase"] == "Draining", 10, "Draining")
    assert "5 units are reserved" in condition(shop.sale("drained"), "Ready")["message"]
    seconds = until(lambda: "drained" not in shop.kubectl("get", "fs", "-o", "name"), 60, "gone")
    report("delete with Drain and a window of 15 s", gone_seconds=f"{seconds:.1f}")
    shard = shard_keys(shard_of("drained"))
    assert shop.redis("HGETALL", sale_keys("drained").sale) == ""
    assert "drained" not in shop.redis("SMEMBERS", shard.sales, user="audit")


def test_delete_with_retain_leaves_the_sale_to_the_next(shop: Namespace) -> None:
    opened(shop, "kept", 20, deletionPolicy="Retain")
    assert shop.cli("kept", "flashsale load --product kept --buyers 5").succeeded
    shop.kubectl("delete", "flashsale", "kept", "--timeout=60s")
    assert shop.redis("HMGET", sale_keys("kept").sale, "available", "reserved").split() == ["15", "5"]
    opened(shop, "kept-on", 30, productId="kept")
    assert numbers(shop.sale("kept-on")) == (30, 25, 5, 0)


@pytest.mark.parametrize("moment", ["create", "update", "delete"])
def test_operator_killed_in_the_middle(shop: Namespace, moment: str) -> None:
    name = f"killed-{moment}"

    def kill() -> None:
        for pod in shop.pods("operator"):
            shop.delete_pod(pod["metadata"]["name"])

    if moment != "create":
        opened(shop, name, 10)
    started = time.monotonic()
    match moment:
        case "create":
            kill()
            shop.apply(flash_sale(name, 10, paymentWindowSeconds=60))
        case "update":
            shop.patch(name, stock=12)
            kill()
        case _:
            shop.kubectl("delete", "flashsale", name, "--wait=false")
            kill()
    if moment == "delete":
        until(lambda: name not in shop.kubectl("get", "fs", "-o", "name"), 60, "gone")
        assert shop.redis("HGETALL", sale_keys(name).sale) == ""
    else:
        total = 10 if moment == "create" else 12
        until(lambda: shop.ready(name) and numbers(shop.sale(name)) == (total, total, 0, 0), 60, "the same end state")
    report(f"operator killed during {moment}", end_state_seconds=f"{time.monotonic() - started:.1f}")
