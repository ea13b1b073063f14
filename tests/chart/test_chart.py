"""The chart as helm renders it, without a cluster: its content, the values it refuses, and what must never change."""

import itertools
import json
import os
import re
import shutil
import subprocess
from operator import itemgetter
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from flashsale_core import topology
from flashsale_redis.sentinel_urls import sentinel_url
from tests.chart.rendering import MATRIX, SECRETS, containers, find, helm, pods, rendered
from tools.repository import CHART

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES_VERSIONS = ("1.29", "1.35")
"""The oldest and the newest supported version."""
SELECTORS = Path(__file__).with_name("selectors.json")
OWN = re.compile(r"(?:^|/)flashsale/")

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("values", MATRIX)
def test_every_object_is_valid_for_all_supported_kubernetes_versions(values: str, version: str) -> None:
    for document in rendered(values):
        if document["apiVersion"].split("/")[0] in (
            "keda.sh",
            "monitoring.coreos.com",
            "gateway.networking.k8s.io",
            "rabbitmq.com",
            "cert-manager.io",
        ):
            continue
        # The chart refuses them on a cluster that does not have them.
        if version == "1.29" and document["kind"].startswith("ValidatingAdmissionPolicy"):
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
                # In the pod of a bundled server, an init container of ours writes files for that server's user.
                assert "runAsUser" not in pod["securityContext"] or name.startswith("StatefulSet/"), name


@pytest.mark.parametrize("values", MATRIX)
def test_token_is_mounted_only_in_pods_that_call_the_apiserver(values: str) -> None:
    mounted = {name for name, pod in pods(rendered(values)) if pod["automountServiceAccountToken"]}
    wanted = {"Deployment/shop-flashsale-operator", "Job/shop-flashsale-cleanup", "Pod/shop-flashsale-test"}
    without_hooks = {"off.yaml": set(), "gitops.yaml": {"Deployment/shop-flashsale-operator"}}
    assert mounted == without_hooks.get(values, wanted)


@pytest.mark.parametrize("values", MATRIX)
def test_no_secret_value_is_written_into_a_pod(values: str) -> None:
    for name, pod in pods(rendered(values)):
        for container in containers(pod):
            for variable in container.get("env", []):
                secret = re.search(r"(PASSWORD|TOKEN|KEY|SECRET|AUTH)(?!_FILE$)", variable["name"])
                assert not secret or "secretKeyRef" in variable.get("valueFrom", {}), (name, variable)
                if variable["name"].endswith("_URL") and "@" in variable.get("value", ""):
                    assert re.search(r":\$\([A-Z_]+\)@", variable["value"]), (name, variable)


def test_selectors_are_frozen() -> None:
    """A change of selectors breaks every upgrade: workloads refuse it, and Services lose their pods."""
    selectors: dict[str, Any] = {}
    for document in rendered(""):
        selector = document.get("spec", {}).get("selector") if document["kind"] in ("Deployment", "StatefulSet", "Service") else None
        if selector:
            selectors[f"{document['kind']}/{document['metadata']['name']}"] = selector.get("matchLabels", selector)
        if document["kind"] == "StatefulSet":
            selectors[f"{document['kind']}/{document['metadata']['name']}/claims"] = document["spec"]["volumeClaimTemplates"]
    assert selectors == json.loads(SELECTORS.read_text())


