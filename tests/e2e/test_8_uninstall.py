"""What an uninstall refuses, and what it leaves behind. After this file, the shared release is gone."""

import time

from tests.e2e.kube import Namespace, flash_sale, report, run, until


def test_uninstall_with_a_live_sale_is_refused_and_changes_nothing(shop: Namespace) -> None:
    shop.apply(flash_sale("live", 10, paymentWindowSeconds=60))
    until(lambda: shop.ready("live"), 10, "Ready")
    started = time.monotonic()
    answer = shop.helm("uninstall", "--wait", "--timeout", "240s", check=False)
    report("uninstall with a live FlashSale is refused", seconds=f"{time.monotonic() - started:.1f}")
    assert "flashsale-cleanup" in answer
    reason = shop.kubectl("logs", "job/flashsale-cleanup")
    assert ("/live (Live, 10 units available)" in reason, "Nothing was changed" in reason) == (True, True), reason
    assert (shop.ready("live"), shop.pods_ready("gateway", 1)) == (True, True)
    assert "deletionTimestamp" not in shop.sale("live")["metadata"]


def test_uninstall_after_the_sales_keeps_data_and_secrets(shop: Namespace) -> None:
    assert "clusterrole.rbac.authorization.k8s.io/flashsale-e2e-flashsale-flashsales-view" in left_in_the_cluster(shop)
    report("uninstall after the FlashSales were deleted", seconds=f"{shop.uninstall():.1f}")
    # Claims keep their volumes; the cluster itself creates the two defaults in every namespace.
    until(lambda: left(shop) == LEFT, 60, f"left: {LEFT}", every_seconds=1)
    assert left_in_the_cluster(shop) == LEFT_IN_THE_CLUSTER


LEFT = [
    "configmap/kube-root-ca.crt",
    "persistentvolumeclaim/data-flashsale-postgresql-0",
    "persistentvolumeclaim/data-flashsale-rabbitmq-0",
    "persistentvolumeclaim/data-flashsale-redis-0",
    "secret/flashsale-credentials",
    "secret/flashsale-identity",
    "secret/flashsale-postgresql",
    "secret/flashsale-postgresql-ledger-api",
    "secret/flashsale-postgresql-roles",
    "secret/flashsale-rabbitmq",
    "secret/flashsale-redis",
    "secret/flashsale-redis-storefront",
    "serviceaccount/default",
]
LEFT_IN_THE_CLUSTER = [
    "apiservice.apiregistration.k8s.io/v1alpha1.flashsale.dev",
    "customresourcedefinition.apiextensions.k8s.io/flashsales.flashsale.dev",
    "namespace/flashsale-e2e",
]


def left(shop: Namespace) -> list[str]:
    """The objects of every kind in the namespace, except events, which expire by themselves."""
    return sorted(shop.kubectl("get", ",".join(kinds(namespaced=True)), "-o", "name", "--ignore-not-found").split())


def left_in_the_cluster(shop: Namespace) -> list[str]:
    """The cluster-wide objects of every kind that are named after the engine or this release."""
    names = run("kubectl", "get", ",".join(kinds(namespaced=False)), "-o", "name", "--ignore-not-found").split()
    others = ("flashsale-e2e-weather", "flashsale-e2e-upgrade", "flashsale-e2e-optional")
    ours = [name for name in names if "flashsale-e2e" in name or "flashsale.dev" in name]
    return sorted(name for name in ours if not any(other in name for other in others))


def kinds(namespaced: bool) -> list[str]:
    answer = run("kubectl", "api-resources", "--verbs=list", f"--namespaced={str(namespaced).lower()}", "-o", "name").split()
    return [name for name in answer if not name.startswith(("events", "pods.metrics", "nodes.metrics", "componentstatuses"))]
