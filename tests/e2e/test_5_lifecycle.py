"""Upgrade and rollback with a live sale, a second release beside the first, bad weather, and what an uninstall leaves."""

import time
from collections.abc import Iterator

import pytest

from flashsale_core.keys import sale_keys
from tests.e2e.kube import CHART, VALUES, Namespace, flash_sale, image_tag, numbers, report, run, until


def secrets(shop: Namespace) -> dict[str, object]:
    found = shop.get("secrets")["items"]
    return {one["metadata"]["name"]: one["data"] for one in found if not one["type"].startswith("helm.sh/")}


def test_helm_test(shop: Namespace) -> None:
    assert "Succeeded" in shop.helm("test", "--timeout", "60s")


def test_upgrade_and_rollback_leave_a_live_sale_alone(shop: Namespace) -> None:
    shop.apply(flash_sale("upgraded", 100, paymentWindowSeconds=300))
    until(lambda: shop.ready("upgraded"), 10, "Ready")
    assert shop.cli("upgraded", "flashsale load --product upgraded --buyers 30").succeeded
    before, sale = secrets(shop), shop.redis("HGETALL", sale_keys("upgraded").sale)
    seconds = shop.install("--set", "logLevel=DEBUG", release_command="upgrade")
    report("helm upgrade --wait with a live sale", seconds=f"{seconds:.1f}")
    assert (secrets(shop), shop.redis("HGETALL", sale_keys("upgraded").sale)) == (before, sale)
    started = time.monotonic()
    shop.helm("rollback", "--wait", "--timeout", "180s")
    report("helm rollback --wait with a live sale", seconds=f"{time.monotonic() - started:.1f}")
    assert (secrets(shop), shop.redis("HGETALL", sale_keys("upgraded").sale)) == (before, sale)
    assert shop.cli("upgraded-on", "flashsale load --product upgraded --buyers 100 && flashsale audit upgraded --wait-seconds 60").succeeded
    until(lambda: numbers(shop.sale("upgraded")) == (100, 0, 100, 0), 40, "sold on")


def test_templates_can_be_applied_without_helm(shop: Namespace) -> None:
    text = run("helm", "template", "other", CHART, "--namespace", shop.name)
    answer = shop.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=text)
    assert "deployment.apps/other-flashsale-gateway serverside-applied (server dry run)" in answer


@pytest.fixture(scope="module")
def other() -> Iterator[Namespace]:
    """A second release, which the tests below put into bad weather; at first its Redis keeps nothing."""
    other = Namespace("flashsale-e2e-weather")
    other.delete()
    other.create()
    set_redis(other, "install", "appendonly=no")
    yield other
    other.helm("uninstall", "--wait", "--timeout", "120s", "--ignore-not-found")
    other.delete()


def set_redis(other: Namespace, command: str, *config: str, check: bool = True) -> str:
    """Install or upgrade, with lines of Redis' configuration that are not the chart's."""
    words = ["--set", f"image.tag={image_tag()}", "--set", "gateway.service.type=ClusterIP"]
    lines = [word for line in config for word in ("--set", f"redis.extraConfig.{line}")]
    return other.helm(command, CHART, "--values", VALUES, *words, *lines, check=check)


def readiness(shop: Namespace, component: str, port: int) -> str:
    """What a pod's /readyz says."""
    script = (
        "import urllib.request, urllib.error\n"
        f"try: print(urllib.request.urlopen('http://127.0.0.1:{port}/readyz', timeout=5).read().decode())\n"
        "except urllib.error.HTTPError as error: print(error.read().decode())\n"
    )
    pods = shop.pods(component)
    return shop.kubectl("exec", pods[0]["metadata"]["name"], "--", "python", "-c", script, check=False) if pods else ""


def test_a_redis_that_forgets_is_refused_with_the_reason(other: Namespace) -> None:
    until(
        lambda: "keeps no append-only file" in readiness(other, "gateway", 8000),
        90,
        "the gateway says why it is not ready",
        every_seconds=1,
    )
    assert not other.pods_ready("gateway", 1)


def test_a_redis_that_evicts_is_refused_with_the_reason(other: Namespace) -> None:
    set_redis(other, "upgrade", "maxmemory-policy=allkeys-lru")
    until(lambda: "Redis may evict sales (maxmemory-policy allkeys-lru)" in readiness(other, "gateway", 8000), 90, "the reason", 1)
    set_redis(other, "upgrade")
    until(lambda: other.pods_ready("gateway", 1), 90, "the gateway is ready when Redis is as it should be", every_seconds=1)