REFUSED = [
    ("gateway.replica=3", "additional properties 'replica' not allowed"),
    ("logLevel=info", "value must be one of 'DEBUG'"),
    ("paymentWindows={0}", "paymentWindows"),
    ("rabbitmq.replicas=2", "value must be one of 1, 3, 5"),
    ("redis.replicas=2", "value must be one of 1, 3"),
    ("gateway.settings.lower=1", "does not match pattern"),
    ("redis.persistence.size=big", "does not match pattern"),
    ("externalRedis.urlKeys.orderWorker=mine", "value must be one of 'gateway'"),
    ("externalRabbitmq.urlKeys.order-worker=mine", "value must be one of 'gateway'"),
    ("externalPostgresql.urlKeys.reader=mine", "value must be one of 'orderWorker'"),
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
    ("redis.maxmemory=601mb", "redis.resources.limits.memory (1200Mi) is below twice redis.maxmemory (601mb): Redis would be killed"),
    ("redis.resources.limits.memory=1199Mi", "is below twice redis.maxmemory (600mb): Redis would be killed"),
    (
        "redis.maxmemory=512mb,redis.resources.limits.memory=1Gi",
        "is above redis.resources.limits.memory (1Gi), which Kubernetes refuses: set both",
    ),
    ("redis.maxmemory=lots", "does not match pattern"),
    ("migrations.phase=later", "value must be one of 'pre'"),
    ("keeper.reseal=always", "value must be one of 'ledger'"),
    ("installation.name=my shop", "does not match pattern"),
    ("identity.modes={cookie}", "value must be one of 'service'"),
    ("identity.modes={jwt}", "a JWT for another shop would be accepted"),
    ("identity.modes={header}", "any client could send the header"),
    ("identity.header.from={10.0.0.1}", "does not match pattern"),
    ("gateway.settings.FLASHSALE_IDENTITY=body", "set it once with identity.modes"),
    ("gateway.settings.FLASHSALE_CORS_ORIGINS=https://shop.example", "set it once with gateway.corsOrigins"),
    ("gateway.corsOrigins={*}", "does not match pattern"),
    ("gateway.corsOrigins={https://shop.example/}", "does not match pattern"),
    ("gateway.corsOrigins={https://shop.example:443}", "browsers leave out the default port: write https://shop.example"),
    ("gateway.corsOrigins={http://[::1]:80}", "browsers leave out the default port: write http://[::1]"),
    ("gateway.corsOrigins={https://shop.example:65536}", "does not match pattern"),
]


@pytest.mark.parametrize(("setting", "words"), REFUSED)
def test_wrong_values_are_refused_with_a_clear_message(setting: str, words: str) -> None:
    status, text = helm("--set", setting)
    assert (status, words in text) == (1, True), text


def test_every_variable_of_the_chart_is_read_by_its_service() -> None:
    sources = {
        "gateway": ROOT / "services/gateway/src/flashsale_gateway/settings.py",
        "order-worker": ROOT / "services/order-worker/src/flashsale_order_worker/settings.py",
        "timeout-worker": ROOT / "services/timeout-worker/src/flashsale_timeout_worker/settings.py",
        "keeper": ROOT / "services/keeper/src/flashsale_keeper/settings.py",
        "ledger-api": ROOT / "services/ledger-api/src/flashsale_ledger_api/settings.py",
        "storefront": ROOT / "services/storefront/src/flashsale_storefront/settings.py",
        "operator": ROOT / "services/operator/src/flashsale_operator/settings.py",
    }
    shared = {"REDIS_PASSWORD", "AMQP_PASSWORD", "POSTGRES_PASSWORD", "FLASHSALE_SHARDS", "FLASHSALE_INSTALLATION"}
    for name, source in sources.items():
        pod = find(rendered(""), "Deployment", f"shop-flashsale-{name}")["spec"]["template"]["spec"]
        given = {variable["name"] for variable in pod["containers"][0]["env"]}
        # The gateway's settings about identity are a file of their own, and keys of administrators are read by the core.
        read = [source, *source.parent.glob("identity_settings.py"), ROOT / "libs/core/src/flashsale_core/admin_keys.py"]
        known = {variable for file in read for variable in re.findall(r'"([A-Z][A-Z0-9_]+)"', file.read_text())}
        assert given - known - shared == set()
        required = set(re.findall(r'env\.text\("([A-Z0-9_]+)"\)', source.read_text()))
        # The chart does not offer simulated payments.
        demo = {"FLASHSALE_URL", "FLASHSALE_WEBHOOK_SECRET"} if name == "storefront" else set()
        assert required - demo <= given


def test_services_and_probes_listen_on_the_configured_host() -> None:
    documents = rendered("", "--set", "listenHost=::")
    for name in ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "operator"):
        pod = find(documents, "Deployment", f"shop-flashsale-{name}")["spec"]["template"]["spec"]
        given = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
        both = {"FLASHSALE_HOST", "FLASHSALE_PROBE_HOST"}
        wanted = {"gateway": {"FLASHSALE_HOST"}, "ledger-api": both, "storefront": both}.get(name, {"FLASHSALE_PROBE_HOST"})
        assert {variable for variable, value in given.items() if value == "::"} == wanted


