"""The console in the chart: nothing unless it is enabled, and then with its own role, Secret, doors and ways out."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flashsale_console.settings import read_settings
from flashsale_core.settings import Environment
from tests.chart.rendering import find, helm, rendered

VALUES = {
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "adminFrom": [{"namespaceSelector": {"matchLabels": {"name": "people"}}}],
    },
    "metrics": {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
    "console": {"enabled": True, "existingSecret": "people", "origins": ["https://console.example"]},
}
SECRETS = {"FLASHSALE_CONSOLE_ADMIN_KEY": "a" * 16, "FLASHSALE_CONSOLE_SESSION_KEY": "s" * 32}


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(VALUES))
    return ("--values", str(tmp_path / "values.yaml"))


def policy(documents: Any, component: str) -> dict[str, Any]:
    spec: dict[str, Any] = find(documents, "NetworkPolicy", f"shop-flashsale-{component}")["spec"]
    return spec


def test_chart_without_the_console_has_nothing_of_it() -> None:
    text = str(rendered(""))
    assert ("flashsale-console" in text, "-probes" in text, "FLASHSALE_CONSOLE" in text) == (False, False, False)


def test_console_starts_with_the_environment_that_it_gets(words: tuple[str, ...]) -> None:
    pod = find(rendered("", *words), "Deployment", "shop-flashsale-console")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {entry["name"]: entry.get("value") or SECRETS.get(entry["name"], "secret") for entry in container["env"]}
    settings = read_settings(Environment(given))
    assert (settings.origins, settings.gateway_url) == (("https://console.example",), "http://shop-flashsale-gateway-admin:8001")
    assert (settings.ledger_api_url, len(settings.metrics_urls)) == ("http://shop-flashsale-ledger-api:8002", 3)
    assert (settings.port, settings.probe_port) == (8004, 9108)
    assert "flashsale_console:" in settings.database_url
    assert "redis://audit:" in settings.redis_url
    assert {"name": "users", "secret": {"secretName": "people", "items": [{"key": "users", "path": "users"}]}} in pod["volumes"]
    assert (container["securityContext"]["readOnlyRootFilesystem"], pod["automountServiceAccountToken"]) == (True, False)


def test_console_asks_only_what_it_needs_and_each_of_these_lets_it_in(words: tuple[str, ...]) -> None:
    documents = rendered("", *words)
    asked = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: rule["ports"][0]["port"]
        for rule in policy(documents, "console")["egress"]
        for peer in rule.get("to", [])
    }
    assert asked == {
        "redis": 6379, "postgresql": 5432, "gateway": "admin", "ledger-api": "api",
        "keeper": "http", "order-worker": "http", "timeout-worker": "http",
    }  # fmt: skip
    for component, port in (("gateway", "admin"), ("ledger-api", "api"), ("keeper", "http"), ("order-worker", "http")):
        (rule,) = [rule for rule in policy(documents, component)["ingress"] if rule["ports"] == [{"port": port}]]
        assert "console" in str(rule["from"])
    (pages,) = [rule for rule in policy(documents, "console")["ingress"] if rule["ports"] == [{"port": "pages"}]]
    assert pages["from"] == VALUES["networkPolicy"]["adminFrom"]  # type: ignore[index]


def test_metrics_of_every_replica_have_a_name(words: tuple[str, ...]) -> None:
    documents = rendered("", *words)
    service = find(documents, "Service", "shop-flashsale-keeper-probes")["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"], service["ports"][0]["port"]) == ("None", True, 9104)
    assert find(documents, "PodMonitor", "shop-flashsale-console")
    assert "FlashsaleConsoleGone" in str(find(documents, "PrometheusRule", "shop-flashsale"))


def test_migration_creates_the_role_with_its_own_password(words: tuple[str, ...]) -> None:
    documents = rendered("", *words)
    assert find(documents, "Secret", "shop-flashsale-postgresql-console")["data"].keys() == {"console"}
    (job,) = [item for item in documents if item["kind"] == "Job" and "migrate" in item["metadata"]["name"]]
    assert "FLASHSALE_CONSOLE_PASSWORD" in str(job)


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("console.enabled=true",), "console.existingSecret is empty"),
        (("console.enabled=true", "console.existingSecret=people", "ledgerApi.enabled=false"), "enable it"),
        (("console.settings.FLASHSALE_CONSOLE_PORT=1",), "FLASHSALE_CONSOLE_PORT"),
    ],
)
def test_what_cannot_work_is_refused_with_the_cure(words: tuple[str, ...], cure: str) -> None:
    status, text = helm(*[word for pair in words for word in ("--set-string" if "settings" in pair else "--set", pair)])
    assert (status != 0, cure in text) == (True, True)
