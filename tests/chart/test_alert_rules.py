"""The rules of the PrometheusRule: those that fire for a missing service are rendered only for services that the release runs."""

import shutil

import pytest

from tests.chart.rendering import find, helm, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

ALL = {"gateway", "order-worker", "timeout-worker", "keeper", "operator", "ledger-api", "storefront"}
SCALED = {"gateway": "gateway", "order-worker": "orderWorker", "timeout-worker": "timeoutWorker", "storefront": "storefront"}


def keda(service: str, least: int) -> str:
    value = f"{SCALED[service]}.keda"
    return f"{value}.enabled=true,{value}.triggers[0].type=cron,{value}.minReplicas={least}"


def expected(*words: str) -> set[str]:
    documents = rendered("", "--set", "metrics.prometheusRule.enabled=true", *words)
    (group,) = find(documents, "PrometheusRule", "shop-flashsale")["spec"]["groups"]
    assert {"FlashsaleOversold", "FlashsaleLedgerStuck"} <= {rule["alert"] for rule in group["rules"]}
    return {rule["labels"]["service"] for rule in group["rules"] if "service" in rule["labels"]}


@pytest.mark.parametrize(
    ("words", "services"),
    [
        ((), ALL),
        (("--set", "operator.enabled=false"), ALL - {"operator"}),
        (("--set", "ledgerApi.enabled=false"), ALL - {"ledger-api"}),
        (("--set", "notifier.enabled=true"), ALL | {"notifier"}),
        (("--set", "storefront.enabled=false"), ALL - {"storefront"}),
        *((("--set", keda(service, 0)), ALL - {service}) for service in SCALED),
        *((("--set", keda(service, 1)), ALL) for service in SCALED),
        (("--set", "metrics.prometheusRule.services={gateway,keeper}"), {"gateway", "keeper"}),
        (("--set-json", "metrics.prometheusRule.services=[]"), set()),
    ],
)
def test_missing_services_are_an_alert_if_the_release_runs_them(words: tuple[str, ...], services: set[str]) -> None:
    assert expected(*words) == services


def test_rule_looks_only_at_the_release_s_namespace() -> None:
    documents = rendered("", "--set", "metrics.prometheusRule.enabled=true")
    (group,) = find(documents, "PrometheusRule", "shop-flashsale")["spec"]["groups"]
    (rule,) = [rule for rule in group["rules"] if rule["alert"] == "FlashsaleGatewayGone"]
    assert rule["expr"] == 'absent(flashsale_broker_up{namespace="shop"})'


def test_unknown_service_is_refused() -> None:
    status, text = helm("--set", "metrics.prometheusRule.services={orderWorker}")
    assert (status, "value must be one of 'gateway'" in text) == (1, True), text


def replica_rules(*words: str) -> dict[str, str]:
    """Service -> the number of its replicas below which an alert fires."""
    documents = rendered("", "--set", "metrics.prometheusRule.enabled=true", *words)
    (group,) = find(documents, "PrometheusRule", "shop-flashsale")["spec"]["groups"]
    rules = [rule for rule in group["rules"] if rule["alert"].endswith("ReplicaMissing")]
    return {rule["labels"]["service"]: rule["expr"].rsplit(" ", 1)[1] for rule in rules}


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("gateway.replicas=2", {"gateway": "2"}),
        ("gateway.replicas=1", {}),
        ("gateway.replicas=5,orderWorker.replicas=3,keeper.replicas=2", {"gateway": "5", "order-worker": "3", "keeper": "2"}),
        ("gateway.autoscaling.enabled=true,gateway.autoscaling.minReplicas=4", {"gateway": "4"}),
        (keda("order-worker", 2), {"gateway": "2", "order-worker": "2"}),
        (keda("order-worker", 0), {"gateway": "2"}),
        ("redis.replicas=3", {"gateway": "2", "keeper": "2"}),
        ("metrics.prometheusRule.services={keeper}", {}),
    ],
)
def test_missing_replica_is_an_alert_if_the_release_runs_several(words: str, numbers: dict[str, str]) -> None:
    assert replica_rules("--set", words) == numbers