def test_replicas_are_left_to_an_autoscaler() -> None:
    documents = rendered("everything-on.yaml")
    assert "replicas" not in find(documents, "Deployment", "shop-flashsale-gateway")["spec"]
    assert "replicas" not in find(documents, "Deployment", "shop-flashsale-order-worker")["spec"]
    assert find(documents, "HorizontalPodAutoscaler", "shop-flashsale-gateway")["spec"]["maxReplicas"] == 10
    assert find(documents, "ScaledObject", "shop-flashsale-order-worker")["spec"]["triggers"][0]["type"] == "rabbitmq"


def test_no_node_has_a_majority_of_servers() -> None:
    """A node that is lost must leave the Sentinels, and the members of a quorum queue, a majority."""
    for name, replicas in itertools.product(("redis", "rabbitmq"), (1, 3)):
        pod = find(rendered("", "--set", f"{name}.replicas={replicas}"), "StatefulSet", f"shop-flashsale-{name}")["spec"]["template"][
            "spec"
        ]
        (spread,) = [each for each in pod["topologySpreadConstraints"] if each["topologyKey"] == "kubernetes.io/hostname"]
        # A node whose taint keeps the pods away is not one of those over which they are spread.
        strict = {"whenUnsatisfiable": "DoNotSchedule", "nodeTaintsPolicy": "Honor"}
        assert spread.items() >= (strict if replicas == 3 else {"whenUnsatisfiable": "ScheduleAnyway"}).items()


@pytest.mark.parametrize(("words", "count"), [((), 1), (("redis.replicas=3",), 2), (("redis.replicas=3", "keeper.replicas=0"), 0)])
def test_a_second_keeper_stands_by_where_redis_fails_over(words: tuple[str, ...], count: int) -> None:
    documents = rendered("", *(part for word in words for part in ("--set", word)))
    assert find(documents, "Deployment", "shop-flashsale-keeper")["spec"]["replicas"] == count


def test_only_components_with_replicas_have_disruption_budgets() -> None:
    def budgets(values: str) -> set[str]:
        return {document["metadata"]["name"] for document in rendered(values) if document["kind"] == "PodDisruptionBudget"}

    assert budgets("") == {"shop-flashsale-gateway"}
    assert budgets("ha.yaml") == {
        f"shop-flashsale-{name}"
        for name in ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "rabbitmq", "redis")
    }


def test_new_version_does_not_change_the_pods_of_servers(tmp_path: Path) -> None:
    """A changed label would restart the servers in the middle of a sale."""
    chart = tmp_path / "flashsale"
    shutil.copytree(CHART, chart)
    file = chart / "Chart.yaml"
    file.write_text(re.sub(r"(?m)^(version|appVersion): .*", r"\1: 9.9.9", file.read_text()))
    command = [
        "helm",
        "template",
        "shop",
        str(chart),
        "--namespace",
        "shop",
        "--api-versions",
        "v1/Pod",
        "--set",
        "image.tag=9.9.9",
        *SECRETS,
    ]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def servers(documents: list[dict[str, Any]]) -> dict[str, Any]:
        return {document["metadata"]["name"]: document["spec"] for document in documents if document["kind"] == "StatefulSet"}

    assert len(servers(rendered(""))) == 3
    assert servers([document for document in yaml.safe_load_all(text) if document]) == servers(rendered(""))


def test_image_registry_applies_only_to_our_images() -> None:
    images = {container["image"] for _, pod in pods(rendered("", "--set", "image.registry=mine.example")) for container in containers(pod)}
    assert {image for image in images if image.startswith("mine.example/")} == {
        f"mine.example/flashsale/{name}:0.1.0"
        for name in ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "operator", "cli")
    }
    assert {image.split(":")[0] for image in images if not image.startswith("mine.example/")} == {"postgres", "rabbitmq", "valkey/valkey"}


@pytest.mark.parametrize("values", ["everything-on.yaml"])
def test_every_pod_has_pull_secrets_priority_and_placement(values: str) -> None:
    words = ["--set-json", 'cli.nodeSelector={"pool":"jobs"}', "--set-json", 'cli.tolerations=[{"operator":"Exists"}]']
    for name, pod in pods(rendered(values, *words)):
        assert pod["imagePullSecrets"] == [{"name": "global-pull"}, {"name": "pull"}], name
        assert pod["priorityClassName"] == "high", name
        if name.split("/")[0] in ("Job", "CronJob", "Pod"):
            assert (pod["nodeSelector"], pod["tolerations"]) == ({"pool": "jobs"}, [{"operator": "Exists"}]), name


