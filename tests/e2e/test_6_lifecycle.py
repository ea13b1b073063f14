"""Upgrade and rollback with a live sale, a second release with faults in its servers, and what an uninstall leaves behind."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsale_core.keys import sale_keys
from tests.e2e.backups import run_commands
from tests.e2e.crowd import Crowd, wait_until_sold_out
from tests.e2e.earlier import VERSION, EarlierRelease, earlier_release
from tests.e2e.kube import CHART, VALUES, Namespace, flash_sale, image_tag, numbers, report, run, until
from tests.e2e.versions import NEW, OLD, migrate, second_version, stored_versions


def secrets(shop: Namespace) -> dict[str, dict[str, str]]:
    items = shop.get("secrets")["items"]
    return {secret["metadata"]["name"]: secret["data"] for secret in items if not secret["type"].startswith("helm.sh/")}


def test_helm_test_succeeds(shop: Namespace) -> None:
    assert "Succeeded" in shop.helm("test", "--timeout", "240s")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> EarlierRelease:
    return earlier_release(tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def upgraded(earlier: EarlierRelease) -> Iterator[Namespace]:
    """A release of the earlier version, with its own images."""
    namespace = Namespace("flashsale-e2e-upgrade")
    namespace.delete()
    namespace.create()
    tag = ("--set", f"image.tag={earlier.image_tag}")
    namespace.install(*CLUSTER_IP, *tag, chart=earlier.chart, values=earlier.values)
    yield namespace
    namespace.uninstall()
    namespace.delete()


CLUSTER_IP = ("--set", "gateway.service.type=ClusterIP")


def test_upgrade_and_rollback_do_not_disturb_a_sale(upgraded: Namespace, earlier: EarlierRelease) -> None:
    """The sale continues, and what was there stays; then helm rolls back, and upgrades again.

    From the same chart the servers keep running, and no request fails. A chart that changes them restarts them: while Redis is away, no
    gateway is ready, so clients also find nobody to connect to.
    """
    shop = upgraded
    assert f"flashsale-{VERSION}" in run("helm", "list", "--namespace", shop.name)
    shop.apply(flash_sale("upgraded", 8000, paymentWindowSeconds=900), flash_sale("untouched", 100, paymentWindowSeconds=900))
    until(lambda: shop.ready("upgraded") and shop.ready("untouched"), 10, "Ready")
    assert shop.cli("before", "flashsale load --product untouched --buyers 30").succeeded
    until(lambda: numbers(shop.sale("untouched")) == (100, 70, 30, 0), 40, "the status contains 30 holds")
    before = lasting_state(shop)
    crowd = Crowd(shop, "upgraded").start(buyers_at_the_end=10_000)
    begun = crowd.now()
    seconds = shop.install(*CLUSTER_IP, release_command="upgrade")
    report(f"helm upgrade --wait from {VERSION} with a live sale", seconds=f"{seconds:.1f}", packaged=earlier.packaged)
    assert f"flashsale-{VERSION}" not in run("helm", "list", "--namespace", shop.name)
    assert kept(before, lasting_state(shop), earlier) == before
    crowd.wait_for_order()
    started = time.monotonic()
    shop.helm("rollback", "--wait", "--timeout", "480s")
    report("helm rollback --wait with a live sale", seconds=f"{time.monotonic() - started:.1f}")
    assert kept(before, lasting_state(shop), earlier) == before
    crowd.wait_for_order()
    over = crowd.now()
    result = crowd.stop()
    report("crowd during upgrade and rollback", **result.outcomes)
    assert result.bare_503 == 0
    assert earlier.packaged or result.errors == {}
    assert result.accepted_between(begun, over) > 0
    wait_until_sold_out(shop, "upgraded", 8000)
    shop.install(*CLUSTER_IP, release_command="upgrade")
    assert kept(before, lasting_state(shop), earlier) == before


def test_dump_brings_back_a_release_that_lost_every_volume(upgraded: Namespace, tmp_path: Path) -> None:
    """The holds are there again, the rest is sold, and the audit is clean."""
    shop = upgraded
    before = numbers(shop.sale("untouched"))
    values = yaml.safe_load(VALUES.read_text())
    values["image"]["tag"], values["gateway"]["service"] = image_tag(), {"type": "ClusterIP"}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    run_commands(shop, "Back up", tmp_path)
    shop.uninstall()
    shop.kubectl("delete", "persistentvolumeclaims", "--all", "--timeout=480s")
    started = time.monotonic()
    run_commands(shop, "Restore", tmp_path)
    report("restored from a dump after the loss of every volume", seconds=f"{time.monotonic() - started:.1f}")
    shop.apply(flash_sale("untouched", 100, paymentWindowSeconds=900))
    until(lambda: shop.ready("untouched"), 60, "Ready")
    until(lambda: numbers(shop.sale("untouched")) == before, 40, "the sale has its holds again")
    assert shop.cli("sell-on", "flashsale load --product untouched --buyers 200 && flashsale audit --wait-seconds 60").succeeded
    until(lambda: numbers(shop.sale("untouched")) == (100, 0, 100, 0), 40, "the remaining units are sold")


def kept(before: dict[str, Any], after: dict[str, Any], earlier: EarlierRelease) -> dict[str, Any]:
    """The part of a state that an upgrade from the earlier release must keep: a newer chart may add Secrets, keys and configuration."""
    if not earlier.packaged:
        return after
    secrets = {name: {key: after["secrets"][name][key] for key in data} for name, data in before["secrets"].items()}
    return after | {"secrets": secrets, "servers": before["servers"]}


def lasting_state(shop: Namespace) -> dict[str, Any]:
    """What an upgrade must not change: Secrets, a sale without new orders, and the servers' pods with their restart counts."""
    return {
        "secrets": secrets(shop),
        "sale": shop.hash(sale_keys("untouched").sale),
        "numbers": numbers(shop.sale("untouched")),
        "servers": server_pods(shop),
    }


