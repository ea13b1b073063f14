"""Pods of every kind and a node are lost during a sale: no acknowledged order is lost, nothing is oversold, and everything recovers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.e2e.crowd import REST, Crowd, errors, wait_until_sold_out
from tests.e2e.kube import Namespace, flash_sale, report, run, until
from tests.e2e.replicas import SERVERS, all_back, ready_pods

STOCK = 24_000
"""More than one crowd buys during all faults on a slow machine."""
SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper", "operator")


class Fault(NamedTuple):
    what: str
    at: float
    over_at: float


class Scene:
    """A sale with a crowd that orders during all tests of this file, which add their faults."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.faults: list[Fault] = []

    @contextmanager
    def fault(self, what: str) -> Iterator[None]:
        """Between two accepted orders: the sale continues, whatever was broken."""
        self.crowd.wait_for_order()
        at = self.crowd.now()
        yield
        self.crowd.wait_for_order()
        self.faults.append(Fault(what, at, self.crowd.now()))


@pytest.fixture(scope="module")
def scene(shop: Namespace) -> Scene:
    shop.apply(flash_sale("chaos", STOCK, paymentWindowSeconds=1800))
    until(lambda: shop.ready("chaos"), 20, "Ready")
    return Scene(Crowd(shop, "chaos").start(buyers_at_the_end=REST + 2000))


def drain_node(node: str, *components: str) -> float:
    """Drain a node of the pods of these components; returns the seconds it took."""
    started = time.monotonic()
    run("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=480s",
        f"--pod-selector=app.kubernetes.io/name=flashsale,app.kubernetes.io/component in ({','.join(components)})")  # fmt: skip
    return time.monotonic() - started


def on(shop: Namespace, node: str, *components: str) -> str:
    """The names of the components' pods on a node."""
    return " ".join(pod["metadata"]["name"] for name in components for pod in shop.pods(name) if pod["spec"]["nodeName"] == node)


def test_no_request_fails_while_a_node_is_drained_of_services(shop: Namespace, scene: Scene) -> None:
    """Planned work of an administrator causes clean 503s at most. The servers stay, because their volumes are on the node's disk.

    test_3_rotation.py has the rollout of all services.
    """
    before = ready_pods(shop, *SERVICES)
    node = shop.pods("gateway")[0]["spec"]["nodeName"]
    pods = on(shop, node, *SERVICES)
    with scene.fault("drain of services"):
        try:
            seconds = drain_node(node, *SERVICES)
            until(all_back(shop, before), 120, "the services run on the remaining nodes")
        finally:
            run("kubectl", "uncordon", node)
    report("node drained of services", seconds=f"{seconds:.1f}", pods=pods)
    progress = scene.crowd.progress()
    assert (progress.accepted > 0, errors(progress.outcomes)) == (True, {})


@pytest.mark.parametrize("component", [*SERVICES, *SERVERS])
def test_sale_survives_the_loss_of_a_pod(shop: Namespace, scene: Scene, component: str) -> None:
    before = ready_pods(shop, component)
    victim = shop.pods(component)[0]["metadata"]

    def back() -> bool:
        return victim["uid"] not in ready_pods(shop, component)[component] and all_back(shop, before)()

    with scene.fault(f"loss of {component}"):
        shop.delete_pod(victim["name"])
        seconds = until(back, 180, f"{component} is back")
    report(f"{component} killed", ready_again_seconds=f"{seconds:.1f}")


def test_sale_survives_the_drain_of_the_node_with_redis(shop: Namespace, scene: Scene) -> None:
    """Nothing is sold until Redis is back."""
    before = ready_pods(shop, *SERVICES, *SERVERS)
    node = shop.pods("redis")[0]["spec"]["nodeName"]
    pods = on(shop, node, *SERVICES, *SERVERS)
    with scene.fault("drain of services and servers"):
        try:
            seconds = drain_node(node, *SERVICES, *SERVERS)
        finally:
            run("kubectl", "uncordon", node)
        until(all_back(shop, before), 180, "everything is back")
    report("node drained of services and servers", seconds=f"{seconds:.1f}", pods=pods)


def test_every_order_is_kept_and_nothing_is_oversold(shop: Namespace, scene: Scene) -> None:
    """After all faults of this file. The crowd's job fails if its audit misses an order that was answered."""
    stock = scene.crowd.leave(REST)
    result = scene.crowd.stop()
    for fault in scene.faults:
        accepted = result.accepted_between(fault.at, fault.over_at)
        report(f"crowd during {fault.what}", **result.recovery(fault.at, fault.over_at), accepted=accepted)
        assert accepted > 0
    report("crowd during all faults", **result.outcomes)
    assert result.bare_503 == 0, "a 503 had no Retry-After"
    wait_until_sold_out(shop, "chaos", stock)
