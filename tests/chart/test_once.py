"""Nothing is written twice: no key of a map, no variable, and no entry of a list that Kubernetes merges by name."""

import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendering import MATRIX, containers, documents, find, helm, pods, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

MERGED_BY = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""List -> the fields by which the apiserver knows its entries; it refuses two entries that agree in them."""


def doubled(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            fields = MERGED_BY.get(name, ())
            if isinstance(inner, list) and fields:
                entries = Counter(tuple(entry.get(field) for field in fields) for entry in inner)
                yield from (f"{path}.{name}: {entry}" for entry, count in entries.items() if count > 1)
            yield from doubled(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from doubled(inner, path)


@pytest.mark.parametrize("values", MATRIX)
def test_nothing_is_rendered_twice(values: str) -> None:
    objects = rendered(values)
    assert [entry for document in objects for entry in doubled(document, document["metadata"]["name"])] == []
    names = Counter((document["kind"], document["metadata"]["name"]) for document in objects)
    assert [name for name, count in names.items() if count > 1] == []


def test_the_parser_refuses_a_key_that_stands_twice() -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match="twice: \\['a'\\]"):
        documents("b: {a: 1, a: 2}")


def environment(component: str, *words: str) -> list[dict[str, Any]]:
    pod = find(rendered("", *words), "Deployment", f"shop-flashsale-{component}")["spec"]["template"]["spec"]
    return [entry for container in pod["containers"] for entry in container["env"]]


def test_settings_replace_what_the_chart_sets_and_extra_variables_replace_both() -> None:
    words = ["--set", "gateway.settings.FLASHSALE_LOG_LEVEL=DEBUG", "--set", "gateway.settings.FLASHSALE_WAITING_MAX=7"]
    words += [
        "--set-json",
        'gateway.extraEnv=[{"name":"FLASHSALE_WAITING_MAX","value":"9"},{"name":"A","value":"$(FLASHSALE_WAITING_MAX)"}]',
    ]
    entries = environment("gateway", *words)
    values = {entry["name"]: entry.get("value") for entry in entries}
    assert (values["FLASHSALE_LOG_LEVEL"], values["FLASHSALE_WAITING_MAX"]) == ("DEBUG", "9")
    # A variable is expanded only from those above it.
    assert [entry["name"] for entry in entries][-2:] == ["FLASHSALE_WAITING_MAX", "A"]
    assert {entry["name"]: entry.get("value") for entry in environment("keeper", *words)}["FLASHSALE_LOG_LEVEL"] == "INFO"


SERVICES = ("gateway", "orderWorker", "timeoutWorker", "keeper", "ledgerApi", "operator", "storefront")
ONCE = {
    "FLASHSALE_HOST": "listenHost",
    "FLASHSALE_ADMIN_KEYS": "credentials.existingSecret",
    "FLASHSALE_ADMIN_TOKEN": "credentials.existingSecret",
    "FLASHSALE_SHARDS": "shards",
    "FLASHSALE_INSTALLATION": "installation.name",
    "FLASHSALE_IDENTITY": "identity.modes",
    "FLASHSALE_PAYMENT_WINDOWS": "paymentWindows",
    "FLASHSALE_ORDER_ID_KEY": "credentials.existingSecret",
    "FLASHSALE_WEBHOOK_SECRET": "credentials.existingSecret",
    "REDIS_URL": "externalRedis",
    "AMQP_URL": "externalRabbitmq",
    "DATABASE_URL": "externalPostgresql",
    "FLASHSALE_PROBE_HOST": "listenHost",
    "FLASHSALE_OPERATOR_NAMESPACE": "operator.watchNamespaces",
    "FLASHSALE_OPERATOR_ENGINE": "operator.engine.name",
    "FLASHSALE_OPERATOR_ENGINE_DEFAULT": "operator.engine.default",
    "FLASHSALE_OPERATOR_DELETE_WITHOUT_REDIS_SECONDS": "operator.deleteWithoutRedisSeconds",
    "FLASHSALE_RESEAL": "keeper.reseal",
}


@pytest.mark.parametrize(("number", "name"), list(enumerate(ONCE)))
def test_one_service_cannot_have_another_value_of_what_all_share(number: int, name: str) -> None:
    service = SERVICES[number % len(SERVICES)]
    for words in (["--set", f"{service}.settings.{name}=x"], ["--set-json", f'{service}.extraEnv=[{{"name":"{name}","value":"x"}}]']):
        status, text = helm(*words)
        assert (status, f"{service} sets {name}" in text, f"set it once with {ONCE[name]}" in text) == (1, True, True), text


def test_every_shared_variable_of_the_chart_is_refused_elsewhere() -> None:
    """Variables that at least two services get from the chart with one value, but for those that may differ."""
    given = Counter(
        entry["name"]
        for owner, pod in pods(rendered("", "--set", "listenHost=::"))
        if owner.startswith("Deployment/")
        for container in containers(pod)
        for entry in container["env"]
    )
    may_differ = {"FLASHSALE_LOG_LEVEL", "FLASHSALE_SHUTDOWN_TIMEOUT_SECONDS", "FLASHSALE_PROBE_PORT"}
    passwords = {"REDIS_PASSWORD", "AMQP_PASSWORD", "POSTGRES_PASSWORD"}
    assert {name for name, count in given.items() if count > 1} - may_differ - passwords <= set(ONCE)


JWKS = "identity.modes={jwt},identity.jwt.issuer=i,identity.jwt.audience=a,identity.jwt.jwksConfigMap=keys,"
DOUBLED = [
    ("gateway.settings.FLASHSALE_PORT=1", "know only the chart's port"),
    ("commonLabels.app\\.kubernetes\\.io/instance=mine", "commonLabels sets the label app.kubernetes.io/instance"),
    ("keeper.podLabels.app\\.kubernetes\\.io/component=mine", "keeper.podLabels sets the label app.kubernetes.io/component"),
    ("gateway.extraVolumes[0].name=tmp", 'gateway.extraVolumes: the name "tmp" is already used in this pod'),
    (
        "gateway.extraVolumeMounts[0].mountPath=/tmp,gateway.extraVolumeMounts[0].name=tmp",
        'the mountPath "/tmp" is already used in this pod',
    ),
    ("orderWorker.extraContainers[0].name=order-worker", 'orderWorker.extraContainers: the name "order-worker" is already used'),
    ("redis.extraContainers[0].name=reload", 'redis.extraContainers: the name "reload" is already used'),
    ("rabbitmq.extraContainers[0].name=reload", 'rabbitmq.extraContainers: the name "reload" is already used'),
    (JWKS + "gateway.extraVolumes[0].name=jwks", 'gateway.extraVolumes: the name "jwks" is already used in this pod'),
    (
        JWKS + "gateway.extraVolumeMounts[0].mountPath=/etc/flashsale/jwks,gateway.extraVolumeMounts[0].name=jwks",
        'the mountPath "/etc/flashsale/jwks" is already used in this pod',
    ),
    ("redis.podSecurityContext.runAsNonRoot=false", "no container of this chart needs root"),
    ("gateway.extraEnv[0].value=1", "missing property 'name'"),
]


@pytest.mark.parametrize(("setting", "words"), DOUBLED)
def test_what_would_be_written_twice_is_refused(setting: str, words: str) -> None:
    status, text = helm("--set", setting)
    assert (status, words in text) == (1, True), text


def test_label_that_selects_nothing_can_be_changed() -> None:
    deployment = find(rendered("overrides.yaml"), "Deployment", "shop-flashsale-gateway")
    assert deployment["metadata"]["labels"]["app.kubernetes.io/part-of"] == "shop"
    assert deployment["spec"]["template"]["metadata"]["labels"]["helm.sh/chart"] == "mine"
    monitor = find(rendered("overrides.yaml"), "PodMonitor", "shop-flashsale-gateway")
    assert monitor["metadata"]["labels"]["app.kubernetes.io/version"] == "v1"
