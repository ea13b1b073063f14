"""The rules of the PrometheusRule: those that fire for a missing service are rendered only for services that the release runs."""

import re
import shutil
from typing import Any

import pytest

from tests.chart.rendering import find, helm, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

ALL = {"gateway", "order-worker", "timeout-worker", "keeper", "operator", "ledger-api", "storefront"}
ENABLED = ("notifier", "console", "metrics.podMonitor", "metrics.prometheusRule")
EVERYTHING = ("--set", ",".join((*(f"{value}.enabled=true" for value in ENABLED), "console.existingSecret=people")))
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


def rules(*words: str) -> dict[str, dict[str, Any]]:
    """The rules of all services, by the name of the alert."""
    (group,) = find(rendered("", *EVERYTHING, *words), "PrometheusRule", "shop-flashsale")["spec"]["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


@pytest.mark.parametrize(
    ("words", "selector"),
    [
        ((), 'namespace="shop", app_kubernetes_io_instance="shop"'),
        # Scraped without the chart's PodMonitors, and so without these labels.
        (("--set-string", 'metrics.prometheusRule.selector=job=~"shop-.*"'), 'job=~"shop-.*"'),
    ],
)
def test_every_rule_looks_only_at_the_release_s_series(words: tuple[str, ...], selector: str) -> None:
    rendered_rules = rules(*words)
    assert {"FlashsaleGatewayGone", "FlashsaleErrorBudgetBurn", "FlashsaleConsoleGone"} <= rendered_rules.keys()
    for name, rule in rendered_rules.items():
        series = re.findall(r"\bflashsale_\w+(?:{([^}]*)})?", rule["expr"])
        assert series, name
        assert {matchers.startswith(selector) for matchers in series} == {True}, name


def test_alert_names_its_release() -> None:
    """Without these labels, Alertmanager would take the same alert of two releases for one."""
    for name, rule in rules().items():
        assert (rule["labels"]["namespace"], rule["labels"]["app_kubernetes_io_instance"]) == ("shop", "shop"), name


def test_monitors_label_the_series_that_the_rules_and_dashboards_select() -> None:
    monitors = [document for document in rendered("", *EVERYTHING) if document["kind"] == "PodMonitor"]
    assert monitors
    assert {tuple(monitor["spec"]["podTargetLabels"]) for monitor in monitors} == {("app.kubernetes.io/instance",)}


def test_every_service_is_scraped_and_missed_when_it_is_gone() -> None:
    documents = rendered("", *EVERYTHING)

    def components(kind: str) -> set[str]:
        return {document["metadata"]["labels"]["app.kubernetes.io/component"] for document in documents if document["kind"] == kind}

    services = components("Deployment")
    assert {"gateway", "notifier", "storefront", "console", "operator"} <= services
    for monitor in (document for document in documents if document["kind"] == "PodMonitor"):
        workload = find(
            documents, "StatefulSet" if monitor["metadata"]["name"].endswith("rabbitmq") else "Deployment", monitor["metadata"]["name"]
        )
        containers = workload["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for container in containers for port in container.get("ports", ())}
        assert {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} <= ports
    # The bundled Redis and Postgres have no metrics of their own, and the services miss all three servers.
    assert components("PodMonitor") - {"rabbitmq"} == services
    absent = {rule["labels"]["service"] for rule in rules().values() if rule["expr"].startswith("absent(")}
    assert absent == services


def test_selector_that_is_no_list_of_matchers_is_refused() -> None:
    status, text = helm("--set-string", "metrics.prometheusRule.selector=job=x")
    assert (status, "prometheusRule/selector" in text) == (1, True), text


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
