"""Which FlashSales a release serves: its engine, and its namespaces with a Role in each."""

import json
import shutil
from typing import Any

import pytest
import yaml

from tests.chart.apiserver import serving
from tests.chart.rendering import find, helm, rendered

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")
SEVERAL = ("--set", "operator.watchNamespaces={west,east,shop}")
WATCHED = ["shop", "west", "east"]
SHARED = ("FLASHSALE_OPERATOR_NAMESPACE", "FLASHSALE_OPERATOR_ENGINE", "FLASHSALE_INSTALLATION")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{RBAC}/namespaces/shop/roles"


def environment(documents: list[dict[str, Any]]) -> dict[str, str]:
    pod = find(documents, "Deployment", "shop-flashsale-operator")["spec"]["template"]["spec"]
    return {variable["name"]: variable.get("value", "") for variable in pod["containers"][0]["env"]}


def test_operator_has_its_rights_in_every_namespace_that_it_serves() -> None:
    documents = rendered("", *SEVERAL)
    for kind, component in (("Role", "operator"), ("RoleBinding", "operator"), ("Role", "cleanup"), ("RoleBinding", "cleanup")):
        objects = [document for document in documents if document["kind"] == kind and document["metadata"]["name"].endswith(component)]
        assert [document["metadata"]["namespace"] for document in objects] == WATCHED
        if kind == "Role":
            assert len({json.dumps(document["rules"]) for document in objects}) == 1
        else:
            assert {document["subjects"][0]["namespace"] for document in objects} == {"shop"}
            roles = [document["metadata"]["name"] for document in objects]
            assert [document["roleRef"]["name"] for document in objects] == roles
    assert environment(documents)["FLASHSALE_OPERATOR_NAMESPACE"] == ",".join(WATCHED)
    assert not [document for document in documents if document["kind"] == "ClusterRoleBinding"]


def test_engine_reaches_operator_cleanup_and_test() -> None:
    documents = rendered("", "--set", "operator.engine.name=second,operator.engine.default=false")
    given = environment(documents)
    assert (given["FLASHSALE_OPERATOR_ENGINE"], given["FLASHSALE_OPERATOR_ENGINE_DEFAULT"]) == ("second", "false")
    for kind, name in (("Job", "shop-flashsale-cleanup"), ("Pod", "shop-flashsale-test")):
        text = yaml.safe_dump(find(documents, kind, name))
        assert "second" in text
    cleanup = find(documents, "Job", "shop-flashsale-cleanup")["spec"]["template"]["spec"]["containers"][0]["env"]
    named = {variable["name"]: variable.get("value", "") for variable in cleanup}
    assert named.items() >= {name: given[name] for name in given if name.startswith(SHARED)}.items()


def test_list_of_namespaces_and_all_of_them_contradict_each_other() -> None:
    status, text = helm("--set", "operator.watchAllNamespaces=true", *SEVERAL)
    assert (status, "are both set: keep one" in text) == (1, True), text


def role(release: str, engine: str) -> dict[str, Any]:
    annotations = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "shop"}
    return {"metadata": {"name": f"{release}-operator", "labels": {"flashsale.dev/engine": engine}, "annotations": annotations}}


def test_second_release_of_an_engine_in_a_namespace_is_refused() -> None:
    with serving() as apiserver:
        reaching = ("--dry-run=server", "--kube-apiserver", apiserver.url, "--disable-openapi-validation")
        listing = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleList"}
        apiserver.objects[ROLES] = listing | {"items": [role("shop", "flashsale"), role("first", "flashsale")]}
        status, text = helm(*reaching)
        assert (status, "the release shop/first serves the engine flashsale in namespace shop already" in text) == (1, True), text
        status, text = helm(*reaching, "--set", "operator.engine.name=second")
        assert status == 0, text
        apiserver.objects[ROLES] = listing | {"items": [role("shop", "flashsale")]}
        status, text = helm(*reaching)
        assert status == 0, text


@pytest.mark.parametrize(("kind", "place"), [("Role", "namespace west"), ("ClusterRole", "namespace of any name")])
def test_release_for_all_namespaces_is_refused_where_another_serves_its_engine(kind: str, place: str) -> None:
    other = role("first", "flashsale")
    if kind == "Role":
        other["metadata"]["namespace"] = "west"
    with serving() as apiserver:
        reaching = ("--dry-run=server", "--kube-apiserver", apiserver.url, "--disable-openapi-validation")
        listing = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": f"{kind}List", "items": [other]}
        apiserver.objects[f"{RBAC}/{kind.lower()}s"] = listing
        status, text = helm(*reaching, "--set", "operator.watchAllNamespaces=true")
        assert (status, f"the release shop/first serves the engine flashsale in {place} already" in text) == (1, True), text
        status, text = helm(*reaching, "--set", "operator.watchAllNamespaces=true,operator.engine.name=second")
        assert status == 0, text
