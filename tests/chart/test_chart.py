"""The chart as helm renders it, without a cluster: what is in it, what it refuses, and what must never change."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from flashsale_core import topology

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "flashsale"
MATRIX = ["", *sorted(path.name for path in (CHART / "ci").glob("*.yaml"))]
KUBERNETES_VERSIONS = ("1.29", "1.35")
"""Oldest and newest supported."""
SELECTORS = Path(__file__).with_name("selectors.json")
OWN = re.compile(r"(?:^|/)flashsale/")

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")


def helm(*words: object) -> tuple[int, str]:
    # As with a cluster at hand: hooks are rendered then.
    command = ["helm", "template", "shop", str(CHART), "--namespace", "shop", "--api-versions", "v1/Pod", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


@cache
def rendered(values: str, *words: str) -> list[dict[str, Any]]:
    status, text = helm(*(["--values", CHART / "ci" / values] if values else []), *words)
    assert status == 0, text
    return [document for document in yaml.safe_load_all(text) if document]


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what it belongs to, pod spec)"""
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        match document["kind"]:
            case "Pod":
                yield name, document["spec"]
            case "CronJob":
                yield name, document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            case "Deployment" | "StatefulSet" | "Job":
                yield name, document["spec"]["template"]["spec"]
            case _:
                pass


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def find(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("values", MATRIX)
def test_every_object_is_valid_for_the_oldest_and_the_newest_kubernetes(values: str, version: str) -> None:
    for document in rendered(values):
        if document["apiVersion"].split("/")[0] in ("keda.sh", "monitoring.coreos.com", "gateway.networking.k8s.io", "rabbitmq.com"):
            continue
        kubernetes_validate.validate(document, version, strict=document["kind"] != "CustomResourceDefinition")


@pytest.mark.parametrize("values", MATRIX)
def test_every_container_is_restricted(values: str) -> None:
    for name, pod in pods(rendered(values)):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {"requests", "limits"} <= container["resources"].keys(), (name, container["name"])
            if OWN.search(container["image"]):
                assert "runAsUser" not in context, name
                # Beside a bundled server an init container of ours writes what that server's user reads.
                assert "runAsUser" not in pod["securityContext"] or name.startswith("StatefulSet/"), name


@pytest.mark.parametrize("values", MATRIX)
def test_a_token_is_mounted_only_where_the_apiserver_is_asked(values: str) -> None:
    asking = {name for name, pod in pods(rendered(values)) if pod["automountServiceAccountToken"]}
    wanted = {"Deployment/shop-flashsale-operator", "Job/shop-flashsale-cleanup", "Pod/shop-flashsale-test"}
    assert asking == (set() if values == "off.yaml" else wanted)


@pytest.mark.parametrize("values", MATRIX)
def test_no_secret_is_in_plain_sight(values: str) -> None:
    for name, pod in pods(rendered(values)):
        for container in containers(pod):
            for variable in container.get("env", []):
                secret = re.search(r"PASSWORD|TOKEN|KEY|SECRET|AUTH", variable["name"])
                assert not secret or "secretKeyRef" in variable.get("valueFrom", {}), (name, variable)
                if variable["name"].endswith("_URL") and "@" in variable.get("value", ""):
                    assert re.search(r":\$\([A-Z_]+\)@", variable["value"]), (name, variable)


def test_selectors_are_frozen() -> None:
    """A change of these breaks every upgrade: workloads refuse it, Services lose their pods."""
    found: dict[str, Any] = {}
    for document in rendered(""):
        selector = document.get("spec", {}).get("selector") if document["kind"] in ("Deployment", "StatefulSet", "Service") else None
        if selector:
            found[f"{document['kind']}/{document['metadata']['name']}"] = selector.get("matchLabels", selector)
        if document["kind"] == "StatefulSet":
            found[f"{document['kind']}/{document['metadata']['name']}/claims"] = document["spec"]["volumeClaimTemplates"]
    assert found == json.loads(SELECTORS.read_text())


REFUSED = [
    ("gateway.replica=3", "additional properties 'replica' not allowed"),
    ("logLevel=info", "value must be one of 'DEBUG'"),
    ("paymentWindows={0}", "paymentWindows"),
    ("rabbitmq.replicas=2", "value must be one of 1, 3, 5"),
    ("gateway.settings.lower=1", "does not match pattern"),
    ("redis.persistence.size=big", "does not match pattern"),
    ("redis.enabled=false", "name the Secret that holds your Redis' URL"),
    ("rabbitmq.enabled=false", "name the Secret that holds your RabbitMQ's URL"),
    ("postgresql.enabled=false", "name the Secret that holds your Postgres' URL"),
    ("externalRedis.existingSecret=mine", "For your own Redis set redis.enabled=false"),
    ("externalRabbitmq.existingSecret=mine", "For your own RabbitMQ set rabbitmq.enabled=false"),
    ("externalPostgresql.existingSecret=mine", "For your own Postgres set postgresql.enabled=false"),
    ("rabbitmqTopology.enabled=true,rabbitmq.enabled=false", "name the RabbitmqCluster"),
    ("rabbitmqTopology.enabled=true,rabbitmqTopology.cluster.name=events", "one description of the broker, never two"),
    ("migrations.hook=true", "a hook runs before the bundled one exists"),
    ("gateway.autoscaling.enabled=true,gateway.keda.enabled=true", "keep one"),
    ("gateway.keda.enabled=true", "KEDA needs at least one trigger"),
    ("redis.maxmemory=2gb", "Redis would be killed before it could refuse an order"),
    ("redis.resources.limits.memory=512Mi", "Redis would be killed before it could refuse an order"),
    ("redis.maxmemory=lots", "does not match pattern"),
    ("migrations.phase=later", "value must be one of 'pre'"),
]


@pytest.mark.parametrize(("setting", "words"), REFUSED)
def test_wrong_values_are_refused_in_words(setting: str, words: str) -> None:
    status, text = helm("--set", setting)
    assert (status, words in text) == (1, True), text


def test_every_setting_of_the_chart_is_one_the_service_reads() -> None:
    sources = {
        "gateway": ROOT / "services/gateway/src/flashsale_gateway/settings.py",
        "order-worker": ROOT / "services/order-worker/src/flashsale_order_worker/settings.py",
        "timeout-worker": ROOT / "services/timeout-worker/src/flashsale_timeout_worker/settings.py",
        "operator": ROOT / "services/operator/src/flashsale_operator/settings.py",
    }
    shared = {"REDIS_PASSWORD", "AMQP_PASSWORD", "POSTGRES_PASSWORD", "FLASHSALE_SHARDS"}
    for name, source in sources.items():
        pod = find(rendered(""), "Deployment", f"shop-flashsale-{name}")["spec"]["template"]["spec"]
        given = {variable["name"] for variable in pod["containers"][0]["env"]}
        known = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', source.read_text()))
        assert given - known - shared == set()
        required = set(re.findall(r'env\.text\("([A-Z0-9_]+)"\)', source.read_text()))
        assert required <= given


def test_services_and_probes_listen_where_they_are_told() -> None:
    documents = rendered("", "--set", "listenHost=::")
    for name in ("gateway", "order-worker", "timeout-worker", "operator"):
        pod = find(documents, "Deployment", f"shop-flashsale-{name}")["spec"]["template"]["spec"]
        given = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
        assert given["FLASHSALE_HOST" if name == "gateway" else "FLASHSALE_PROBE_HOST"] == "::"


def test_replicas_are_the_autoscalers_when_there_is_one() -> None:
    documents = rendered("everything-on.yaml")
    assert "replicas" not in find(documents, "Deployment", "shop-flashsale-gateway")["spec"]
    assert "replicas" not in find(documents, "Deployment", "shop-flashsale-order-worker")["spec"]
    assert find(documents, "HorizontalPodAutoscaler", "shop-flashsale-gateway")["spec"]["maxReplicas"] == 10
    assert find(documents, "ScaledObject", "shop-flashsale-order-worker")["spec"]["triggers"][0]["type"] == "rabbitmq"


def test_disruption_budgets_are_there_above_one_replica_only() -> None:
    def budgets(values: str) -> set[str]:
        return {one["metadata"]["name"] for one in rendered(values) if one["kind"] == "PodDisruptionBudget"}

    assert budgets("") == {"shop-flashsale-gateway"}
    assert budgets("ha.yaml") == {f"shop-flashsale-{name}" for name in ("gateway", "order-worker", "timeout-worker", "rabbitmq")}


def test_a_new_release_leaves_the_servers_pods_as_they_are(tmp_path: Path) -> None:
    """They would restart otherwise, in the middle of a sale, for a label."""
    chart = tmp_path / "flashsale"
    shutil.copytree(CHART, chart)
    file = chart / "Chart.yaml"
    file.write_text(re.sub(r"(?m)^(version|appVersion): .*", r"\1: 9.9.9", file.read_text()))
    command = ["helm", "template", "shop", str(chart), "--namespace", "shop", "--api-versions", "v1/Pod", "--set", "image.tag=9.9.9"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def servers(documents: list[dict[str, Any]]) -> dict[str, Any]:
        return {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "StatefulSet"}

    assert len(servers(rendered(""))) == 3
    assert servers([one for one in yaml.safe_load_all(text) if one]) == servers(rendered(""))


def test_the_registry_of_our_images_is_not_that_of_the_servers() -> None:
    images = {container["image"] for _, pod in pods(rendered("", "--set", "image.registry=mine.example")) for container in containers(pod)}
    assert {image for image in images if image.startswith("mine.example/")} == {
        f"mine.example/flashsale/{name}:0.1.0" for name in ("gateway", "order-worker", "timeout-worker", "operator", "cli")
    }
    assert {image.split(":")[0] for image in images if not image.startswith("mine.example/")} == {"postgres", "rabbitmq", "valkey/valkey"}


@pytest.mark.parametrize("values", ["everything-on.yaml"])
def test_every_pod_has_the_pull_secrets_and_is_put_where_it_is_told(values: str) -> None:
    words = ["--set-json", 'cli.nodeSelector={"pool":"jobs"}', "--set-json", 'cli.tolerations=[{"operator":"Exists"}]']
    for name, pod in pods(rendered(values, *words)):
        assert pod["imagePullSecrets"] == [{"name": "global-pull"}, {"name": "pull"}], name
        assert pod["priorityClassName"] == "high", name
        if name.split("/")[0] in ("Job", "CronJob", "Pod"):
            assert (pod["nodeSelector"], pod["tolerations"]) == ({"pool": "jobs"}, [{"operator": "Exists"}]), name


def test_numbers_are_written_out() -> None:
    """Helm reads numbers as floating point; 1.048576e+06 is none for a service, nor for Redis."""
    words = ["--set", "gateway.settings.FLASHSALE_BODY_BYTES_MAX=1048576", "--set", "redis.extraConfig.tcp-backlog=2000000"]
    words += ["--set", "postgresql.extraConfig.work_mem=4000000", "--set", "rabbitmq.extraConfig.channel_max=1000000"]
    documents = rendered("", *words)
    assert "e+06" not in json.dumps(documents)
    container = find(documents, "Deployment", "shop-flashsale-gateway")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "FLASHSALE_BODY_BYTES_MAX", "value": "1048576"} in container["env"]
    assert "tcp-backlog 2000000\n" in find(documents, "ConfigMap", "shop-flashsale-redis")["data"]["valkey.conf"]


@pytest.mark.parametrize(("maxmemory", "limit"), [("600mb", "1Gi"), ("1gb", "1Gi"), ("1g", "1G"), ("", "64Mi"), ("100000000", "100M")])
def test_a_memory_limit_that_holds_the_data_is_taken(maxmemory: str, limit: str) -> None:
    config = find(
        rendered("", "--set-string", f"redis.maxmemory={maxmemory}", "--set", f"redis.resources.limits.memory={limit}"),
        "ConfigMap", "shop-flashsale-redis",
    )["data"]["valkey.conf"]  # fmt: skip
    assert (f"maxmemory {maxmemory}\n" in config) == bool(maxmemory)


def test_the_bundled_brokers_definitions_are_the_engines() -> None:
    documents = rendered("", "--set", "paymentWindows={30,86400}")
    data = find(documents, "ConfigMap", "shop-flashsale-rabbitmq")["data"]
    found = json.loads(data["definitions.json"])
    users = found.pop("users")
    wanted = topology.definitions(topology.service_users({user["name"]: "" for user in users}), [30, 86400])
    # The passwords are put in where the Secret is mounted; the broker hashes them.
    assert users == [{"name": one["name"], "password": f"@{one['name']}@", "tags": ""} for one in wanted.pop("users")]

    def ordered(document: dict[str, Any]) -> dict[str, list[str]]:
        return {name: sorted(json.dumps(one, sort_keys=True) for one in ones) for name, ones in document.items()}

    assert ordered(found) == ordered(wanted)
    # `guest` keeps to the loopback device, as it does by itself.
    assert "loopback_users" not in data["rabbitmq.conf"]


def test_passwords_come_into_the_definitions_where_they_are_mounted(tmp_path: Path) -> None:
    script = find(rendered(""), "ConfigMap", "shop-flashsale-rabbitmq")["data"]["prepare.sh"]
    for folder in ("secrets", "definitions", "config", "home/rabbitmq"):
        (tmp_path / folder).mkdir(parents=True)
        script = script.replace(f" /{folder}/", f" {tmp_path}/{folder}/").replace(f'"/{folder}/', f'"{tmp_path}/{folder}/')
        script = script.replace(f"=/{folder}/", f"={tmp_path}/{folder}/")
    for name in ("erlang-cookie", "gateway", "order-worker", "timeout-worker"):
        (tmp_path / "secrets" / name).write_text(f"of{name.replace('-', '')}\n")
    definitions = find(rendered(""), "ConfigMap", "shop-flashsale-rabbitmq")["data"]["definitions.json"]
    (tmp_path / "config" / "definitions.json").write_text(definitions)
    subprocess.run(["sh", "-c", script], check=True, timeout=10)
    users = json.loads((tmp_path / "definitions" / "definitions.json").read_text())["users"]
    assert {user["name"]: user["password"] for user in users} == {
        "gateway": "ofgateway", "order-worker": "oforderworker", "timeout-worker": "oftimeoutworker"
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "definitions").iterdir()] == ["definitions.json"]
    (tmp_path / "secrets" / "gateway").write_text("no/slash")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=10)
    assert (done.returncode, "its key gateway must be letters and digits" in done.stderr) == (1, True)


