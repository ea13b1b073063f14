"""Pods of every kind are lost while a sale goes on: no acknowledged order is, nothing is oversold, and all of it comes back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.crowd import Crowd, sold_out
from tests.e2e.kube import Namespace, flash_sale, report, run, until

STOCK = 8000
PLANNED = ("rollout", "drain")
"""What an administrator does on purpose costs nobody an answer: refusals are clean 503s."""
SERVICES = ("gateway", "order-worker", "timeout-worker", "operator")
SERVERS = ("redis", "rabbitmq", "postgresql")


@dataclass
class Scene:
    """A sale with a crowd at it, which sees what a test does."""

    crowd: Crowd
    fault_at: float = 0.0

    def fault(self) -> None:
        """It happens now."""
        self.crowd.goes_on()
        self.fault_at = self.crowd.now()


@pytest.fixture
def scene(shop: Namespace, request: pytest.FixtureRequest) -> Iterator[Scene]:
    what = request.node.callspec.id
    name = f"chaos-{what}"
    shop.apply(flash_sale(name, STOCK, paymentWindowSeconds=900))
    until(lambda: shop.ready(name), 20, "Ready")
    scene = Scene(Crowd(shop, name).start(buyers_at_the_end=STOCK + 2000))
    yield scene
    # The sale goes on, whatever was broken.
    scene.crowd.goes_on()
    over = scene.crowd.now()
    told = scene.crowd.stop()
    report(f"crowd during {what}", **told.recovery(scene.fault_at), **told.outcomes)
    assert told.accepted_between(scene.fault_at, over) > 0
    assert told.bare_503 == 0, "a 503 came without Retry-After"
    if what in PLANNED:
        assert not told.errors, f"requests failed: {told.errors}"
    sold_out(shop, name, STOCK)


def state_of(shop: Namespace, *components: str) -> Mapping[str, set[str]]:
    """The pods that are there and Ready, by component: their uids."""

    def ready(pod: Mapping[str, Any]) -> bool:
        return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))

    return {name: {pod["metadata"]["uid"] for pod in shop.pods(name) if ready(pod)} for name in components}


def all_back(shop: Namespace, before: Mapping[str, set[str]]) -> Callable[[], bool]:
    """Whether as many pods of each component are Ready as there were."""
    return lambda: all(len(now) >= len(before[name]) for name, now in state_of(shop, *before).items())


@pytest.mark.parametrize("component", [*SERVICES, *SERVERS])
def test_a_pod_is_lost_while_it_sells(shop: Namespace, scene: Scene, component: str) -> None:
    before = state_of(shop, component)
    victim = shop.pods(component)[0]["metadata"]
    scene.fault()
    shop.delete_pod(victim["name"])

    def back() -> bool:
        return victim["uid"] not in state_of(shop, component)[component] and all_back(shop, before)()

    report(f"{component} killed", ready_again_seconds=f"{until(back, 180, f'{component} is back'):.1f}")


@pytest.mark.parametrize("what", ["rollout"])
def test_all_services_are_rolled_while_it_sells(shop: Namespace, scene: Scene, what: str) -> None:
    before = state_of(shop, *SERVICES)
    names = [f"deployment/flashsale-{name}" for name in SERVICES]
    scene.fault()
    shop.kubectl("rollout", "restart", *names)
    for name in names:
        shop.kubectl("rollout", "status", name, "--timeout=180s")
    assert not any(before[name] & pods for name, pods in state_of(shop, *SERVICES).items()), "an old pod is left"


def drained(shop: Namespace, scene: Scene, node: str, *components: str) -> None:
    """Drain a node of the pods of these components, and say which they were."""
    pods = [pod["metadata"]["name"] for name in components for pod in shop.pods(name) if pod["spec"]["nodeName"] == node]
    scene.fault()
    started_before = scene.fault_at
    run("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s",
        f"--pod-selector=app.kubernetes.io/name=flashsale,app.kubernetes.io/component in ({','.join(components)})")  # fmt: skip
    report("node drained", seconds=f"{scene.crowd.now() - started_before:.1f}", pods=" ".join(pods))


@pytest.mark.parametrize("what", ["drain"])
def test_a_node_is_drained_of_the_engine_while_it_sells(shop: Namespace, scene: Scene, what: str) -> None:
    """The servers stay: their volumes are on the node, as everywhere with local disks."""
    before = state_of(shop, *SERVICES)
    node = shop.pods("gateway")[0]["spec"]["nodeName"]
    try:
        drained(shop, scene, node, *SERVICES)
        until(all_back(shop, before), 120, "the engine is on the nodes that are left")
    finally:
        run("kubectl", "uncordon", node)


@pytest.mark.parametrize("what", ["drain-servers"])
def test_a_node_is_drained_of_everything_while_it_sells(shop: Namespace, scene: Scene, what: str) -> None:
    """With Redis on it nothing is sold until it is back; what was answered is kept."""
    before = state_of(shop, *SERVICES, *SERVERS)
    node = shop.pods("redis")[0]["spec"]["nodeName"]
    try:
        drained(shop, scene, node, *SERVICES, *SERVERS)
    finally:
        run("kubectl", "uncordon", node)
    until(all_back(shop, before), 180, "everything is back")
