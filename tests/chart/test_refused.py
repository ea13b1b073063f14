"""Values that contradict each other are refused with a sentence that names the value and the cure."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.chart.rendering import CLUSTER, HELM_TIMEOUT_SECONDS, MATRIX, SECRETS, find, helm, pods, rendered
from tools.repository import CHART

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

REFUSED = [
    ("ingress.enabled=true", "ingress.hosts is empty: name the host names"),
    ("httpRoute.enabled=true", "httpRoute.parentRefs is empty: name the Gateway"),
    ("gateway.autoscaling.enabled=true,gateway.autoscaling.minReplicas=11", "gateway.autoscaling.minReplicas (11) is above"),
    (
        "orderWorker.keda.enabled=true,orderWorker.keda.triggers[0].type=cron,orderWorker.keda.minReplicas=11",
        "orderWorker.keda.maxReplicas (10)",
    ),
    ("gateway.autoscaling.minReplicas=0", "minimum: got 0, want 1"),
    ("timeoutWorker.autoscaling.enabled=true,timeoutWorker.resources.requests.cpu=null", "timeoutWorker.resources.requests.cpu is empty"),
    ("terminationGracePeriodSeconds=29", "but the gateway needs 30 s"),
    ("terminationGracePeriodSeconds=60,preStopSleepSeconds=40", "but the gateway needs 65 s"),
    ("terminationGracePeriodSeconds=40,keeper.settings.FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS=50", "but the keeper needs 55 s"),
    ("admissionPolicy.productIdPrefixes.shop-a={a-}", "nothing checks it: set admissionPolicy.enabled=true"),
    (
        "admissionPolicy.enabled=true,admissionPolicy.productIdPrefixes.shop-a={a},admissionPolicy.productIdPrefixes.shop-b={ab}",
        "ids that begin with ab are allowed in shop-b and, by a, in shop-a",
    ),
    ("admissionPolicy.enabled=true,admissionPolicy.productIdPrefixes.shop-a={-a}", "does not match pattern"),
    ("keeper.reseal=disk,redis.replicas=3", "set keeper.reseal=ledger"),
    (
        "keeper.settings.FLASHSALE_KEEPER_ATTEST_SECONDS=3",
        "FLASHSALE_KEEPER_ATTEST_SECONDS of the keeper is 3, and FLASHSALE_CONFIRM_TIMEOUT",
    ),
    (
        "keeper.settings.FLASHSALE_KEEPER_ATTEST_SECONDS=3.5,gateway.settings.FLASHSALE_CONFIRM_TIMEOUT_SECONDS=3.5",
        "FLASHSALE_CONFIRM_TIMEOUT_SECONDS of the gateways is 3.5: make the keeper's longer",
    ),
    (
        "orderWorker.settings.FLASHSALE_ORDER_WORKER_STATEMENT_TIMEOUT_SECONDS=40",
        "FLASHSALE_ORDER_WORKER_STATEMENT_TIMEOUT_SECONDS is 40, and must be shorter than four times FLASHSALE_KEEPER_HOLES_SECONDS",
    ),
    ("keeper.settings.FLASHSALE_KEEPER_HOLES_SECONDS=7.5", "FLASHSALE_KEEPER_HOLES_SECONDS of the keeper, which is 7.5"),
    ("rabbitmq.memoryHighWatermark=1GiB", "RabbitMQ would be killed before it could slow its publishers down"),
    ("redis.tls.existingSecret=mine", "redis.tls.enabled is false: enable it"),
    ("redis.tls.enabled=true", "name the Secret with the server's certificate (tls.crt, tls.key), or enable tls.certManager"),
    ("postgresql.tls.enabled=true,postgresql.tls.existingSecret=mine", "tls.caSecret is empty: name the Secret with the authority's"),
    (
        "rabbitmq.enabled=false,externalRabbitmq.existingSecret=url,rabbitmq.tls.enabled=true",
        "write TLS into the URL in externalRabbitmq.existingSecret",
    ),
    ("tls.verifyClients=true,tls.caSecret=ca,tls.clientCertSecret=client", "none has TLS: enable redis.tls, rabbitmq.tls or"),
    (
        "tls.verifyClients=true,tls.caSecret=ca,redis.tls.enabled=true,redis.tls.existingSecret=mine",
        "tls.clientCertSecret is empty: the services could not reach their servers",
    ),
    ("tls.certManager.enabled=true", "issuerRef.name is empty: name the Issuer or ClusterIssuer"),
    (
        "tls.certManager.enabled=true,tls.certManager.issuerRef.name=a,migrations.hook=true,postgresql.enabled=false,"
        "externalPostgresql.existingSecret=url",
        "a hook runs before the certificates exist",
    ),
    ("rabbitmq.vhost=a/b", "does not match pattern"),
    ("cli.extraVolumes[0].name=tls-ca", 'cli.extraVolumes: the name "tls-ca" is already used in this pod'),
    ("redis.extraVolumeMounts[0].mountPath=/data", 'redis.extraVolumeMounts: the mountPath "/data" is already used in this pod'),
    ("rabbitmq.podLabels.app\\.kubernetes\\.io/name=mine", "rabbitmq.podLabels sets the label app.kubernetes.io/name"),
    ("postgresql.sharedBuffers=2GB", "postgresql.sharedBuffers (2GB) is not below postgresql.resources.limits.memory (1Gi)"),
]


@pytest.mark.parametrize(("setting", "words"), REFUSED)
def test_contradiction_is_refused_with_its_cure(setting: str, words: str) -> None:
    status, text = helm("--set", setting)
    assert (status, words in text) == (1, True), text


USES = {
    "monitoring.coreos.com/v1/PodMonitor": "metrics.podMonitor.enabled=true",
    "monitoring.coreos.com/v1/PrometheusRule": "metrics.prometheusRule.enabled=true",
    "gateway.networking.k8s.io/v1/HTTPRoute": "httpRoute.enabled=true,httpRoute.parentRefs[0].name=gw",
    "keda.sh/v1alpha1/ScaledObject": "gateway.keda.enabled=true,gateway.keda.triggers[0].type=cron",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy": "admissionPolicy.enabled=true",
    "cert-manager.io/v1/Certificate": "tls.certManager.enabled=true,tls.certManager.issuerRef.name=shop",
    "rabbitmq.com/v1beta1/Queue": "rabbitmq.enabled=false,rabbitmqTopology.enabled=true,rabbitmqTopology.cluster.name=events",
}


@pytest.mark.parametrize("kind", USES)
def test_object_that_the_cluster_does_not_know_is_refused(kind: str) -> None:
    def render(*kinds: str) -> tuple[int, str]:
        command = ["helm", "template", "shop", str(CHART), "--api-versions", ",".join(kinds), *SECRETS, "--set", USES[kind]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=HELM_TIMEOUT_SECONDS, check=False)
        return done.returncode, done.stderr

    status, text = render(*set(CLUSTER) - {kind})
    assert (status, f"this cluster has no {kind}: install" in text) == (1, True), text
    assert render(*CLUSTER) == (0, "")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("", {"gateway": 45, "order-worker": 45, "timeout-worker": 45, "keeper": 45, "ledger-api": 45, "storefront": 45, "operator": 30}),
        (
            "preStopSleepSeconds=90",
            {"gateway": 115, "order-worker": 115, "timeout-worker": 115, "keeper": 45, "ledger-api": 115, "operator": 30},
        ),
        ("orderWorker.settings.FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS=59.5", {"gateway": 45, "order-worker": 70}),
        ("gateway.settings.FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS=60,gateway.settings.FLASHSALE_LEAVE_TIMEOUT_SECONDS=9.5", {"gateway": 75}),
        ("terminationGracePeriodSeconds=300", {"gateway": 300, "keeper": 300, "operator": 300}),
    ],
)
def test_pod_has_the_time_that_it_needs_to_stop(words: str, seconds: dict[str, int]) -> None:
    documents = rendered("", *(["--set", words] if words else []))
    given = {name: find(documents, "Deployment", f"shop-flashsale-{name}")["spec"]["template"]["spec"] for name in seconds}
    assert {name: pod["terminationGracePeriodSeconds"] for name, pod in given.items()} == seconds


@pytest.mark.parametrize("values", MATRIX)
def test_every_disruption_budget_lets_a_node_be_drained(values: str) -> None:
    for document in rendered(values):
        if document["kind"] == "PodDisruptionBudget":
            spec = document["spec"]
            assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow"), document["metadata"]["name"]


def spread_over(pod: dict[str, Any]) -> list[str]:
    """What the pods are kept apart in. With a second constraint they would be spread over nothing where nodes have no zone."""
    preferred = pod.get("affinity", {}).get("podAntiAffinity", {}).get("preferredDuringSchedulingIgnoredDuringExecution", [])
    (constraint,) = pod["topologySpreadConstraints"]
    return [*(term["podAffinityTerm"]["topologyKey"] for term in preferred), constraint["topologyKey"]]


def test_pods_are_spread_over_zones_and_nodes() -> None:
    both = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    wanted = {name: both for name, _ in pods(rendered("ha.yaml")) if name.split("/")[0] in ("Deployment", "StatefulSet")}
    wanted["StatefulSet/shop-flashsale-postgresql"] = ["kubernetes.io/hostname"]
    assert {name: spread_over(pod) for name, pod in pods(rendered("ha.yaml")) if name in wanted} == wanted


def test_monitors_can_live_elsewhere_and_relabel() -> None:
    relabelings = '[{"sourceLabels":["__meta_kubernetes_pod_node_name"],"targetLabel":"node"}]'
    words = ["--set", "metrics.podMonitor.enabled=true,metrics.podMonitor.namespace=monitoring,metrics.podMonitor.scrapeTimeout=10s"]
    words += ["--set", "metrics.prometheusRule.enabled=true,metrics.prometheusRule.namespace=monitoring"]
    words += [
        "--set-json",
        f"metrics.podMonitor.relabelings={relabelings}",
        "--set-json",
        f"metrics.podMonitor.metricRelabelings={relabelings}",
    ]
    documents = rendered("", *words)
    monitors = [document for document in documents if document["kind"] == "PodMonitor"]
    assert len(monitors) == 8
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert monitor["metadata"]["namespace"] == "monitoring"
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["shop"]}
        assert (endpoint["scrapeTimeout"], endpoint["relabelings"], endpoint["metricRelabelings"]) == (
            "10s",
            *[json.loads(relabelings)] * 2,
        )
    assert find(documents, "PrometheusRule", "shop-flashsale")["metadata"]["namespace"] == "monitoring"


@pytest.mark.parametrize(
    ("values", "warned"),
    [("", {"Redis", "RabbitMQ", "Postgres"}), ("ha.yaml", {"Postgres"}), ("all-external.yaml", set())],
)
def test_notes_warn_of_servers_without_a_second_node(values: str, warned: set[str]) -> None:
    text = notes(*(["--values", str(CHART / "ci" / values)] if values else []))
    assert ("WARNING: these servers run in a single pod each" in text) == bool(warned)
    assert {name for name in ("Redis", "RabbitMQ", "Postgres") if f"  - {name}: " in text} == warned


@pytest.mark.parametrize(("modes", "proof"), [("service", ["-H", "Authorization: Bearer k"]), ("body", [])])
def test_notes_order_one_unit_as_a_shell_reads_them(modes: str, proof: list[str]) -> None:
    text = notes("--set", f"identity.modes={{{modes}}}")
    order = text[text.index("  curl -X POST localhost:8000/order") :].partition("\n\n")[0]
    script = f"KEY=k\ncurl() {{ printf '%s\\n' \"$@\"; }}\n{order}"
    given = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=HELM_TIMEOUT_SECONDS, check=True).stdout
    body = '{"userId": "ann", "productId": "sneaker", "quantity": 1, "requestId": "r1"}'
    head = ["-X", "POST", "localhost:8000/order", "-H", "Content-Type: application/json"]
    assert given.splitlines() == [*head, *proof, "-d", body]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("identity.modes={service}", "to link to your shop, set storefront.signInUrl"),
        ("identity.modes={service},storefront.signInUrl=https://shop.example", "and link to storefront.signInUrl"),
        ("identity.modes={service,token}", "only from buyers whom your shop sends with a token"),
        ("identity.modes={service,token},storefront.signInUrl=https://shop.example", ""),
        ("identity.modes={service},storefront.enabled=false", ""),
    ],
)
def test_notes_say_where_one_buys_if_not_on_the_page(values: str, said: str) -> None:
    paragraphs = [part for part in notes("--set", values).split("\n\n") if part.startswith("The storefront's pages")]
    assert (len(paragraphs), said in "".join(paragraphs)) == (bool(said), True)


def notes(*words: str) -> str:
    command = ["helm", "install", "shop", str(CHART), "--dry-run=client", *SECRETS, *words]
    text = subprocess.run(command, capture_output=True, text=True, timeout=HELM_TIMEOUT_SECONDS, check=True).stdout
    return text[text.index("\nNOTES:") :]
