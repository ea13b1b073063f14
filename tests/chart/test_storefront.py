"""The storefront in the chart: its paths next to the gateway's, an environment that it starts with, and a way to Redis only."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsale_core.settings import Environment
from flashsale_operator.settings import read_settings as read_operator_settings
from flashsale_storefront.links import Links
from flashsale_storefront.ordering import Ordering
from flashsale_storefront.settings import Settings, read_settings
from tests.chart.rendering import find, helm, rendered
from tools.repository import ROOT

LUA = ROOT / "lua"
VALUES = {
    "ingress": {"enabled": True, "hosts": ["shop.example"]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "metrics": {"podMonitor": {"enabled": True}},
    "tracing": {"endpoint": "http://collector:4318"},
    "storefront": {
        "shopName": "Shoes: 100%",
        "signInUrl": "https://shop.example/sign-in?to={sale}",
        "payUrl": "https://shop.example/pay/{orderId}",
        "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
        "streams": {"max": 0, "maxPerAddress": 7},
        "autoscaling": {"enabled": True},
    },
}


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(VALUES))
    return ("--values", str(tmp_path / "values.yaml"))


def settings(*words: str) -> Settings:
    (container,) = find(rendered("", *words), "Deployment", "shop-flashsale-storefront")["spec"]["template"]["spec"]["containers"]
    return read_settings(Environment({entry["name"]: entry.get("value", "secret") for entry in container["env"]}))


def test_paths_of_pages_lead_to_the_storefront_and_all_others_to_the_gateway(words: tuple[str, ...]) -> None:
    documents = rendered("", *words)
    paths = find(documents, "Ingress", "shop-flashsale")["spec"]["rules"][0]["http"]["paths"]
    services = {path["path"]: path["backend"]["service"]["name"].removeprefix("shop-flashsale-") for path in paths}
    # What buyers and payment providers call of the gateway; probes and its own documents stay inside the cluster.
    public = {f"/{path.split('/')[1]}" for path in json.loads((ROOT / "docs" / "api" / "openapi.json").read_text())["paths"]}
    assert services == dict.fromkeys(public - {"/healthz", "/readyz", "/openapi.json", "/docs"}, "gateway") | {"/s": "storefront"}
    # A prefix of the two kinds ends at a slash, so /s is not the beginning of /sales.
    assert {path["pathType"] for path in paths} == {"Prefix"}
    gateways, pages = find(documents, "HTTPRoute", "shop-flashsale")["spec"]["rules"]
    assert {match["path"]["value"] for match in gateways["matches"]} == services.keys() - {"/s"}
    assert pages["matches"] == [{"path": {"type": "PathPrefix", "value": "/s"}}]
    assert pages["backendRefs"] == [{"name": "shop-flashsale-storefront", "port": 80}]


def test_storefront_starts_with_the_environment_that_it_gets(words: tuple[str, ...]) -> None:
    given = settings(*words)
    assert given.links == Links(sign_in="https://shop.example/sign-in?to={sale}", pay="https://shop.example/pay/{orderId}")
    assert (given.shop_name, given.trusted_proxies) == ("Shoes: 100%", ("10.0.0.0/8", "fd00::/8"))
    assert (given.streams_max, given.streams_per_address_max, given.port, given.probe_port) == (0, 7, 8003, 9107)
    assert (given.installation, given.redis_url.split(":$")[0], given.demo) == ("shop.shop-flashsale", "redis://storefront", None)
    assert (settings().links, settings().ordering) == (Links(), Ordering.NOBODY)
    assert settings("--set", "identity.modes={service,token}").ordering is Ordering.SIGNED_IN


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("ingress.enabled=true,ingress.hosts={shop.example,b.example}", "http://shop.example"),
        ("ingress.enabled=true,ingress.hosts={shop.example},ingress.tls[0].secretName=tls", "https://shop.example"),
        (
            "ingress.enabled=true,ingress.hosts={a.example,b.example},ingress.tls[0].hosts={b.example},ingress.tls[0].secretName=tls",
            "http://a.example",
        ),
        ("ingress.enabled=true,ingress.hosts={*.example}", None),
        ("ingress.enabled=true,ingress.hosts={shop.example},storefront.enabled=false", None),
        ("storefront.publicUrl=https://sale.example", "https://sale.example"),
        ("httpRoute.enabled=true,httpRoute.parentRefs[0].name=public,httpRoute.hostnames={shop.example}", None),
    ],
)
def test_operator_knows_where_pages_are_if_the_values_do(words: str, page: str | None) -> None:
    (container,) = find(rendered("", "--set", words), "Deployment", "shop-flashsale-operator")["spec"]["template"]["spec"]["containers"]
    given = {entry["name"]: entry.get("value", "secret") for entry in container["env"]}
    assert given.get("FLASHSALE_STOREFRONT_URL") == page
    assert read_operator_settings(Environment(given | {"FLASHSALE_LUA_DIR": str(LUA)})).storefront == (page or "")


def test_storefront_reaches_redis_and_its_sentinels_only(words: tuple[str, ...]) -> None:
    spec: dict[str, Any] = find(rendered("", *words, "--set", "redis.replicas=3"), "NetworkPolicy", "shop-flashsale-storefront")["spec"]
    dns, redis = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert redis["ports"] == [{"port": 6379}, {"port": 26379}]
    assert [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in redis["to"]] == ["redis"]
    pages, metrics = spec["ingress"]
    assert (pages, metrics["ports"]) == ({"ports": [{"port": "pages"}]}, [{"port": "http"}])
    assert metrics["from"] == VALUES["networkPolicy"]["metricsFrom"]  # type: ignore[index]


def test_crowd_gets_more_pods_and_its_metrics_are_on_no_service(words: tuple[str, ...]) -> None:
    documents = rendered("", *words)
    assert find(documents, "HorizontalPodAutoscaler", "shop-flashsale-storefront")["spec"]["maxReplicas"] == 10
    assert find(documents, "PodDisruptionBudget", "shop-flashsale-storefront")
    assert find(documents, "PodMonitor", "shop-flashsale-storefront")["spec"]["podMetricsEndpoints"][0]["port"] == "http"
    assert [port["targetPort"] for port in find(documents, "Service", "shop-flashsale-storefront")["spec"]["ports"]] == ["pages"]


def test_switching_it_off_leaves_nothing_of_it_and_restarts_no_redis() -> None:
    on, off = rendered(""), rendered("", "--set", "storefront.enabled=false", "--set", "ingress.enabled=true,ingress.hosts={a.example}")
    left = {(each["kind"], each["metadata"]["name"]) for each in off if "storefront" in each["metadata"]["name"]}
    assert left == {("Secret", "shop-flashsale-redis-storefront")}
    assert "-storefront" not in str(find(off, "Ingress", "shop-flashsale"))
    (before, after) = (find(each, "StatefulSet", "shop-flashsale-redis")["spec"] for each in (on, off))
    assert before == after


@pytest.mark.parametrize(
    ("setting", "cure"),
    [
        ("storefront.settings.FLASHSALE_STOREFRONT_DEMO=true", "name your shop's page with storefront.payUrl"),
        ("storefront.settings.FLASHSALE_STOREFRONT_PORT=1", "FLASHSALE_STOREFRONT_PORT"),
        ("storefront.settings.FLASHSALE_STOREFRONT_PAY_URL=x", "set it once with storefront.payUrl"),
        ("storefront.apiUrl=https://api.example", "Name the page's origin in gateway.corsOrigins"),
        ("storefront.publicUrl=https://shop.example:443", "write https://shop.example"),
        ("storefront.payUrl=javascript:1", "storefront/payUrl"),
        ("storefront.apiUrl=https://api.example/v1", "storefront/apiUrl"),
    ],
)
def test_what_cannot_work_is_refused_with_the_cure(setting: str, cure: str) -> None:
    status, text = helm("--set-string", setting)
    assert (status, cure in text) == (1, True), text