def test_images_take_registry_and_digest_from_values() -> None:
    images = {container["image"] for _, pod in pods(rendered("everything-on.yaml")) for container in containers(pod)}
    assert all(image.startswith("registry.example/") for image in images)
    digest = "sha256:" + "a" * 64
    documents = rendered("", "--set", f"gateway.image.digest={digest}", "--set", "image.tag=1.2.3")
    image = find(documents, "Deployment", "shop-flashsale-gateway")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"flashsale/gateway:1.2.3@{digest}"


def test_nothing_of_the_bundled_servers_is_left_when_all_are_external() -> None:
    documents = rendered("all-external.yaml")
    assert {one["kind"] for one in documents} & {"StatefulSet", "PersistentVolumeClaim", "Secret"} == set()
    pod = find(documents, "Deployment", "shop-flashsale-gateway")["spec"]["template"]["spec"]
    variables = {one["name"]: one.get("valueFrom", {}).get("secretKeyRef") for one in pod["containers"][0]["env"]}
    assert variables["REDIS_URL"] == {"name": "my-redis", "key": "gateway-url"}
    assert variables["AMQP_URL"] == {"name": "my-rabbitmq", "key": "url"}
    assert variables["FLASHSALE_ADMIN_TOKEN"] == {"name": "my-credentials", "key": "admin-token"}


