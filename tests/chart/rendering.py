"""Rendering the chart with helm, and looking into what it rendered."""

import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from tools.repository import CHART

PRODUCTION = "values-production.yaml"
MATRIX = ["", PRODUCTION, *sorted(path.name for path in (CHART / "ci").glob("*.yaml"))]
"""The values that the chart is tested with: its own, those for production, and the files of its folder ci/."""
HELM_TIMEOUT_SECONDS = 60
SECRETS = ("--set", "generatedSecrets.withoutCluster=true")
"""Without a cluster, the chart refuses to generate Secrets."""
CLUSTER = (
    "v1/Pod",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "keda.sh/v1alpha1/ScaledObject",
    "rabbitmq.com/v1beta1/Queue",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "cert-manager.io/v1/Certificate",
)
"""Kinds of a cluster with everything that the chart can use. With `v1/Pod`, hooks are rendered."""


class OnceLoader(yaml.CSafeLoader):
    """Refuses a key that stands twice in a map, as Helm 4 and the apiserver do; PyYAML would take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"keys that stand twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.load_all(text, OnceLoader) if document]


def helm(*words: object) -> tuple[int, str]:
    command = [
        "helm",
        "template",
        "shop",
        str(CHART),
        "--namespace",
        "shop",
        "--api-versions",
        ",".join(CLUSTER),
        *SECRETS,
        *map(str, words),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HELM_TIMEOUT_SECONDS, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


@cache
def rendered(values: str, *words: str) -> list[dict[str, Any]]:
    """The objects of the chart with a file of MATRIX and more words for helm."""
    file = CHART / values if values == PRODUCTION else CHART / "ci" / values
    status, text = helm(*(["--values", file] if values else []), *words)
    assert status == 0, text
    return documents(text)


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All pod specs, as (kind/name of the owner, pod spec)."""
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
    (match,) = [document for document in documents if document["kind"] == kind and document["metadata"]["name"] == name]
    return match