def test_numbers_are_written_out() -> None:
    """Helm reads numbers as floating point, and neither a service nor Redis accepts 1.048576e+06."""
    words = ["--set", "gateway.settings.FLASHSALE_BODY_BYTES_MAX=1048576", "--set", "redis.extraConfig.tcp-backlog=2000000"]
    words += ["--set", "postgresql.extraConfig.work_mem=4000000", "--set", "rabbitmq.extraConfig.channel_max=1000000"]
    documents = rendered("", *words)
    assert "e+06" not in json.dumps(documents)
    container = find(documents, "Deployment", "shop-flashsale-gateway")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "FLASHSALE_BODY_BYTES_MAX", "value": "1048576"} in container["env"]
    assert "tcp-backlog 2000000\n" in find(documents, "ConfigMap", "shop-flashsale-redis")["data"]["valkey.conf"]


@pytest.mark.parametrize(("maxmemory", "limit"), [("600mb", "1200Mi"), ("1gb", "2Gi"), ("1g", "2G"), ("", "64Mi"), ("100000000", "200M")])
def test_memory_limit_of_twice_maxmemory_is_accepted(maxmemory: str, limit: str) -> None:
    memory = f"redis.resources.limits.memory={limit},redis.resources.requests.memory={limit}"
    documents = rendered("", "--set-string", f"redis.maxmemory={maxmemory}", "--set", memory)
    config = find(documents, "ConfigMap", "shop-flashsale-redis")["data"]["valkey.conf"]
    assert (f"maxmemory {maxmemory}\n" in config) == bool(maxmemory)


def test_bundled_broker_has_the_definitions_of_the_engine() -> None:
    documents = rendered("", "--set", "paymentWindows={30,86400}")
    data = find(documents, "ConfigMap", "shop-flashsale-rabbitmq")["data"]
    definitions = json.loads(data["definitions.json"])
    users = definitions.pop("users")
    wanted = topology.definitions(topology.service_users({user["name"]: "" for user in users}), [30, 86400])
    # Passwords are inserted where the Secret is mounted; the broker hashes them.
    assert users == [
        {"name": user["name"], "password": f"@{user['name']}@", "tags": ""} for user in sorted(wanted.pop("users"), key=itemgetter("name"))
    ]

    def ordered(document: dict[str, Any]) -> dict[str, list[str]]:
        return {name: sorted(json.dumps(entry, sort_keys=True) for entry in entries) for name, entries in document.items()}

    assert ordered(definitions) == ordered(wanted)
    # By default `guest` may only connect from the loopback device, and that must not change.
    assert "loopback_users" not in data["rabbitmq.conf"]


def test_passwords_are_inserted_into_the_definitions_in_the_pod(tmp_path: Path) -> None:
    script = find(rendered(""), "ConfigMap", "shop-flashsale-rabbitmq")["data"]["prepare.sh"]
    for folder in ("secrets", "definitions", "config", "home/rabbitmq"):
        (tmp_path / folder).mkdir(parents=True)
        script = script.replace(f" /{folder}/", f" {tmp_path}/{folder}/").replace(f'"/{folder}/', f'"{tmp_path}/{folder}/')
        script = script.replace(f"=/{folder}/", f"={tmp_path}/{folder}/")
    for name in ("erlang-cookie", "gateway", "order-worker", "timeout-worker", "keeper"):
        (tmp_path / "secrets" / name).write_text(f"of{name.replace('-', '')}\n")
    definitions = find(rendered(""), "ConfigMap", "shop-flashsale-rabbitmq")["data"]["definitions.json"]
    (tmp_path / "config" / "definitions.json").write_text(definitions)
    subprocess.run(["sh", "-c", script], check=True, timeout=10)
    users = json.loads((tmp_path / "definitions" / "definitions.json").read_text())["users"]
    assert {user["name"]: user["password"] for user in users} == {
        "gateway": "ofgateway", "order-worker": "oforderworker", "timeout-worker": "oftimeoutworker", "keeper": "ofkeeper"
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "definitions").glob("*.*")] == ["definitions.json"]
    (tmp_path / "secrets" / "gateway").write_text("no/slash")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=10)
    assert (done.returncode, "its key gateway must be letters and digits" in done.stderr) == (1, True)