def test_the_topology_operators_objects_are_the_engines_definitions() -> None:
    documents = [one for one in rendered("topology-operator.yaml") if one["apiVersion"] == "rabbitmq.com/v1beta1"]
    users = {one["metadata"]["name"]: one["metadata"]["name"].removeprefix("shop-flashsale-") for one in documents if one["kind"] == "User"}
    wanted = topology.definitions(topology.service_users(dict.fromkeys(users.values(), "")), [30, 60])

    def specs(kind: str, name: str, **renamed: str) -> list[Any]:
        """Objects of a kind as the definitions document writes them, and what that document has."""
        found = [{renamed.get(key, key): value for key, value in one["spec"].items()} for one in documents if one["kind"] == kind]
        assert all(one.pop("rabbitmqClusterReference") == {"name": "events", "namespace": "messaging"} for one in found)
        keys = set(found[0])
        assert not keys - set(wanted[name][0]) - {"deletionPolicy", "type"}
        return [
            sorted(json.dumps({k: v for k, v in one.items() if k in keys}, sort_keys=True) for one in ones)
            for ones in (found, wanted[name])
        ]

    exchanges, wanted_exchanges = specs("Exchange", "exchanges", autoDelete="auto_delete")
    assert exchanges == wanted_exchanges
    bindings, wanted_bindings = specs("Binding", "bindings", destinationType="destination_type", routingKey="routing_key")
    assert bindings == wanted_bindings
    policies, wanted_policies = specs("Policy", "policies", applyTo="apply-to")
    assert policies == wanted_policies
    queues = {one["spec"]["name"]: (one["spec"]["type"], one["spec"]["deletionPolicy"]) for one in documents if one["kind"] == "Queue"}
    assert queues == {one["name"]: (one["arguments"]["x-queue-type"], "retain") for one in wanted["queues"]}
    rights = {users[one["spec"]["userReference"]["name"]]: one["spec"]["permissions"] for one in documents if one["kind"] == "Permission"}
    assert rights == {one["user"]: {right: one[right] for right in ("configure", "write", "read")} for one in wanted["permissions"]}


