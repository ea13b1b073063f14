"""values-production.yaml keeps every promise of docs/production.md that a rendering can show."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CLUSTER, HELM_TIMEOUT_SECONDS, PRODUCTION, containers, documents, find, pods, rendered
from tools.repository import CHART, ROOT

SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront")
SERVERS = ("redis", "rabbitmq")
GIBIBYTE = 2**30


def objects(kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind, by name without the release's."""
    prefix = "shop-flashsale-"
    return {document["metadata"]["name"].removeprefix(prefix): document for document in rendered(PRODUCTION) if document["kind"] == kind}


def test_every_secret_is_named_and_no_rendering_differs() -> None:
    words = ["helm", "template", "shop", str(CHART), "--namespace", "shop", "--api-versions", ",".join(CLUSTER)]
    words += ["--values", str(CHART / PRODUCTION)]
    first, second = (subprocess.run(words, capture_output=True, text=True, timeout=HELM_TIMEOUT_SECONDS, check=True) for _ in range(2))
    assert first.stdout == second.stdout
    assert [document for document in documents(first.stdout) if document["kind"] == "Secret"] == []


def test_whatever_buyers_need_runs_more_than_once() -> None:
    deployments = objects("Deployment")
    assert {name: deployment["spec"]["replicas"] for name, deployment in deployments.items()} == dict.fromkeys(SERVICES, 2) | {
        "operator": 1
    }
    assert {name: each["spec"]["replicas"] for name, each in objects("StatefulSet").items()} == dict.fromkeys(SERVERS, 3)


def test_a_drain_takes_one_pod_of_each_component_at_a_time() -> None:
    budgets = objects("PodDisruptionBudget")
    assert budgets.keys() == {*SERVICES, *SERVERS}
    assert {budget["spec"]["maxUnavailable"] for budget in budgets.values()} == {1}


def test_replicas_are_spread_over_nodes() -> None:
    for name, workload in (objects("Deployment") | objects("StatefulSet")).items():
        pod = workload["spec"]["template"]["spec"]
        (spread,) = [each for each in pod["topologySpreadConstraints"] if each["topologyKey"] == "kubernetes.io/hostname"]
        assert spread["whenUnsatisfiable"] == ("DoNotSchedule" if name in SERVERS else "ScheduleAnyway"), name


def test_every_pod_of_the_release_has_a_network_policy() -> None:
    selected = {policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for policy in objects("NetworkPolicy").values()}
    assert selected >= {*SERVICES, *SERVERS, "operator"}


def test_buyers_do_not_reach_the_admin_port() -> None:
    services = {name: [port["name"] for port in service["spec"]["ports"]] for name, service in objects("Service").items()}
    assert (services["gateway"], services["gateway-admin"]) == (["http"], ["admin"])
    rules = {port["port"]: rule.get("from") for rule in objects("NetworkPolicy")["gateway"]["spec"]["ingress"] for port in rule["ports"]}
    assert rules == {"http": None, "admin": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]}


