"""Pods of every kind are lost during a sale: no acknowledged order is lost, nothing is oversold, and everything recovers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.crowd import Crowd, wait_until_sold_out
from tests.e2e.kube import Namespace, flash_sale, report, run, until

STOCK = 8000
PLANNED = ("drain",)
"""Planned work by an administrator causes no failed request, only clean 503s. test_3_rotation.py has the rollout of all services."""
SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper", "operator")
SERVERS = ("redis", "rabbitmq", "postgresql")


@dataclass
class Scene:
    """A sale with a crowd that orders while a test causes a fault."""

    crowd: Crowd
    fault_at: float = 0.0

    def mark_fault(self) -> None:
        """Record that the fault happens now, after an order was accepted."""
        self.crowd.wait_for_order()
        self.fault_at = self.crowd.now()


@pytest.fixture
def scene(shop: Namespace, request: pytest.FixtureRequest) -> Iterator[Scene]:
    what = request.node.callspec.id
    name = f"chaos-{what}"
    shop.apply(flash_sale(name, STOCK, paymentWindowSeconds=900))
    until(lambda: shop.ready(name), 20, "Ready")
    scene = Scene(Crowd(shop, name).start(buyers_at_the_end=STOCK + 2000))
    yield scene
    # The sale continues, whatever was broken.
    scene.crowd.wait_for_order()
    over = scene.crowd.now()
    result = scene.crowd.stop()
    report(f"crowd during {what}", **result.recovery(scene.fault_at), **result.outcomes)
    assert result.accepted_between(scene.fault_at, over) > 0
    assert result.bare_503 == 0, "a 503 had no Retry-After"
    if what in PLANNED:
        assert not result.errors, f"requests failed: {result.errors}"
    wait_until_sold_out(shop, name, STOCK)


def ready_pods(shop: Namespace, *components: str) -> Mapping[str, set[str]]:
    """The uids of the Ready pods, by component."""

    def ready(pod: Mapping[str, Any]) -> bool:
        return any(listed["type"] == "Ready" and listed["status"] == "True" for listed in pod["status"].get("conditions", ()))

    return {name: {pod["metadata"]["uid"] for pod in shop.pods(name) if ready(pod)} for name in components}


def all_back(shop: Namespace, before: Mapping[str, set[str]]) -> Callable[[], bool]:
    """Whether each component has at least the number of Ready pods that it had before."""
    return lambda: all(len(now) >= len(before[name]) for name, now in ready_pods(shop, *before).items())


@pytest.mark.parametrize("component", [*SERVICES, *SERVERS])
def test_sale_survives_the_loss_of_a_pod(shop: Namespace, scene: Scene, component: str) -> None:
    before = ready_pods(shop, component)
    victim = shop.pods(component)[0]["metadata"]
    scene.mark_fault()
    shop.delete_pod(victim["name"])

    def back() -> bool:
        return victim["uid"] not in ready_pods(shop, component)[component] and all_back(shop, before)()

    report(f"{component} killed", ready_again_seconds=f"{until(back, 180, f'{component} is back'):.1f}")


def drain_node(shop: Namespace, scene: Scene, node: str, *components: str) -> None:
    """Drain a node of the pods of these components, and report them."""
    pods = [pod["metadata"]["name"] for name in components for pod in shop.pods(name) if pod["spec"]["nodeName"] == node]
    scene.mark_fault()
    started_before = scene.fault_at
    run("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=480s",
        f"--pod-selector=app.kubernetes.io/name=flashsale,app.kubernetes.io/component in ({','.join(components)})")  # fmt: skip
    report("node drained", seconds=f"{scene.crowd.now() - started_before:.1f}", pods=" ".join(pods))


@pytest.mark.parametrize("what", ["drain"])
def test_sale_continues_while_a_node_is_drained_of_services(shop: Namespace, scene: Scene, what: str) -> None:
    """The servers stay, because their volumes are on the node's disk."""
    before = ready_pods(shop, *SERVICES)
    node = shop.pods("gateway")[0]["spec"]["nodeName"]
    try:
        drain_node(shop, scene, node, *SERVICES)
        until(all_back(shop, before), 120, "the services run on the remaining nodes")
    finally:
        run("kubectl", "uncordon", node)


@pytest.mark.parametrize("what", ["drain-servers"])
def test_sale_survives_the_drain_of_the_node_with_redis(shop: Namespace, scene: Scene, what: str) -> None:
    """Nothing is sold until Redis is back, and every order that was answered is kept."""
    before = ready_pods(shop, *SERVICES, *SERVERS)
    node = shop.pods("redis")[0]["spec"]["nodeName"]
    try:
        drain_node(shop, scene, node, *SERVICES, *SERVERS)
    finally:
        run("kubectl", "uncordon", node)
    until(all_back(shop, before), 180, "everything is back")