def test_keda_example_scales_the_gateways_without_replicas_of_the_chart() -> None:
    file = ROOT / "docs" / "examples" / "keda" / "before-start.yaml"
    documents = rendered("", "--values", str(file))
    assert "replicas" not in find(documents, "Deployment", "shop-flashsale-gateway")["spec"]
    spec = find(documents, "ScaledObject", "shop-flashsale-gateway")["spec"]
    assert (spec["scaleTargetRef"], spec["minReplicaCount"], spec["maxReplicaCount"]) == ({"name": "shop-flashsale-gateway"}, 2, 8)
    assert spec["triggers"] == yaml.safe_load(file.read_text())["gateway"]["keda"]["triggers"]


@pytest.mark.parametrize(("server", "template"), [("Redis", "redis"), ("Rabbitmq", "amqp"), ("Postgresql", "database")])
def test_keys_of_urls_are_for_services_that_have_such_a_url(server: str, template: str) -> None:
    text = "".join(file.read_text() for file in (CHART / "templates").rglob("*.*"))
    used = set(re.findall(rf'"flashsale\.env\.{template}" \(dict [^)]*"urlKey" "(\w+)"', text))
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"][f"external{server}"]["properties"]["urlKeys"]
    assert set(schema["propertyNames"]["enum"]) == used


def test_images_take_registry_and_digest_from_values() -> None:
    images = {container["image"] for _, pod in pods(rendered("everything-on.yaml")) for container in containers(pod)}
    assert all(image.startswith("registry.example/") for image in images)
    digest = "sha256:" + "a" * 64
    documents = rendered("", "--set", f"gateway.image.digest={digest}", "--set", "image.tag=1.2.3")
    image = find(documents, "Deployment", "shop-flashsale-gateway")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"registry.invalid/flashsale/gateway:1.2.3@{digest}"


def test_external_servers_replace_all_bundled_ones() -> None:
    documents = rendered("all-external.yaml")
    assert {document["kind"] for document in documents} & {"StatefulSet", "PersistentVolumeClaim", "Secret"} == set()
    pod = find(documents, "Deployment", "shop-flashsale-gateway")["spec"]["template"]["spec"]
    variables = {variable["name"]: variable.get("valueFrom", {}).get("secretKeyRef") for variable in pod["containers"][0]["env"]}
    assert variables["REDIS_URL"] == {"name": "my-redis", "key": "gateway-url"}
    assert variables["AMQP_URL"] == {"name": "my-rabbitmq", "key": "url"}
    assert variables["FLASHSALE_ADMIN_TOKEN"] == {"name": "my-credentials", "key": "admin-token"}


def test_keeper_may_have_an_url_that_leads_past_a_pooler() -> None:
    """It holds an advisory lock as long as its session, which a pooler in transaction mode ends after each transaction."""

    def key(name: str) -> str:
        pod = find(rendered("all-external.yaml"), "Deployment", f"shop-flashsale-{name}")["spec"]["template"]["spec"]
        (key,) = [entry["valueFrom"]["secretKeyRef"]["key"] for entry in pod["containers"][0]["env"] if entry["name"] == "DATABASE_URL"]
        return str(key)

    assert (key("order-worker"), key("keeper")) == ("uri", "direct-uri")


def test_topology_operator_gets_the_definitions_of_the_engine() -> None:
    documents = [document for document in rendered("topology-operator.yaml") if document["apiVersion"] == "rabbitmq.com/v1beta1"]
    user_objects = [document["metadata"]["name"] for document in documents if document["kind"] == "User"]
    users = {name: name.removeprefix("shop-flashsale-") for name in user_objects}
    wanted = topology.definitions(topology.service_users(dict.fromkeys(users.values(), "")), [30, 60])

    def specs_of(kind: str) -> list[dict[str, Any]]:
        return [document["spec"] for document in documents if document["kind"] == kind]

    def specs(kind: str, name: str, **renamed: str) -> list[Any]:
        """The objects of a kind in the form of the definitions document, and the entries of that document."""
        objects = [{renamed.get(key, key): value for key, value in spec.items()} for spec in specs_of(kind)]
        assert all(entry.pop("rabbitmqClusterReference") == {"name": "events", "namespace": "messaging"} for entry in objects)
        keys = set(objects[0])
        assert not keys - set(wanted[name][0]) - {"deletionPolicy", "type"}
        return [
            sorted(json.dumps({key: value for key, value in entry.items() if key in keys}, sort_keys=True) for entry in entries)
            for entries in (objects, wanted[name])
        ]

    exchanges, wanted_exchanges = specs("Exchange", "exchanges", autoDelete="auto_delete")
    assert exchanges == wanted_exchanges
    bindings, wanted_bindings = specs("Binding", "bindings", destinationType="destination_type", routingKey="routing_key")
    assert bindings == wanted_bindings
    policies, wanted_policies = specs("Policy", "policies", applyTo="apply-to")
    assert policies == wanted_policies
    queues = {spec["name"]: (spec["type"], spec["deletionPolicy"]) for spec in specs_of("Queue")}
    assert queues == {queue["name"]: (queue["arguments"]["x-queue-type"], "retain") for queue in wanted["queues"]}
    rights = {users[spec["userReference"]["name"]]: spec["permissions"] for spec in specs_of("Permission")}
    assert rights == {entry["user"]: {right: entry[right] for right in ("configure", "write", "read")} for entry in wanted["permissions"]}


