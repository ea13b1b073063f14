"""Pods without a volume leave a dead node soon; the servers stay with their volumes."""

import json
import shutil
from typing import Any

import pytest

from tests.chart.rendering import MATRIX, pods, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
SERVERS = ("redis", "rabbitmq", "postgresql")
SERVICES = ("gateway", "order-worker", "timeout-worker", "keeper", "ledger-api", "storefront", "operator")


def tolerations(values: str, *words: str) -> dict[str, dict[str, Any]]:
    """Deployment or StatefulSet -> the tolerated taints of nodes that are lost, with their seconds."""
    listed = {}
    for name, pod in pods(rendered(values, *words)):
        kind, _, full = name.partition("/")
        if kind in ("Deployment", "StatefulSet"):
            known = {entry.get("key", ""): entry.get("tolerationSeconds") for entry in pod.get("tolerations", ())}
            listed[full.removeprefix("shop-flashsale-")] = {key: known[key] for key in TAINTS if key in known}
    return listed


def test_pods_without_a_volume_leave_a_dead_node_after_half_a_minute() -> None:
    assert tolerations("") == {name: dict.fromkeys(TAINTS, 30) for name in SERVICES} | {name: {} for name in SERVERS}


def test_kubernetes_own_time_is_kept_if_none_is_set() -> None:
    assert set(map(str, tolerations("", "--set", "nodeLossTolerationSeconds=null").values())) == {"{}"}


@pytest.mark.parametrize("key", [TAINTS[0], ""])
def test_toleration_of_the_merchant_takes_precedence(key: str) -> None:
    own = {"operator": "Exists", "tolerationSeconds": 5, "effect": "NoExecute"} | ({"key": key} if key else {})
    expected = {TAINTS[0]: 5, TAINTS[1]: 30} if key else {}
    assert tolerations("", "--set-json", f"gateway.tolerations=[{json.dumps(own)}]")["gateway"] == expected


@pytest.mark.parametrize("values", MATRIX)
def test_no_taint_is_tolerated_twice(values: str) -> None:
    for name, pod in pods(rendered(values)):
        keys = [entry.get("key", "") for entry in pod.get("tolerations", ()) if entry.get("effect") == "NoExecute"]
        assert len(keys) == len(set(keys)), name
