"""A release with faults in its servers: each service refuses with the reason, and is ready again once it is mended."""

from collections.abc import Iterator

import pytest

from tests.e2e.kube import CHART, VALUES, Namespace, flash_sale, image_tag, report, until

LET_GO_SECONDS = 5
"""How long a deletion waits for Redis."""


@pytest.fixture(scope="module")
def other() -> Iterator[Namespace]:
    """A release whose servers get faults in the tests below; at first its Redis writes nothing to disk."""
    other = Namespace("flashsale-e2e-weather")
    other.delete()
    other.create()
    set_redis(other, "install", "appendonly=no")
    yield other
    other.abandon()


def set_redis(other: Namespace, command: str, *config: str, check: bool = True) -> str:
    """Install or upgrade with these lines of Redis configuration."""
    words = ["--set", f"image.tag={image_tag()}", "--set", "gateway.service.type=ClusterIP,cleanup.force=true"]
    words += ["--set", f"operator.deleteWithoutRedisSeconds={LET_GO_SECONDS}"]
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
    other.kubectl("delete", "flashsale", "unreachable", "--timeout=120s")


def test_deletion_with_retain_ends_without_redis_and_one_with_drain_waits(other: Namespace) -> None:
    """Redis stays away: the next test removes the release."""
    # With a short window, a deletion looks again soon.
    other.apply(flash_sale("kept", 1, deletionPolicy="Retain", paymentWindowSeconds=5), flash_sale("drained", 1, paymentWindowSeconds=5))
    until(lambda: other.ready("kept") and other.ready("drained"), 20, "Ready")
    other.kubectl("scale", "statefulset/flashsale-redis", "--replicas=0")
    until(lambda: other.pods("redis") == [], 60, "Redis is gone")
    other.kubectl("delete", "flashsale", "kept", "drained", "--wait=false")
    seconds = until(lambda: other.phases().keys() == {"drained"}, 60, "only the FlashSale with Drain is left")
    report("deletion with Retain ends without Redis", seconds=f"{seconds:.1f}", bar=LET_GO_SECONDS + 10)
    (event,) = other.get("events", "--field-selector", "reason=DeletedWithoutRedis")["items"]
    assert (event["involvedObject"]["name"], "sale kept is in it with its holds" in event["message"]) == ("kept", True)
    other.patch("drained", deletionPolicy="Retain")
    until(lambda: other.phases() == {}, 30, "Retain ends the other deletion as well")


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