def test_broker_url_has_the_credentials_of_the_topology_operator() -> None:
    pod = find(rendered("topology-operator.yaml"), "Deployment", "shop-flashsale-order-worker")["spec"]["template"]["spec"]
    variables = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
    assert variables["AMQP_URL"]["value"] == "amqp://$(AMQP_USER):$(AMQP_PASSWORD)@events.messaging.svc:5672/"
    assert variables["AMQP_USER"]["valueFrom"]["secretKeyRef"] == {
        "name": "shop-flashsale-order-worker-user-credentials",
        "key": "username",
    }


def test_hooks_are_not_rendered_for_kubectl() -> None:
    """kubectl would run all hooks at once, including the one before an uninstall, which deletes FlashSales."""
    command = ["helm", "template", "shop", str(CHART), *SECRETS]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "helm.sh/hook" not in text
    metadata = [document["metadata"] for document in rendered("")]
    hooks = {entry["annotations"]["helm.sh/hook"] for entry in metadata if "helm.sh/hook" in str(entry)}
    assert hooks == {"test", "pre-delete", "pre-install,pre-upgrade"}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "shop.shop-flashsale"),
        (("--set", "installation.name=main"), "main"),
        (("--namespace", "n" * 63), "n" * 52 + "-64145920c3"),
    ],
)
def test_services_and_ledger_know_the_same_installation(words: tuple[str, ...], name: str) -> None:
    """Two releases on one Redis or one ledger are refused by this name. `flashsale migrate` accepts at most 63 characters."""
    documents = rendered("", *words)
    environments = {
        owner: {variable["name"]: variable.get("value") for container in pod["containers"] for variable in container.get("env", [])}
        for owner, pod in pods(documents)
    }
    own = {owner for owner in environments if owner.startswith("Deployment/") or "migrate" in owner}
    assert {environments[owner]["FLASHSALE_INSTALLATION"] for owner in own} == {name}
    assert len(own) == 8
    assert len(name) <= 63