def test_a_broker_without_a_policy_is_named(other: Namespace) -> None:
    until(lambda: other.pods_ready("timeout-worker", 1), 90, "the timeout-worker is ready", every_seconds=1)
    other.kubectl("exec", "flashsale-rabbitmq-0", "-c", "rabbitmq", "--", "rabbitmqctl", "clear_policy", "wait-15")
    waited = until(lambda: "its policy wait-15 " in readiness(other, "timeout-worker", 9102), 90, "the policy that is missing", 1)
    report("a policy taken from RabbitMQ is named", seconds=f"{waited:.0f}")
    # The bundled broker loads its definitions whenever it starts.
    other.delete_pod("flashsale-rabbitmq-0", None)
    until(lambda: other.pods_ready("timeout-worker", 1), 90, "ready again", every_seconds=1)


def test_a_ledger_without_its_schema_is_named_and_waited_for(other: Namespace) -> None:
    until(lambda: other.pods_ready("order-worker", 1), 90, "the order-worker is ready", every_seconds=1)
    assert other.cli("gone", rename("schema_migrations", "gone")).succeeded
    (pod,) = other.pods("order-worker")
    other.delete_pod(pod["metadata"]["name"], None)
    until(lambda: "no schema yet; run `flashsale migrate`" in readiness(other, "order-worker", 9101), 90, "what is missing", 1)
    assert not other.pods_ready("order-worker", 1)
    assert other.cli("back", rename("gone", "schema_migrations")).succeeded
    until(lambda: other.pods_ready("order-worker", 1), 60, "ready when the schema is there", every_seconds=1)


def rename(table: str, name: str) -> str:
    """A script that renames a table of the ledger."""
    statement = f"alter table {table} rename to {name}"
    return f"""python -c 'import asyncio, asyncpg, os
async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("{statement}")
asyncio.run(main())'"""


def test_a_wrong_password_is_named_with_its_cure(other: Namespace) -> None:
    until(lambda: other.pods_ready("operator", 1), 90, "the operator is ready", every_seconds=1)
    other.kubectl("set", "env", "deployment/flashsale-operator", "REDIS_URL=redis://operator:wrong@flashsale-redis:6379/0")
    until(lambda: "look at REDIS_URL" in readiness(other, "operator", 9103), 60, "the operator names the cure", every_seconds=1)
    other.apply(flash_sale("unreachable", 1, paymentWindowSeconds=60))
    until(lambda: "look at REDIS_URL" in str(other.sale("unreachable").get("status")), 30, "the FlashSale names it too", every_seconds=1)
    other.kubectl("set", "env", "deployment/flashsale-operator", "REDIS_URL=redis://operator:$(REDIS_PASSWORD)@flashsale-redis:6379/0")
    until(lambda: other.ready("unreachable"), 60, "Ready when the password is right again", every_seconds=1)


def test_a_disk_without_its_secret_is_refused_with_the_way_out(other: Namespace) -> None:
    other.helm("uninstall", "--wait", "--timeout", "120s")
    other.kubectl("delete", "secret", "flashsale-redis")
    answer = set_redis(other, "install", check=False)
    assert "PersistentVolumeClaim data-flashsale-redis-0 is left from an earlier installation" in answer
    assert "delete pvc data-flashsale-redis-0" in answer


def test_uninstall_with_live_sales_leaves_data_and_its_keys_alone(shop: Namespace) -> None:
    shop.apply(flash_sale("live", 10, paymentWindowSeconds=60))
    until(lambda: shop.ready("live"), 10, "Ready")
    report("uninstall with live FlashSales", seconds=f"{shop.uninstall():.1f}")
    kinds = "all,secrets,configmaps,serviceaccounts,roles,rolebindings,pvc,poddisruptionbudgets,jobs,cronjobs,flashsales"
    until(lambda: left(shop, kinds) == EXPECTED_LEFT, 60, f"left: {EXPECTED_LEFT}", every_seconds=1)


EXPECTED_LEFT = [
    "configmap/kube-root-ca.crt",
    "persistentvolumeclaim/data-flashsale-postgresql-0",
    "persistentvolumeclaim/data-flashsale-rabbitmq-0",
    "persistentvolumeclaim/data-flashsale-redis-0",
    "secret/flashsale-credentials",
    "secret/flashsale-postgresql",
    "secret/flashsale-rabbitmq",
    "secret/flashsale-redis",
    "serviceaccount/default",
]


def left(shop: Namespace, kinds: str) -> list[str]:
    return sorted(shop.kubectl("get", kinds, "-o", "name").split())