def server_pods(shop: Namespace) -> dict[str, Any]:
    """The uid and the restart counts of each pod, by server."""
    return {
        name: [
            (pod["metadata"]["uid"], [container["restartCount"] for container in pod["status"]["containerStatuses"]])
            for pod in shop.pods(name)
        ]
        for name in ("redis", "rabbitmq", "postgresql")
    }


CHANGED_SERVERS = [
    word
    for server in ("redis", "rabbitmq", "postgresql")
    for word in ("--set", f"{server}.updateStrategy=OnDelete,{server}.podAnnotations.changed=yes")
]
"""New pods for the servers, which no upgrade makes by itself."""


def test_changed_values_and_rollback_keep_a_live_sale(shop: Namespace) -> None:
    shop.apply(flash_sale("changed", 100, paymentWindowSeconds=300))
    until(lambda: shop.ready("changed"), 10, "Ready")
    assert shop.cli("changed", "flashsale load --product changed --buyers 30").succeeded

    def state() -> tuple[Any, ...]:
        return secrets(shop), shop.hash(sale_keys("changed").sale), server_pods(shop)

    before = state()
    shop.install("--set", "logLevel=DEBUG", *CHANGED_SERVERS, release_command="upgrade")
    assert state() == before
    shop.helm("rollback", "--wait", "--timeout", "480s")
    assert state() == before
    assert shop.cli("changed-on", "flashsale load --product changed --buyers 100 && flashsale audit changed --wait-seconds 60").succeeded
    until(lambda: numbers(shop.sale("changed")) == (100, 0, 100, 0), 40, "the remaining units are sold")


