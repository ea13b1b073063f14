"""Sales through the Service: sold out and audited, unpaid units released on time, edits while they run, and drift repaired or fenced."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from flashsale_core.keys import sale_keys, shard_keys, shard_of
from tests.e2e.crowd import Crowd
from tests.e2e.kube import Namespace, condition, flash_sale, last_json, numbers, report, until


def wait_for_numbers(shop: Namespace, name: str, *expected: int, seconds: float = 40) -> None:
    """Wait until the status contains these (total, available, reserved, sold)."""
    until(lambda: numbers(shop.sale(name)) == expected, seconds, f"the stock numbers of {name} are {expected}", every_seconds=0.5)


def open_sale(shop: Namespace, name: str, stock: int, window: int = 60, **spec: object) -> None:
    shop.apply(flash_sale(name, stock, paymentWindowSeconds=window, **spec))
    until(lambda: shop.ready(name), 10, f"FlashSale {name} is Ready")


def test_ten_thousand_buyers_order_exactly_a_thousand_units(shop: Namespace) -> None:
    open_sale(shop, "rush", 1000, window=300, maxPerUser=1)
    shop.start_cli(
        "rush",
        "flashsale load --product rush --buyers 10000 --connections 300 --replays 0.1 --orders-out /tmp/orders --json"
        " && flashsale pay --orders-in /tmp/orders >/dev/null"
        " && flashsale audit rush --wait-seconds 60 --expect-accepted /tmp/orders",
    )
    job = shop.finish_cli("rush")
    assert job.succeeded, job.logs
    load = last_json(job.logs)
    report("10,000 buyers for 1,000 units through the Service", **{name: load[name] for name in ("seconds", "per_second") if name in load})
    wait_for_numbers(shop, "rush", 1000, 0, 0, 1000)
    until(lambda: shop.sale("rush")["status"]["phase"] == "SoldOut", 15, "phase SoldOut")
    metrics = shop.cli(METRICS)
    assert 'flashsale_sale_stock_units{sale="rush",state="sold"} 1000.0' in metrics.logs
    assert "on the port of the buyers: 404" in metrics.logs


METRICS = """python -c "
import os, urllib.error, urllib.request
try: urllib.request.urlopen(os.environ['FLASHSALE_URL'] + '/metrics')
except urllib.error.HTTPError as error: print('on the port of the buyers:', error.code)
print(urllib.request.urlopen(os.environ['FLASHSALE_ADMIN_URL'] + '/metrics').read().decode())" """


SWITCHES = {"queue": "FLASHSALE_TIMEOUT_WORKER_CONSUME", "sweep": "FLASHSALE_TIMEOUT_WORKER_SWEEP"}
"""What releases unpaid units -> the setting that switches it off."""
TIMEOUT_WORKER = "deployment/flashsale-timeout-worker"


def test_unpaid_units_are_released_by_the_queue_alone_and_by_the_sweeper_alone(shop: Namespace) -> None:
    try:
        set_timeout_worker(shop, f"{SWITCHES['sweep']}=false")
        assert released_units(shop, "waits") == {"queue": 50.0, "sweep": 0.0}
        set_timeout_worker(shop, f"{SWITCHES['queue']}=false", f"{SWITCHES['sweep']}-")
        assert released_units(shop, "swept") == {"queue": 0.0, "sweep": 50.0}
    finally:
        # The tests that follow need not wait for it.
        shop.kubectl("set", "env", TIMEOUT_WORKER, *(f"{name}-" for name in SWITCHES.values()))


def released_units(shop: Namespace, name: str) -> dict[str, float]:
    """Sell 50 units that nobody pays, and audit them after their payment window; returns the released units by clock."""
    before = {source: expired(shop, source) for source in SWITCHES}
    open_sale(shop, name, 50, window=5)
    assert orders(shop, name, 80) == 50
    until(lambda: counters(shop, name) == {"total": 50, "available": 50, "reserved": 0, "sold": 0}, 40, f"all units of {name} are released")
    job = shop.cli(f"flashsale audit {name} --wait-seconds 60")
    assert job.succeeded, job.logs
    return {source: expired(shop, source) - count for source, count in before.items()}


def set_timeout_worker(shop: Namespace, *settings: str) -> None:
    """Run the timeout-worker with these settings; `NAME-` removes one."""
    shop.kubectl("set", "env", TIMEOUT_WORKER, *settings)
    shop.kubectl("rollout", "status", TIMEOUT_WORKER, "--timeout=360s")
    until(lambda: len(shop.pods("timeout-worker")) == 1, 60, "one timeout-worker")


def expired(shop: Namespace, source: str) -> float:
    """Orders expired by one clock, as the only timeout-worker counts them."""
    (pod,) = shop.pods("timeout-worker")
    script = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9102/metrics').read().decode())"
    lines = shop.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", script).splitlines()
    samples = [line for line in lines if line.startswith(f'flashsale_expired_orders_total{{source="{source}"}}')]
    return float(samples[0].split()[-1]) if samples else 0.0


