"""The notifier in the chart: nothing unless it is enabled, and then with its own passwords, queue, rights and way out."""

import json
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml

from flashsale_core import topology
from tests.chart.rendering import find, rendered

VALUES = {
    "networkPolicy": {"enabled": True},
    "metrics": {"podMonitor": {"enabled": True}},
    "paymentWindows": [30, 60],
    "notifier": {
        "enabled": True,
        "allowedNetworks": ["10.1.0.0/16"],
        "endpoints": [
            {"name": "shop-eu", "url": "https://shop.example/hooks", "types": ["order.paid"], "secret": {"name": "hook", "key": "secret"}}
        ],
    },
}


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(VALUES))
    return ("--values", str(tmp_path / "values.yaml"))


def test_chart_without_the_notifier_has_nothing_of_it() -> None:
    text = str(rendered(""))
    assert "notifier" not in text
    assert "shop.events" not in text


def test_endpoints_reach_the_notifier_and_their_secrets_stay_in_secrets(words: tuple[str, ...]) -> None:
    (container,) = find(rendered("", *words), "Deployment", "shop-flashsale-notifier")["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry for entry in container["env"]}
    assert json.loads(env["FLASHSALE_NOTIFIER_ENDPOINTS"]["value"]) == [
        {"name": "shop-eu", "url": "https://shop.example/hooks", "types": ["order.paid"]}
    ]
    assert env["FLASHSALE_NOTIFIER_SECRET_SHOP_EU"]["valueFrom"]["secretKeyRef"] == {"name": "hook", "key": "secret"}
    assert (env["FLASHSALE_NOTIFIER_ALLOWED_NETWORKS"]["value"], "REDIS_URL" in env) == ("10.1.0.0/16", False)
    assert env["DATABASE_URL"]["value"].startswith("postgresql://flashsale_notifier:")


@pytest.mark.parametrize(("reserved", "events"), [("false", topology.Events.ON), ("true", topology.Events.WITH_RESERVED)])
def test_broker_gets_the_queue_that_the_engine_describes(words: tuple[str, ...], reserved: str, events: topology.Events) -> None:
    documents = rendered("", *words, "--set", f"notifier.reserved={reserved}")
    document = json.loads(find(documents, "ConfigMap", "shop-flashsale-rabbitmq")["data"]["definitions.json"])
    wanted = topology.definitions(topology.service_users({user["name"]: "" for user in document["users"]}), [30, 60], events=events)
    for part in ("queues", "bindings", "policies", "permissions"):
        assert sorted(map(str, document[part])) == sorted(map(str, wanted[part])) or sorted(
            json.dumps(entry, sort_keys=True) for entry in document[part]
        ) == sorted(json.dumps(entry, sort_keys=True) for entry in wanted[part])


def test_notifier_reaches_the_internet_and_none_of_the_clusters_addresses(words: tuple[str, ...]) -> None:
    documents = rendered("", *words)
    rules = find(documents, "NetworkPolicy", "shop-flashsale-notifier")["spec"]["egress"]
    blocks = [peer["ipBlock"] for rule in rules for peer in rule.get("to", []) if "ipBlock" in peer]

    def allows(address: str) -> bool:
        place = ip_address(address)
        return any(
            place in ip_network(block["cidr"]) and not any(place in ip_network(inside) for inside in block.get("except", []))
            for block in blocks
        )

    reached = [address for address in ("8.8.8.8", "2606:4700::1", "10.1.2.3") if allows(address)]
    assert reached == ["8.8.8.8", "2606:4700::1", "10.1.2.3"]
    assert [address for address in ("10.2.0.1", "192.168.0.1", "169.254.169.254", "172.16.0.1", "fd00::1") if allows(address)] == []
    assert find(documents, "PodMonitor", "shop-flashsale-notifier")["spec"]["podMetricsEndpoints"][0]["port"] == "http"


def test_passwords_are_in_secrets_of_their_own(words: tuple[str, ...]) -> None:
    documents = rendered("", *words)
    for server in ("rabbitmq", "postgresql"):
        assert list(find(documents, "Secret", f"shop-flashsale-{server}-notifier")["data"]) == ["notifier"]
        assert "notifier" not in find(documents, "Secret", f"shop-flashsale-{server}")["data"]