def test_migrations_hook_needs_no_object_of_the_release() -> None:
    # The name stays the same, so that the next Job replaces it.
    job = find(rendered("topology-operator.yaml"), "Job", "shop-flashsale-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"


def test_changed_migration_job_gets_a_new_name() -> None:
    """A Job cannot be changed, so kubectl could not apply a changed Job of the same name."""

    def job(*words: str) -> dict[str, Any]:
        jobs = [document for document in rendered("", *words) if document["kind"] == "Job"]
        (migrate,) = [document for document in jobs if "-migrate-" in document["metadata"]["name"]]
        return migrate

    assert job()["metadata"]["name"] != job("--set", "image.tag=next")["metadata"]["name"]
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    assert container["args"][:4] == ["migrate", "--phase", "pre", "--initialise"]
    assert {"name": "FLASHSALE_SHARDS", "value": "16"} in container["env"]


@pytest.mark.parametrize(("endpoint", "port"), [("http://collector:4318", 4318), ("https://collector.example", 443), ("", None)])
def test_network_policies_allow_exactly_the_needed_ports(endpoint: str, port: int | None) -> None:
    words = ["--set", "networkPolicy.enabled=true,redis.enabled=false,externalRedis.existingSecret=mine,rabbitmq.management=true"]
    words += ["--set", "networkPolicy.externalPorts.redis={6380,16380}", "--set", f"tracing.endpoint={endpoint}"]
    documents = rendered("", *words)

    def ports(name: str, way: str) -> set[Any]:
        rules = find(documents, "NetworkPolicy", f"shop-flashsale-{name}")["spec"].get(way) or []
        return {port["port"] for rule in rules for port in rule["ports"]}

    traced = {port} if port else set()
    assert ports("gateway", "egress") == {53, 6380, 16380, 5672} | traced
    assert ports("keeper", "egress") == {53, 6380, 16380, 5672, 5432} | traced
    assert ports("operator", "egress") == {53, 6380, 16380, 443, 6443} | traced
    assert ports("test", "egress") == {53, "http", 443, 6443}
    assert ports("cleanup", "egress") == {53, 443, 6443}
    assert ports("rabbitmq", "ingress") == {5672, 4369, 25672, 15692, 15672}
    assert (ports("cleanup", "ingress"), ports("test", "ingress")) == (set(), set())


def redis_files(values: str = "ha.yaml") -> dict[str, str]:
    files: dict[str, str] = find(rendered(values), "ConfigMap", "shop-flashsale-redis")["data"]
    return files


def test_services_ask_the_sentinels_of_three_redis_pods() -> None:
    documents = rendered("ha.yaml")
    nodes = ",".join(f"shop-flashsale-redis-{number}.shop.svc:26379" for number in range(3))
    for name in ("gateway", "timeout-worker", "operator", "keeper", "storefront"):
        pod = find(documents, "Deployment", f"shop-flashsale-{name}")["spec"]["template"]["spec"]
        (value,) = [variable["value"] for variable in pod["containers"][0]["env"] if variable["name"] == "REDIS_URL"]
        login = f"sentinel_username={name}&sentinel_password=$(REDIS_PASSWORD)"
        assert value == f"redis+sentinel://{name}:$(REDIS_PASSWORD)@{nodes}/flashsale?{login}"
        sentinels = sentinel_url(value.replace("$(REDIS_PASSWORD)", "secret"))
        assert sentinels is not None
        assert len(sentinels.sentinels) == 3
    for number in range(3):
        selector = find(documents, "Service", f"shop-flashsale-redis-{number}")["spec"]["selector"]
        assert selector["statefulset.kubernetes.io/pod-name"] == f"shop-flashsale-redis-{number}"
    secrets = [find(documents, "Secret", f"shop-flashsale-{name}")["data"] for name in ("redis", "redis-storefront")]
    users = {line.split()[0] for name, text in redis_files().items() if name.endswith("acl-rules") for line in text.splitlines()}
    assert users == set(itertools.chain(*secrets))


def test_single_redis_has_no_sentinel() -> None:
    text = json.dumps(
        [document for document in rendered("") if document["metadata"]["name"] == "shop-flashsale-redis" and document["kind"] != "Secret"]
    )
    assert "sentinel" not in text
    assert "replica" not in text.replace('"replicas": 1', "")
    assert "redis://gateway:$(REDIS_PASSWORD)@shop-flashsale-redis:6379/0" in json.dumps(rendered(""))


def test_network_policies_open_the_sentinels_port() -> None:
    documents = rendered("ha.yaml", "--set", "networkPolicy.enabled=true")
    for name, way in (("redis", "ingress"), ("gateway", "egress"), ("keeper", "egress"), ("audit", "egress")):
        rules = find(documents, "NetworkPolicy", f"shop-flashsale-{name}")["spec"][way]
        assert {6379, 26379} <= {port["port"] for rule in rules for port in rule["ports"]}, name


SENTINEL_REPLY = "name\nflashsale\nip\n{host}\nport\n6379\nflags\nmaster,s_down\nconfig-epoch\n{epoch}\nnum-slaves\n2\n"
OWN_FILE = "sentinel monitor flashsale pod-own 6379 2\nsentinel config-epoch flashsale 5\nsentinel leader-epoch flashsale 9\n"


@pytest.mark.parametrize(
    ("replies", "own", "words", "master"),
    [
        ({}, "", [], ""),
        ({0: ("pod-a", 2), 2: ("pod-b", 10)}, "", [], "pod-b master,s_down"),
        ({0: ("pod-a", 2)}, OWN_FILE, [], "pod-own"),
        ({0: ("pod-a", 2)}, OWN_FILE, ["others"], "pod-a master,s_down"),
        ({}, OWN_FILE, [], "pod-own"),
    ],
)
def test_starting_pod_follows_the_newest_failover(
    tmp_path: Path, replies: dict[int, tuple[str, int]], own: str, words: list[str], master: str
) -> None:
    """With recorded replies of Sentinels in place of `valkey-cli`."""
    for number, (host, epoch) in replies.items():
        (tmp_path / f"shop-flashsale-redis-{number}").write_text(SENTINEL_REPLY.format(host=host, epoch=epoch))
    client = tmp_path / "valkey-cli"
    client.write_text(f'#!/bin/sh\ncat "{tmp_path}/${{2%%.*}}" 2> /dev/null\n')
    client.chmod(0o755)
    if own:
        (tmp_path / "sentinel.conf").write_text(own)
    script = redis_files()["find-master.sh"].replace("/data/", f"{tmp_path}/")
    env = {"PATH": f"{tmp_path}:{os.defpath}", "POD_NAME": "shop-flashsale-redis-1"}
    done = subprocess.run(["sh", "-c", script, "sh", *words], env=env, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == master


@pytest.mark.parametrize("what", ["plan", "run", "rebuild"])
def test_recovery_by_hand_has_the_keepers_access_and_never_starts_by_itself(what: str) -> None:
    job = find(rendered(""), "CronJob", f"shop-flashsale-recover-{what}")["spec"]
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert (job["suspend"], container["args"]) == (True, ["recover", f"--{what}"])
    keeper = find(rendered(""), "Deployment", "shop-flashsale-keeper")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [variable for variable in container["env"] if variable not in keeper] == []
    assert {"REDIS_URL", "AMQP_URL", "DATABASE_URL", "FLASHSALE_INSTALLATION"} <= {variable["name"] for variable in container["env"]}


def test_append_only_file_can_be_replayed() -> None:
    """Redis replays it as the user `default`. Without rights it would skip every line and silently start empty."""
    script = find(rendered(""), "ConfigMap", "shop-flashsale-redis")["data"]["acl.sh"]
    assert 'echo "user default reset off ~* &* +@all"' in script


def test_cluster_wide_names_contain_their_namespace() -> None:
    documents = rendered("everything-on.yaml")
    wide = [document["metadata"]["name"] for document in documents if document["kind"] in ("ClusterRole", "ClusterRoleBinding")]
    assert wide
    assert all(name.startswith("shop-") for name in wide)


def test_disabled_objects_are_not_rendered() -> None:
    kinds = {document["kind"] for document in rendered("off.yaml")}
    assert not kinds & {"CustomResourceDefinition", "ClusterRole", "Role", "RoleBinding", "PodDisruptionBudget", "Pod"}
    without_cleanup = rendered("", "--set", "cleanup.enabled=false")
    kinds = {document["kind"] for document in without_cleanup}
    assert {"CustomResourceDefinition", "ClusterRole"} <= kinds
    assert not any(document["metadata"]["name"] == "shop-flashsale-cleanup" for document in without_cleanup)
    crd = find(rendered("", "--set", "crds.keep=false"), "CustomResourceDefinition", "flashsales.flashsale.dev")
    assert "annotations" not in crd["metadata"]


def test_rendered_crd_equals_the_plain_file() -> None:
    plain = yaml.safe_load((CHART / "files" / "flashsales.flashsale.dev.yaml").read_text())
    crd = find(rendered(""), "CustomResourceDefinition", "flashsales.flashsale.dev")
    assert crd["spec"] == plain["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_chart_works_as_a_subchart(tmp_path: Path) -> None:
    parent = tmp_path / "shop"
    shutil.copytree(CHART, parent / "charts" / "flashsale")
    chart = {"apiVersion": "v2", "name": "shop", "version": "1.0.0"}
    dependency = {"name": "flashsale", "version": "0.1.0", "condition": "flashsale.enabled"}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart | {"dependencies": [dependency]}))
    values = {
        "global": {"imageRegistry": "registry.example"},
        "flashsale": {"enabled": True, "logLevel": "DEBUG", "generatedSecrets": {"withoutCluster": True}},
    }
    (parent / "values.yaml").write_text(yaml.safe_dump(values))

    def render(*words: str) -> str:
        command = ["helm", "template", "mine", str(parent), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "image: registry.example/flashsale/gateway:0.1.0" in render()
    assert "kind: Deployment" not in render("--set", "flashsale.enabled=false")


def test_schema_covers_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def check(value: Any, part: dict[str, Any], path: str) -> None:
        if isinstance(value, dict) and part.get("additionalProperties") is False:
            assert set(value) <= set(part["properties"]), path
            for name, inner in value.items():
                check(inner, part["properties"][name], f"{path}.{name}")

    check(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")