def test_edits_of_a_running_sale_keep_its_holds(shop: Namespace) -> None:
    """Each edit happens while a crowd orders. Holds from before it remain, and the sale follows the edit."""
    open_sale(shop, "edited", 4000, window=900)
    crowd = Crowd(shop, "edited").start()
    held = counters(shop, "edited")["reserved"]

    def edit(**spec: object) -> dict[str, int]:
        """Edit the sale and check that no hold is gone; returns the counters once the edit applies."""
        nonlocal held
        shop.patch("edited", **spec)
        until(lambda: shop.ready("edited"), 10, f"Ready with {spec}")
        now = counters(shop, "edited")
        assert now["reserved"] >= held
        held = now["reserved"]
        return now

    def takes_no_orders() -> None:
        before = counters(shop, "edited")
        time.sleep(3)  # The crowd keeps ordering.
        assert counters(shop, "edited") == before

    assert edit(stock=5000)["total"] == 5000
    crowd.wait_for_order()
    assert edit(stock=3500)["total"] == 3500
    crowd.wait_for_order()
    # A stock below the committed units is refused with the numbers; the sale continues, and the rest of the edit applies.
    shop.patch("edited", stock=1, maxPerUser=7)
    until(lambda: condition(shop.sale("edited"), "Stalled").get("reason") == "BelowCommitted", 10, "Stalled")
    assert "units already committed" in condition(shop.sale("edited"), "Stalled")["message"]
    assert counters(shop, "edited")["total"] == 3500
    assert shop.redis("HGET", sale_keys("edited").sale, "max_per_user") == "7"
    crowd.wait_for_order()
    edit(stock=3500, paused=True)
    takes_no_orders()
    edit(paused=False)
    crowd.wait_for_order()
    edit(endsAt=(datetime.now(UTC) - timedelta(seconds=1)).isoformat(timespec="seconds"))
    until(lambda: shop.sale("edited")["status"]["phase"] == "Ended", 10, "phase Ended")
    takes_no_orders()
    edit(endsAt=(datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds"))
    crowd.wait_for_order()
    result = crowd.stop()
    report("edited while it sells", **result.outcomes)
    assert result.outcomes["409 paused"] > 0
    assert result.outcomes["409 ended"] > 0
    assert (result.errors, result.bare_503) == ({}, 0)
    wait_for_numbers(shop, "edited", 3500, 3500 - result.accepted, result.accepted, 0)


def counters(shop: Namespace, name: str) -> dict[str, int]:
    """The sale's counters, read atomically; they never contradict each other."""
    names = ("total", "available", "reserved", "sold")
    counts = dict(zip(names, map(int, shop.redis("HMGET", sale_keys(name).sale, *names).split()), strict=True))
    assert counts["total"] == counts["available"] + counts["reserved"] + counts["sold"]
    return counts


def test_drift_is_repaired_or_fenced(shop: Namespace) -> None:
    """With live holds, a fenced sale sells nothing, and later no more than its stock."""
    key = sale_keys("drift").sale
    open_sale(shop, "drift", 10, window=300)
    assert orders(shop, "drift", 5) == 5
    shop.redis("HSET", key, "max_per_user", "99")
    seconds = until(lambda: shop.redis("HGET", key, "max_per_user") == "0", 10, "max_per_user matches the resource")
    report("a field changed by hand in Redis is repaired", seconds=f"{seconds:.1f}", bar="10")
    assert "NOPERM" in shop.redis("HDEL", key, "available")
    shop.redis("HSET", key, "available", "15")
    seconds = until(lambda: condition(shop.sale("drift"), "Stalled").get("reason") == "Inconsistent", 10, "Stalled")
    report("a sale with contradictory numbers is fenced", seconds=f"{seconds:.1f}", bar="10")
    assert orders(shop, "drift", 20) == 0
    shop.redis("HSET", key, "available", "5")
    until(lambda: shop.ready("drift"), 10, "Ready again")
    assert orders(shop, "drift", 20) == 5
    assert counters(shop, "drift") == {"total": 10, "available": 0, "reserved": 10, "sold": 0}


def test_lost_sale_is_stopped_and_then_restored_from_the_ledger(shop: Namespace) -> None:
    key, fence = sale_keys("lost").sale, shard_keys(shard_of("lost")).fence
    open_sale(shop, "lost", 10, window=300)
    assert orders(shop, "lost", 5) == 5
    assert shop.cli("flashsale audit lost --wait-seconds 60").succeeded
    shop.redis("UNLINK", key)
    seconds = until(lambda: condition(shop.sale("lost"), "Stalled").get("reason") == "DataLost", 10, "Stalled")
    report("a sale that disappeared from Redis is fenced", seconds=f"{seconds:.1f}", bar="10")
    assert shop.redis("HGET", key, "total") == ""
    assert orders(shop, "lost", 5) == 0
    # The runbook's cure.
    shop.redis("HSET", fence, "state", "fenced")
    seconds = until(lambda: shop.ready("lost") and numbers(shop.sale("lost")) == (10, 5, 5, 0), 60, "restored")
    report("a lost sale is restored from the ledger, once its shard is closed by hand", seconds=f"{seconds:.1f}", bar="60")
    assert orders(shop, "lost", 20) == 5
    assert counters(shop, "lost") == {"total": 10, "available": 0, "reserved": 10, "sold": 0}


def orders(shop: Namespace, name: str, buyers: int) -> int:
    """Let `buyers` order; returns how many got a unit."""
    return int(last_json(shop.cli(f"flashsale load --product {name} --buyers {buyers} --json; true").logs)["orders"])


def test_second_resource_for_a_product_stalls(shop: Namespace) -> None:
    open_sale(shop, "first", 5, productId="shared")
    shop.apply(flash_sale("second", 50, paymentWindowSeconds=60, productId="shared"))
    until(lambda: condition(shop.sale("second"), "Stalled").get("reason") == "NotOwner", 10, "Stalled")
    assert f"belongs to FlashSale {shop.name}/first" in condition(shop.sale("second"), "Stalled")["message"]
    assert shop.redis("HGET", sale_keys("shared").sale, "total") == "5"
    shop.kubectl("delete", "flashsale", "second", "--timeout=240s")
    assert shop.redis("HGET", sale_keys("shared").sale, "total") == "5"


def test_delete_with_drain_waits_for_holds_although_the_operator_is_killed(shop: Namespace) -> None:
    open_sale(shop, "drained", 20, window=15)
    assert orders(shop, "drained", 5) == 5
    shop.kubectl("delete", "flashsale", "drained", "--wait=false")

    def is_draining() -> bool:
        sale = shop.sale("drained")
        return sale["status"]["phase"] == "Draining" and "5 units are still reserved" in condition(sale, "Ready")["message"]

    until(is_draining, 10, "Draining")
    for pod in shop.pods("operator"):
        shop.delete_pod(pod["metadata"]["name"])
    seconds = until(lambda: "drained" not in shop.kubectl("get", "fs", "-o", "name"), 60, "gone")
    report("delete with Drain and a window of 15 s, and the operator is killed", gone_seconds=f"{seconds:.1f}")
    shard = shard_keys(shard_of("drained"))
    assert shop.redis("HGET", sale_keys("drained").sale, "total") == ""
    assert "drained" not in shop.redis("SMEMBERS", shard.sales, user="audit")


def test_delete_with_retain_keeps_the_sale_for_the_next_resource(shop: Namespace) -> None:
    open_sale(shop, "kept", 20, deletionPolicy="Retain")
    assert shop.cli("flashsale load --product kept --buyers 5").succeeded
    shop.kubectl("delete", "flashsale", "kept", "--timeout=240s")
    assert shop.redis("HMGET", sale_keys("kept").sale, "available", "reserved").split() == ["15", "5"]
    open_sale(shop, "kept-on", 30, productId="kept")
    assert numbers(shop.sale("kept-on")) == (30, 25, 5, 0)


KILLED = [f"killed-{number}" for number in range(150)]


@pytest.mark.parametrize("moment", ["create", "update", "delete"])
def test_killed_operator_finishes_interrupted_changes(shop: Namespace, moment: str) -> None:
    """The operator is killed when only the first of many created, changed or deleted FlashSales are done."""
    window = {"paymentWindowSeconds": 60}
    total = 12 if moment == "update" else 10

    def change() -> None:
        if moment == "delete":
            shop.kubectl("delete", "flashsale", *KILLED, "--wait=false")
        else:
            shop.apply(*(flash_sale(name, total, **window) for name in KILLED))

    def done() -> list[str]:
        listed = {sale["metadata"]["name"]: sale for sale in shop.get("flashsales")["items"]}
        if moment == "delete":
            return [name for name in KILLED if name not in listed]
        return [name for name in KILLED if name in listed and numbers(listed[name]) == (total, total, 0, 0)]

    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(change)
        until(lambda: len(done()) > 0, 60, f"the first {moment} is done", every_seconds=0)
        finished = len(done())
        for pod in shop.pods("operator"):
            shop.delete_pod(pod["metadata"]["name"])
        changed.result()
    started = time.monotonic()
    until(lambda: len(done()) == len(KILLED), 90, "all FlashSales are done", every_seconds=0.5)
    report(f"operator killed during {moment}", done_before=finished, of=len(KILLED), end_state_seconds=f"{time.monotonic() - started:.1f}")
    assert finished < len(KILLED), "the operator finished before it was killed"
    totals = shop.redis_answers([f"HGET {sale_keys(name).sale} total" for name in KILLED], "operator")
    assert set(totals.values()) == {"" if moment == "delete" else str(total)}
