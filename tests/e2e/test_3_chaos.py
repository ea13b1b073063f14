"""Pods of every kind are lost while a sale goes on: no acknowledged order is, nothing is oversold, and all of it comes back."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.kube import Namespace, flash_sale, last_json, numbers, report, run, until

# The crowd keeps on asking for about as long as the slowest part needs to come back, in waves, each with requests of its own.
WAVES = 12
PLANNED = ("rollout", "drain")
"""What an administrator does on purpose costs nobody an answer: refusals are clean 503s."""
BUYERS = 250


def selling(name: str) -> str:
    wave = f"flashsale load --product {name} --connections 40 --request-prefix w$i --orders-out /tmp/orders.$i --json --buyers"
    return (
        f"i=0; while [ $i -lt {WAVES} ]; do {wave} {BUYERS} | tr -d '\\n'; echo; i=$((i+1)); sleep 1.5; done;"
        # However many the fault turned away, the units that are left find their buyers.
        f" {wave} 2500 | tr -d '\\n'; echo;"
        f" cat /tmp/orders.* > /tmp/orders; flashsale audit {name} --wait-seconds 90 --expect-accepted /tmp/orders"
    )


def waves(logs: str) -> list[dict[str, Any]]:
    return [last_json(line) for line in logs.splitlines() if line.startswith("{")]


@pytest.fixture
def crowd(shop: Namespace, request: pytest.FixtureRequest) -> Iterator[str]:
    """A sale with a crowd at it; the test breaks something meanwhile, and the sale is judged afterwards."""
    name = f"chaos-{request.node.callspec.id}"
    shop.apply(flash_sale(name, 2000, paymentWindowSeconds=300))
    until(lambda: shop.ready(name), 20, "Ready")
    shop.start_cli(name, selling(name))
    until(lambda: shop.get("job", name).get("status", {}).get("ready") == 1, 60, "the crowd is there")
    yield name
    job = shop.finish_cli(name)
    assert job.succeeded, job.logs
    found = waves(job.logs)
    assert len(found) == WAVES + 1
    orders = sum(wave["orders"] for wave in found)
    groups: dict[str, int] = {}
    for wave in found:
        for group, count in wave["groups"].items():
            groups[group] = groups.get(group, 0) + count
    report(f"crowd during {name}", orders=orders, **{group: count for group, count in groups.items() if count})
    # An order whose answer was lost is held too, though no client can name it.
    assert orders <= 2000, job.logs
    until(lambda: numbers(shop.sale(name)) == (2000, 0, 2000, 0), 40, f"{name} is sold out, and no unit more", every_seconds=1)
    if request.node.callspec.id in PLANNED:
        assert not groups.get("error"), f"requests failed: {groups}"
    # What was forbidden was not answered, and the rest of the crowd got a clean refusal.
    assert not any(wave["broken"] for wave in found), job.logs


@pytest.mark.parametrize("component", ["gateway", "order-worker", "timeout-worker", "operator", "redis", "rabbitmq", "postgresql"])
def test_a_pod_is_lost_while_it_sells(shop: Namespace, crowd: str, component: str) -> None:
    count = len(shop.pods(component))
    victim = shop.pods(component)[0]
    shop.delete_pod(victim["metadata"]["name"])

    def back() -> bool:
        pods = shop.pods(component)
        return all(pod["metadata"]["uid"] != victim["metadata"]["uid"] for pod in pods) and shop.pods_ready(component, count)

    report(f"{component} killed", ready_again_seconds=f"{until(back, 180, f'{component} is back'):.1f}")


@pytest.mark.parametrize("what", ["rollout"])
def test_all_services_are_rolled_while_it_sells(shop: Namespace, crowd: str, what: str) -> None:
    names = [f"deployment/flashsale-{name}" for name in ("gateway", "order-worker", "timeout-worker", "operator")]
    threading.Event().wait(2)
    shop.kubectl("rollout", "restart", *names)
    for name in names:
        shop.kubectl("rollout", "status", name, "--timeout=180s")


@pytest.mark.parametrize("what", ["drain"])
def test_a_node_is_drained_while_it_sells(shop: Namespace, crowd: str, what: str) -> None:
    node = shop.pods("gateway")[0]["spec"]["nodeName"]
    try:
        run("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s",
            "--pod-selector=app.kubernetes.io/component in (gateway,order-worker,timeout-worker,operator)")  # fmt: skip
        until(lambda: shop.pods_ready("gateway", 2), 120, "two gateways on the nodes that are left")
    finally:
        run("kubectl", "uncordon", node)
