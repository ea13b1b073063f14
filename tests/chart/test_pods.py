"""What values add to pods reaches every pod template: services, bundled servers, Jobs, hooks and tests."""

import shutil
from typing import Any

import pytest

from tests.chart.rendering import MATRIX, PRODUCTION, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")
FILES = {
    "FLASHSALE_TLS_CA_FILE": "/tls/ca/ca.crt",
    "FLASHSALE_TLS_CERT_FILE": "/tls/client/tls.crt",
    "FLASHSALE_TLS_KEY_FILE": "/tls/client/tls.key",
}
SERVERS = ("redis", "rabbitmq", "postgresql")


def templates(values: str, *words: str) -> dict[str, Any]:
    """Every object that is or makes a pod, by its name: the pod's metadata and spec."""
    made: dict[str, Any] = {}
    for document in rendered(values, *words):
        name = document["metadata"]["name"].removeprefix("shop-flashsale-")
        match document["kind"]:
            case "Pod":
                made[name] = document
            case "CronJob":
                made[name] = document["spec"]["jobTemplate"]["spec"]["template"]
            case "Deployment" | "StatefulSet" | "Job":
                made[name.partition("-1-")[0]] = document["spec"]["template"]
            case _:
                pass
    return made


PODS = (
    "gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "operator", *SERVERS,
    "migrate", "audit", "retention", "recover-plan", "recover-run", "recover-rebuild", "cleanup", "test",
)  # fmt: skip


def test_table_of_pods_is_complete() -> None:
    assert set(templates("extras.yaml")) == set(PODS)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_gets_what_the_values_add(name: str) -> None:
    pod = templates("extras.yaml")[name]
    assert (pod["metadata"]["labels"]["team"], pod["metadata"]["annotations"]["example.com/owner"]) == ("sales", "sales")
    containers, more = pod["spec"]["containers"][:-1], pod["spec"]["containers"][-1]
    assert more["name"] == "more"
    assert {"name": "more", "emptyDir": {}} in pod["spec"]["volumes"]
    for container in containers:
        assert {"name": "MORE", "value": "more"} in container["env"], container["name"]
        assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"], container["name"]


@pytest.mark.parametrize("name", PODS)
def test_every_pod_gets_the_certificates_and_ours_use_them(name: str) -> None:
    spec = templates("extras.yaml")[name]["spec"]
    volumes = {volume["name"]: volume.get("secret", {}).get("secretName") for volume in spec["volumes"]}
    assert (volumes["tls-ca"], volumes["tls-client"]) == ("my-authority", "my-client")
    for container in spec["containers"][:-1]:
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert (mounts["tls-ca"]["mountPath"], mounts["tls-client"]["mountPath"]) == ("/tls/ca", "/tls/client")
        # A file mounted by subPath would never be renewed.
        assert not [mount for mount in mounts.values() if "subPath" in mount]
        variables = {variable["name"]: variable.get("value") for variable in container["env"] if "_TLS_" in variable["name"]}
        assert variables == ({} if name in SERVERS else FILES), container["name"]


@pytest.mark.parametrize("values", sorted({*MATRIX} - {"extras.yaml", "tls.yaml", PRODUCTION}))
def test_without_the_values_no_pod_has_certificates(values: str) -> None:
    for name, pod in templates(values).items():
        assert not [volume for volume in pod["spec"]["volumes"] if volume["name"].startswith("tls")], name