def variable(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """A variable of the pod's first container; empty if there is none."""
    return next((variable for variable in containers(pod)[0].get("env", []) if variable["name"] == name), {})


def test_ledger_is_a_postgres_of_your_own_with_a_role_for_each_service() -> None:
    assert "postgresql" not in objects("StatefulSet")
    secrets = {name.split("flashsale-")[1]: variable(pod, "DATABASE_URL").get("valueFrom") for name, pod in pods(rendered(PRODUCTION))}
    named = {name: secret["secretKeyRef"] for name, secret in secrets.items() if secret}
    assert {secret["name"] for secret in named.values()} == {"shop-postgresql"}
    keys = {name: secret["key"] for name, secret in named.items() if not name.startswith("migrate")}
    assert keys == {
        "order-worker": "writer", "keeper": "keeper", "ledger-api": "ledger-api", "audit": "reader", "retention": "retention",
        "recover-plan": "keeper", "recover-run": "keeper", "recover-rebuild": "keeper",
    }  # fmt: skip
    assert [secret["key"] for name, secret in named.items() if name.startswith("migrate")] == ["url"]


def test_all_servers_use_tls() -> None:
    for name, pod in pods(rendered(PRODUCTION)):
        # Every pod has the authorities by which the servers are checked.
        assert "shop-ca" in [volume.get("secret", {}).get("secretName") for volume in pod["volumes"]], name
        assert variable(pod, "REDIS_URL").get("value", "rediss+sentinel://").startswith("rediss+sentinel://"), name
        assert variable(pod, "AMQP_URL").get("value", "amqps://").startswith("amqps://"), name


@pytest.mark.parametrize("server", SERVERS)
def test_memory_of_servers_is_reserved_and_leaves_room(server: str) -> None:
    """Kubernetes ends first what uses more than it requested. A rewrite of Redis' file may copy its data."""
    pod = find(rendered(PRODUCTION), "StatefulSet", f"shop-flashsale-{server}")["spec"]["template"]["spec"]
    resources = next(container["resources"] for container in pod["containers"] if container["name"] == server)
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    values = yaml.safe_load((CHART / PRODUCTION).read_text())
    used = {"redis": int(values["redis"]["maxmemory"].removesuffix("mb")) * 10**6, "rabbitmq": GIBIBYTE}[server]
    assert int(resources["limits"]["memory"].removesuffix("Gi")) * GIBIBYTE >= 2 * used


def test_every_service_is_measured_and_every_alert_is_rendered() -> None:
    assert objects("PodMonitor").keys() >= {*SERVICES, "operator", "rabbitmq"}
    (rule,) = objects("PrometheusRule").values()
    written = set(re.findall(r"- alert: (\w+)", (CHART / "files" / "alerts.yaml").read_text()))
    # These values leave the notifier and the console off.
    assert {each["alert"] for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each} == written - {
        "FlashsaleNotifierGone",
        "FlashsaleConsoleGone",
    }


def test_audit_and_retention_run_by_themselves() -> None:
    jobs = {name: job["spec"].get("suspend", False) for name, job in objects("CronJob").items()}
    assert (jobs["audit"], jobs["retention"]) == (False, False)


def test_page_names_only_values_that_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    page = (ROOT / "docs" / "production.md").read_text()
    names = {name for name in re.findall(r"`([a-z]\w*(?:\.\w+)+)(?:=[^`]*)?`", page) if name.split(".")[0] in values}
    assert names
    for name in names:
        here: Any = values
        for part in name.split("."):
            assert part in here, name
            here = here[part]


def test_page_lists_what_these_values_set() -> None:
    """Each section of the file has its row in the checklist."""
    values = yaml.safe_load((CHART / PRODUCTION).read_text())
    page = (ROOT / "docs" / "production.md").read_text()
    assert [name for name in values if f"`{name}" not in page] == []


def test_pod_of_the_runbook_s_parked_command_reaches_rabbitmq_as_the_worker_does() -> None:
    """RabbitMQ takes only TLS here, only pods of the release, and the namespace may enforce the restricted standard."""
    page = (ROOT / "docs" / "runbook" / "flashsale-parked-messages.md").read_text()
    program = re.findall(r"(?ms)^cat >parked.py <<'END'$(.*?)^END$", page)[0]
    worker = objects("Deployment")["order-worker"]
    words = [sys.executable, "-c", program, "registry.example/cli:1", "list", "--queue", "orders.parked"]
    done = subprocess.run(words, input=json.dumps(worker), capture_output=True, text=True, timeout=30, check=True)
    pod, template = json.loads(done.stdout), worker["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert (container["image"], container["args"]) == ("registry.example/cli:1", ["parked", "list", "--queue", "orders.parked"])
    assert pod["spec"]["volumes"] == template["spec"]["volumes"]
    for part in ("env", "volumeMounts", "securityContext"):
        assert container[part] == template["spec"]["containers"][0][part], part
    assert not container.keys() & {"lifecycle", "startupProbe", "readinessProbe", "livenessProbe"}
    labels = pod["metadata"]["labels"].items()
    (rule, *_) = objects("NetworkPolicy")["rabbitmq"]["spec"]["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= labels
    # The Deployment would take a pod with all of its labels for one too many.
    assert not worker["spec"]["selector"]["matchLabels"].items() <= labels
