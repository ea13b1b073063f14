"""A few answers of an apiserver, so that helm's `lookup` can be tested without a cluster."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KINDS = {
    "v1": {
        "namespaces": "Namespace", "secrets": "Secret", "serviceaccounts": "ServiceAccount", "configmaps": "ConfigMap",
        "persistentvolumeclaims": "PersistentVolumeClaim", "services": "Service", "pods": "Pod",
    },
    "apps/v1": {"deployments": "Deployment", "statefulsets": "StatefulSet"},
    "batch/v1": {"jobs": "Job", "cronjobs": "CronJob"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "rbac.authorization.k8s.io/v1": {
        "roles": "Role", "rolebindings": "RoleBinding", "clusterroles": "ClusterRole", "clusterrolebindings": "ClusterRoleBinding",
    },
    "apiextensions.k8s.io/v1": {"customresourcedefinitions": "CustomResourceDefinition"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "monitoring.coreos.com/v1": {"podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"},
}  # fmt: skip
CLUSTER_WIDE = ("namespaces", "clusterroles", "clusterrolebindings", "customresourcedefinitions")


@dataclass
class Apiserver:
    url: str
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Path -> object, or a list with its own kind; every other object is not there."""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        match path.strip("/").split("/", 1):
            case ["version"]:
                return 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
            case ["api"]:
                return 200, {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in KINDS if "/" in name]}
            case ["api" | "apis", version] if version in KINDS:
                return 200, _resources(version)
            case _ if path in self.objects:
                return 200, {"apiVersion": "v1", "kind": KINDS["v1"].get(path.split("/")[-2])} | self.objects[path]
            case _:
                return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


def _group(version: str) -> dict[str, Any]:
    known = {"groupVersion": version, "version": "v1"}
    return {"name": version.split("/")[0], "versions": [known], "preferredVersion": known}


def _resources(version: str) -> dict[str, Any]:
    resources = [
        {"name": name, "kind": kind, "namespaced": name not in CLUSTER_WIDE, "verbs": ["get", "list", "create", "patch"]}
        for name, kind in KINDS[version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


@contextmanager
def serving() -> Iterator[Apiserver]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = apiserver.answer(self.path.split("?")[0])
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        apiserver = Apiserver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield apiserver
        finally:
            server.shutdown()
            thread.join()
