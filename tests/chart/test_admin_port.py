"""/admin and /metrics have a port of their own, which no Service outside the cluster, Ingress or HTTPRoute leads to."""

import json
import shutil
from typing import Any

import pytest

from tests.chart.rendering import MATRIX, containers, find, helm, pods, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

PUBLIC = ("gateway.service.type=LoadBalancer", "ingress.enabled=true,ingress.hosts={shop.example}")
ROUTE = "httpRoute.enabled=true,httpRoute.parentRefs[0].name=edge"
SCRAPED = ("--set", "metrics.podMonitor.enabled=true,networkPolicy.enabled=true")
ONE_PORT = ("--set", "gateway.admin.enabled=false")


def gateway(*words: str) -> dict[str, Any]:
    (pod,) = [pod for name, pod in pods(rendered("", *words)) if name == "Deployment/shop-flashsale-gateway"]
    return containers(pod)[0]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def targets(documents: list[dict[str, Any]]) -> dict[str, tuple[str, list[Any]]]:
    """Service of the gateways -> its type, and the pod's ports that it leads to."""
    services = [document for document in documents if document["kind"] == "Service" and "gateway" in document["metadata"]["name"]]
    return {
        service["metadata"]["name"]: (service["spec"]["type"], [port["targetPort"] for port in service["spec"]["ports"]])
        for service in services
    }


def test_public_service_leads_only_to_the_port_of_the_buyers() -> None:
    documents = rendered("", "--set", ",".join((*PUBLIC, ROUTE)))
    assert targets(documents) == {
        "shop-flashsale-gateway": ("LoadBalancer", ["http"]),
        "shop-flashsale-gateway-admin": ("ClusterIP", ["admin"]),
    }
    routed = json.dumps([document for document in documents if document["kind"] in ("Ingress", "HTTPRoute")])
    assert ("shop-flashsale-gateway" in routed, "admin" in routed) == (True, False)


def test_gateway_listens_on_the_ports_that_its_services_lead_to() -> None:
    container = gateway()
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    variables = environment(container)
    assert ports == {"http": variables["FLASHSALE_PORT"], "admin": variables["FLASHSALE_ADMIN_PORT"]}


def test_gateway_is_probed_where_no_crowd_takes_the_connections() -> None:
    probes = [gateway()[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    alone = [gateway(*ONE_PORT)[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert (probes, alone) == (["admin"] * 3, ["http"] * 3)


@pytest.mark.parametrize(("words", "port"), [((), "admin"), (ONE_PORT, "http")])
def test_metrics_are_scraped_from_the_port_that_has_them(words: tuple[str, ...], port: str) -> None:
    monitor = find(rendered("", *SCRAPED, *words), "PodMonitor", "shop-flashsale-gateway")
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == [port]


@pytest.mark.parametrize(
    ("words", "peers"),
    [
        ("networkPolicy.enabled=true", None),
        ("networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus", ["prometheus"]),
        ("networkPolicy.adminFrom[0].podSelector.matchLabels.app=office", ["office"]),
        (
            "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus,networkPolicy.adminFrom[0].podSelector.matchLabels.app=office",
            ["prometheus", "office"],
        ),
    ],
)
def test_policy_opens_the_admin_port_to_the_named_peers_only(words: str, peers: list[str] | None) -> None:
    rules = find(rendered("", *SCRAPED, "--set", words), "NetworkPolicy", "shop-flashsale-gateway")["spec"]["ingress"]
    by_port = {rule["ports"][0]["port"]: rule.get("from") for rule in rules}
    named = by_port["admin"] and [peer["podSelector"]["matchLabels"]["app"] for peer in by_port["admin"]]
    assert (named, by_port["http"]) == (peers, None)


def test_one_port_serves_everything_if_the_admin_port_is_off() -> None:
    documents = rendered("", *SCRAPED, *ONE_PORT)
    assert targets(documents) == {"shop-flashsale-gateway": ("ClusterIP", ["http"])}
    rules = find(documents, "NetworkPolicy", "shop-flashsale-gateway")["spec"]["ingress"]
    assert [rule["ports"] for rule in rules] == [[{"port": "http"}]]
    assert "FLASHSALE_ADMIN_PORT" not in environment(gateway(*ONE_PORT))


def test_values_of_an_earlier_release_keep_one_port() -> None:
    """`helm upgrade --reuse-values` brings no gateway.admin."""
    assert targets(rendered("", "--set", "gateway.admin=null")) == {"shop-flashsale-gateway": ("ClusterIP", ["http"])}


def test_port_in_the_gateway_s_own_variables_is_refused() -> None:
    status, text = helm("--set", "gateway.settings.FLASHSALE_ADMIN_PORT=9000")
    assert (status, "gateway sets FLASHSALE_ADMIN_PORT" in text) == (1, True), text


@pytest.mark.parametrize("values", MATRIX)
def test_every_named_port_of_the_gateway_exists(values: str) -> None:
    """A Service, policy, monitor or probe with a name that no container has would lead nowhere, without an error."""
    documents = rendered(values)
    (pod,) = [pod for name, pod in pods(documents) if name == "Deployment/shop-flashsale-gateway"]
    known = {port["name"] for port in containers(pod)[0]["ports"]}
    for document in documents:
        if document["metadata"]["name"].startswith("shop-flashsale-gateway") and document["kind"] in ("Service", "PodMonitor"):
            spec = document["spec"]
            named = [port["targetPort"] for port in spec.get("ports", ())] + [end["port"] for end in spec.get("podMetricsEndpoints", ())]
            assert set(named) <= known, (values, named)