def test_second_version_of_the_resource_is_served_and_stored(shop: Namespace) -> None:
    """The operator, which reads the old version, and clients of both versions see the same FlashSales before and after the migration."""
    shop.apply(flash_sale("of-old", 10))
    until(lambda: shop.ready("of-old"), 10, "Ready")
    started = time.monotonic()
    with second_version(shop):
        assert stored_versions() == [OLD, NEW]
        shop.apply(flash_sale("of-new", 10) | {"apiVersion": f"flashsale.dev/{NEW}"})
        shop.patch("of-old", stock=20)
        until(lambda: shop.ready("of-new") and shop.ready("of-old"), 90, "both are Ready")
        migrate(shop, NEW)
        assert stored_versions() == [NEW]
        listed = {version: shop.get(f"flashsales.{version}.flashsale.dev")["items"] for version in (OLD, NEW)}
        assert {item["apiVersion"] for item in listed[NEW]} == {f"flashsale.dev/{NEW}"}
        assert [item["spec"] for item in listed[OLD]] == [item["spec"] for item in listed[NEW]]
        shop.patch("of-new", stock=30)
        until(lambda: numbers(shop.sale("of-new")) == (30, 30, 0, 0), 90, "an edit after the migration is seen")
    report("second version served, stored, migrated and given up", seconds=f"{time.monotonic() - started:.1f}")
    assert stored_versions() == [OLD]
    shop.patch("of-new", stock=40)
    until(lambda: numbers(shop.sale("of-new")) == (40, 40, 0, 0), 90, "an edit after the way back is seen")


def test_templates_can_be_applied_without_helm(shop: Namespace) -> None:
    text = run("helm", "template", "other", CHART, "--namespace", shop.name, "--set", "generatedSecrets.withoutCluster=true")
    answer = shop.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=text)
    assert "deployment.apps/other-flashsale-gateway serverside-applied (server dry run)" in answer


@pytest.fixture(scope="module")
def other() -> Iterator[Namespace]:
    """A second release whose servers get faults in the tests below; at first its Redis writes nothing to disk."""
    other = Namespace("flashsale-e2e-weather")
    other.delete()
    other.create()
    set_redis(other, "install", "appendonly=no")
    yield other
    other.helm("uninstall", "--wait", "--timeout", "480s", "--ignore-not-found")
    other.delete()


def set_redis(other: Namespace, command: str, *config: str, check: bool = True) -> str:
    """Install or upgrade with these lines of Redis configuration."""
    words = ["--set", f"image.tag={image_tag()}", "--set", "gateway.service.type=ClusterIP,cleanup.force=true"]
    lines = [word for line in config for word in ("--set", f"redis.extraConfig.{line}")]
    return other.helm(command, CHART, "--values", VALUES, *words, *lines, check=check)


def readiness(shop: Namespace, component: str, port: int) -> str:
    """The answer of a pod's /readyz."""
    script = (
        "import urllib.request, urllib.error\n"
        f"try: print(urllib.request.urlopen('http://127.0.0.1:{port}/readyz', timeout=5).read().decode())\n"
        "except urllib.error.HTTPError as error: print(error.read().decode())\n"
    )
    pods = shop.pods(component)
    return shop.kubectl("exec", pods[0]["metadata"]["name"], "--", "python", "-c", script, check=False) if pods else ""


def test_redis_without_persistence_is_refused_with_the_reason(other: Namespace) -> None:
    until(
        lambda: "keeps no append-only file" in readiness(other, "gateway", 8000),
        90,
        "/readyz of the gateway gives the reason",
        every_seconds=1,
    )
    assert not other.pods_ready("gateway", 1)


def test_redis_that_may_evict_is_refused_with_the_reason(other: Namespace) -> None:
    set_redis(other, "upgrade", "maxmemory-policy=allkeys-lru")
    until(lambda: "Redis may evict sales (maxmemory-policy allkeys-lru)" in readiness(other, "gateway", 8000), 90, "the reason", 1)
    set_redis(other, "upgrade")
    until(lambda: other.pods_ready("gateway", 1), 90, "the gateway is ready once Redis is configured correctly", every_seconds=1)


