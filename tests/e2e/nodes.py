"""The nodes of a cluster that runs in containers of this machine, as kind's do: they can die, and come back."""

import os
import shutil

from tests.e2e.kube import run, until

ENGINE = os.environ.get("CONTAINER_ENGINE", "docker")
READY_SECONDS = 120
# A container that starts again may get another address; `kubeadm` wrote the former one into this file.
_START_KUBELET = """
address=$(getent ahostsv4 "$(hostname)" | awk 'NR == 1 { print $1 }')
sed -i "s/--node-ip=[^ \\"]*/--node-ip=$address/" /var/lib/kubelet/kubeadm-flags.env
systemctl restart kubelet
"""


def workers() -> list[str]:
    """The nodes that take pods of everybody, if they are containers; empty otherwise."""
    nodes = run("kubectl", "get", "nodes", "-l", "!node-role.kubernetes.io/control-plane", "-o", "name").split()
    names = [name.removeprefix("node/") for name in nodes]
    return names if shutil.which(ENGINE) and all(_is_container(name) for name in names) else []


def kill(node: str) -> None:
    """End all processes of a node at once, and take it from the network."""
    run(ENGINE, "kill", node)


def start(node: str) -> float:
    """Start a node that was killed; returns the seconds until it is Ready."""
    # A Lease from before it was killed must not count as a sign of life.
    before = _renewed_at(node)
    run(ENGINE, "start", node)
    run(ENGINE, "exec", node, "sh", "-c", _START_KUBELET)
    return until(lambda: _renewed_at(node) != before and _is_ready(node), READY_SECONDS, f"{node} is Ready")


def _is_container(node: str) -> bool:
    return run(ENGINE, "inspect", "-f", "{{.State.Status}}", node, check=False).strip() == "running"


def _is_ready(node: str) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return run("kubectl", "get", "node", node, "-o", path).strip() == "True"


def _renewed_at(node: str) -> str:
    return run("kubectl", "get", "lease", node, "--namespace", "kube-node-lease", "-o", "jsonpath={.spec.renewTime}")
