"""The hook before an uninstall: which FlashSales it may look at and delete, and that a refusal is not repeated."""

import shutil
from typing import Any

import pytest

from tests.chart.rendering import containers, find, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

ALL = ("--set", "operator.watchAllNamespaces=true")


def job(*words: str) -> dict[str, Any]:
    return find(rendered("", *words), "Job", "shop-flashsale-cleanup")


def variables(*words: str) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in containers(job(*words)["spec"]["template"]["spec"])[0]["env"]}


def test_live_sales_end_only_if_the_merchant_allows_it() -> None:
    assert variables()["FLASHSALE_CLEANUP_FORCE"] == "false"
    assert variables("--set", "cleanup.force=true")["FLASHSALE_CLEANUP_FORCE"] == "true"


def test_values_of_an_earlier_release_do_not_force() -> None:
    assert variables("--set", "cleanup.force=null")["FLASHSALE_CLEANUP_FORCE"] == "false"


def test_refusal_fails_the_job_at_once_and_helm_prints_it() -> None:
    (rule,) = job()["spec"]["podFailurePolicy"]["rules"]
    assert rule == {"action": "FailJob", "onExitCodes": {"containerName": "cleanup", "operator": "In", "values": [3]}}
    assert job()["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] == "hook-failed"


@pytest.mark.parametrize(
    ("words", "namespace", "kind", "name"),
    [((), "shop", "Role", "shop-flashsale-cleanup"), (ALL, "", "ClusterRole", "shop-shop-flashsale-cleanup")],
)
def test_cleanup_reaches_what_the_operator_serves(words: tuple[str, ...], namespace: str, kind: str, name: str) -> None:
    documents = rendered("", *words)
    assert variables(*words)["FLASHSALE_OPERATOR_NAMESPACE"] == namespace
    role, binding = find(documents, kind, name), find(documents, f"{kind}Binding", name)
    assert role["rules"] == [{"apiGroups": ["flashsale.dev"], "resources": ["flashsales"], "verbs": ["list", "delete"]}]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (kind, name)
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "shop-flashsale-cleanup", "namespace": "shop"}]
    assert role["metadata"].get("namespace", "") == binding["metadata"].get("namespace", "") == namespace