def test_the_topology_operators_credentials_make_the_url() -> None:
    pod = find(rendered("topology-operator.yaml"), "Deployment", "shop-flashsale-order-worker")["spec"]["template"]["spec"]
    variables = {one["name"]: one for one in pod["containers"][0]["env"]}
    assert variables["AMQP_URL"]["value"] == "amqp://$(AMQP_USER):$(AMQP_PASSWORD)@events.messaging.svc:5672/"
    assert variables["AMQP_USER"]["valueFrom"]["secretKeyRef"] == {
        "name": "shop-flashsale-order-worker-user-credentials",
        "key": "username",
    }


def test_rendered_for_kubectl_there_are_no_hooks() -> None:
    """kubectl would run them at once, the one before an uninstall too, which deletes FlashSales."""
    command = ["helm", "template", "shop", str(CHART)]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "helm.sh/hook" not in text
    hooks = {one["metadata"]["annotations"]["helm.sh/hook"] for one in rendered("") if "helm.sh/hook" in str(one["metadata"])}
    assert hooks == {"test", "pre-delete"}


def test_migrations_as_a_hook_need_nothing_of_the_release() -> None:
    # The same name each time, so that the next one takes its place.
    job = find(rendered("topology-operator.yaml"), "Job", "shop-flashsale-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"


def test_a_job_that_runs_something_else_has_another_name() -> None:
    """Applied by kubectl twice, a Job of the same name could not be changed."""

    def job(*words: str) -> dict[str, Any]:
        (found,) = [one for one in rendered("", *words) if one["kind"] == "Job" and "-migrate-" in one["metadata"]["name"]]
        return found

    assert job()["metadata"]["name"] != job("--set", "image.tag=next")["metadata"]["name"]
    assert job()["spec"]["template"]["spec"]["containers"][0]["args"][:3] == ["migrate", "--phase", "pre"]


@pytest.mark.parametrize(("endpoint", "port"), [("http://collector:4318", 4318), ("https://collector.example", 443), ("", None)])
def test_the_network_policies_let_through_what_is_needed(endpoint: str, port: int | None) -> None:
    words = ["--set", "networkPolicy.enabled=true,redis.enabled=false,externalRedis.existingSecret=mine,rabbitmq.management=true"]
    words += ["--set", "networkPolicy.externalPorts.redis={6380,16380}", "--set", f"tracing.endpoint={endpoint}"]
    documents = rendered("", *words)

    def ports(name: str, way: str) -> set[Any]:
        rules = find(documents, "NetworkPolicy", f"shop-flashsale-{name}")["spec"].get(way) or []
        return {port["port"] for rule in rules for port in rule["ports"]}

    traced = {port} if port else set()
    assert ports("gateway", "egress") == {53, 6380, 16380, 5672} | traced
    assert ports("operator", "egress") == {53, 6380, 16380, 443, 6443} | traced
    assert ports("test", "egress") == {53, "http", 443, 6443}
    assert ports("cleanup", "egress") == {53, 443, 6443}
    assert ports("rabbitmq", "ingress") == {5672, 4369, 25672, 15692, 15672}
    assert (ports("cleanup", "ingress"), ports("test", "ingress")) == (set(), set())


def test_the_append_only_file_can_be_replayed() -> None:
    """Redis replays it as the user `default`: without rights it would skip every line and start empty, without a word to clients."""
    script = find(rendered(""), "ConfigMap", "shop-flashsale-redis")["data"]["acl.sh"]
    assert 'echo "user default reset off ~* &* +@all"' in script


def test_cluster_wide_names_tell_their_namespace() -> None:
    documents = rendered("everything-on.yaml")
    wide = [one["metadata"]["name"] for one in documents if one["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    assert wide
    assert all(name.startswith("shop-") for name in wide)


def test_what_is_switched_off_is_not_there() -> None:
    kinds = {one["kind"] for one in rendered("off.yaml")}
    assert not kinds & {"CustomResourceDefinition", "ClusterRole", "Role", "RoleBinding", "PodDisruptionBudget", "Pod"}
    kinds = {one["kind"] for one in rendered("", "--set", "cleanup.enabled=false")}
    assert {"CustomResourceDefinition", "ClusterRole"} <= kinds
    assert not any(one["metadata"]["name"] == "shop-flashsale-cleanup" for one in rendered("", "--set", "cleanup.enabled=false"))
    crd = find(rendered("", "--set", "crds.keep=false"), "CustomResourceDefinition", "flashsales.flashsale.dev")
    assert "annotations" not in crd["metadata"]


def test_the_plain_crd_is_the_one_that_is_rendered() -> None:
    plain = yaml.safe_load((CHART / "files" / "flashsales.flashsale.dev.yaml").read_text())
    crd = find(rendered(""), "CustomResourceDefinition", "flashsales.flashsale.dev")
    assert crd["spec"] == plain["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_chart_works_as_a_subchart(tmp_path: Path) -> None:
    parent = tmp_path / "shop"
    shutil.copytree(CHART, parent / "charts" / "flashsale")
    chart = {"apiVersion": "v2", "name": "shop", "version": "1.0.0"}
    dependency = {"name": "flashsale", "version": "0.1.0", "condition": "flashsale.enabled"}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart | {"dependencies": [dependency]}))
    values = {"global": {"imageRegistry": "registry.example"}, "flashsale": {"enabled": True, "logLevel": "DEBUG"}}
    (parent / "values.yaml").write_text(yaml.safe_dump(values))

    def render(*words: str) -> str:
        command = ["helm", "template", "mine", str(parent), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "image: registry.example/flashsale/gateway:0.1.0" in render()
    assert "kind: Deployment" not in render("--set", "flashsale.enabled=false")


def test_every_value_has_a_place_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def check(value: Any, part: dict[str, Any], path: str) -> None:
        if isinstance(value, dict) and part.get("additionalProperties") is False:
            assert set(value) <= set(part["properties"]), path
            for name, inner in value.items():
                check(inner, part["properties"][name], f"{path}.{name}")

    check(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")
