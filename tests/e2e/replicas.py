"""The pods and Secrets of a release, compared before and after a test."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.e2e.kube import Namespace, is_ready

SERVERS = ("redis", "rabbitmq", "postgresql")


def secrets(shop: Namespace) -> dict[str, dict[str, str]]:
    items = shop.get("secrets")["items"]
    return {secret["metadata"]["name"]: secret["data"] for secret in items if not secret["type"].startswith("helm.sh/")}


def server_pods(shop: Namespace) -> dict[str, Any]:
    """The uid and the restart counts of each pod, by server."""
    return {
        name: [
            (pod["metadata"]["uid"], [container["restartCount"] for container in pod["status"]["containerStatuses"]])
            for pod in shop.pods(name)
        ]
        for name in SERVERS
    }


def ready_pods(shop: Namespace, *components: str) -> Mapping[str, set[str]]:
    """The uids of the Ready pods, by component."""
    return {name: {pod["metadata"]["uid"] for pod in shop.pods(name) if is_ready(pod)} for name in components}


def all_back(shop: Namespace, before: Mapping[str, set[str]]) -> Callable[[], bool]:
    """Whether each component has at least the number of Ready pods that it had before."""
    return lambda: all(len(now) >= len(before[name]) for name, now in ready_pods(shop, *before).items())