def test_missing_broker_policy_is_named(other: Namespace) -> None:
    until(lambda: other.pods_ready("timeout-worker", 1), 90, "the timeout-worker is ready", every_seconds=1)
    other.kubectl("exec", "flashsale-rabbitmq-0", "-c", "rabbitmq", "--", "rabbitmqctl", "clear_policy", "wait-15")
    waited = until(lambda: "its policy wait-15 " in readiness(other, "timeout-worker", 9102), 90, "/readyz names the missing policy", 1)
    report("a policy removed from RabbitMQ is named", seconds=f"{waited:.0f}")
    # The bundled broker loads its definitions whenever it starts.
    other.delete_pod("flashsale-rabbitmq-0", None)
    until(lambda: other.pods_ready("timeout-worker", 1), 90, "ready again", every_seconds=1)


def test_order_worker_waits_for_a_missing_ledger_schema(other: Namespace) -> None:
    until(lambda: other.pods_ready("order-worker", 1), 90, "the order-worker is ready", every_seconds=1)
    other.postgres("alter table schema_migrations rename to gone")
    (pod,) = other.pods("order-worker")
    other.delete_pod(pod["metadata"]["name"], None)
    until(
        lambda: "no schema yet; run `flashsale migrate`" in readiness(other, "order-worker", 9101),
        90,
        "/readyz names the missing schema",
        1,
    )
    assert not other.pods_ready("order-worker", 1)
    other.postgres("alter table gone rename to schema_migrations")
    until(lambda: other.pods_ready("order-worker", 1), 60, "ready once the schema exists", every_seconds=1)


def test_wrong_password_is_reported_with_its_cure(other: Namespace) -> None:
    until(lambda: other.pods_ready("operator", 1), 90, "the operator is ready", every_seconds=1)
    other.kubectl("set", "env", "deployment/flashsale-operator", "REDIS_URL=redis://operator:wrong@flashsale-redis:6379/0")
    until(lambda: "look at REDIS_URL" in readiness(other, "operator", 9103), 60, "the operator names the cure", every_seconds=1)
    other.apply(flash_sale("unreachable", 1, paymentWindowSeconds=60))
    until(
        lambda: "look at REDIS_URL" in str(other.sale("unreachable").get("status")), 30, "the FlashSale names it as well", every_seconds=1
    )
    other.kubectl("set", "env", "deployment/flashsale-operator", "REDIS_URL=redis://operator:$(REDIS_PASSWORD)@flashsale-redis:6379/0")
    until(lambda: other.ready("unreachable"), 60, "Ready once the password is correct again", every_seconds=1)


@pytest.mark.parametrize(("secret", "claim"), [("flashsale-credentials", "redis"), ("flashsale-redis", "redis")])
def test_disk_without_its_secret_is_refused_with_the_cure(other: Namespace, secret: str, claim: str) -> None:
    other.helm("uninstall", "--wait", "--timeout", "480s", "--ignore-not-found")
    kept = other.get("secret", secret)
    other.kubectl("delete", "secret", secret)
    answer = set_redis(other, "install", check=False)
    assert f"PersistentVolumeClaim data-flashsale-{claim}-0 is left from an earlier installation" in answer
    assert f"Secret {secret}" in answer
    assert f"delete pvc data-flashsale-{claim}-0" in answer
    other.apply({**kept, "metadata": {"name": secret}})


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
    others = ("flashsale-e2e-weather", "flashsale-e2e-upgrade")
    ours = [name for name in names if "flashsale-e2e" in name or "flashsale.dev" in name]
    return sorted(name for name in ours if not any(other in name for other in others))


def kinds(namespaced: bool) -> list[str]:
    answer = run("kubectl", "api-resources", "--verbs=list", f"--namespaced={str(namespaced).lower()}", "-o", "name").split()
    return [name for name in answer if not name.startswith(("events", "pods.metrics", "nodes.metrics", "componentstatuses"))]
