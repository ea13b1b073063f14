"""What helm does to a release whose sales go on: its test, changed values and a rollback, and rendering without helm."""

from typing import Any

from flashsale_core.keys import sale_keys
from tests.e2e.kube import CHART, Namespace, flash_sale, numbers, run, until
from tests.e2e.replicas import SERVERS, secrets, server_pods


def test_helm_test_succeeds(shop: Namespace) -> None:
    assert "Succeeded" in shop.helm("test", "--timeout", "240s")


CHANGED_SERVERS = [
    word for server in SERVERS for word in ("--set", f"{server}.updateStrategy=OnDelete,{server}.podAnnotations.changed=yes")
]
"""New pods for the servers, which no upgrade makes by itself."""


def test_changed_values_and_rollback_keep_a_live_sale(shop: Namespace) -> None:
    shop.apply(flash_sale("changed", 100, paymentWindowSeconds=300))
    until(lambda: shop.ready("changed"), 10, "Ready")
    assert shop.cli("flashsale load --product changed --buyers 30").succeeded

    def state() -> tuple[Any, ...]:
        return secrets(shop), shop.hash(sale_keys("changed").sale), server_pods(shop)

    before = state()
    shop.install("--set", "gateway.settings.FLASHSALE_LOG_LEVEL=DEBUG", *CHANGED_SERVERS, release_command="upgrade")
    assert state() == before
    shop.helm("rollback", "--wait", "--timeout", "480s")
    assert state() == before
    assert shop.cli("flashsale load --product changed --buyers 100 && flashsale audit changed --wait-seconds 60").succeeded
    until(lambda: numbers(shop.sale("changed")) == (100, 0, 100, 0), 40, "the remaining units are sold")


def test_templates_can_be_applied_without_helm(shop: Namespace) -> None:
    text = run("helm", "template", "other", CHART, "--namespace", shop.name, "--set", "generatedSecrets.withoutCluster=true")
    answer = shop.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=text)
    assert "deployment.apps/other-flashsale-gateway serverside-applied (server dry run)" in answer
