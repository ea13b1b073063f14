"""Rendering without a cluster, as GitOps tools do: the same every time, or refused with the cure."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.chart.apiserver import Apiserver, serving
from tests.chart.rendering import CLUSTER, HELM_TIMEOUT_SECONDS, SECRETS, documents
from tools.repository import CHART, ROOT

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH: the chart is not rendered")

GITOPS = ("--values", str(CHART / "ci" / "gitops.yaml"))
ARGO = ("--name-template", "shop", "--namespace", "shop", "--kube-version", "1.34", "--include-crds", "--api-versions", ",".join(CLUSTER))
"""The words with which Argo CD calls `helm template`: with the kinds of its cluster, and without access to it."""


def run(*words: str) -> tuple[int, str]:
    done = subprocess.run(["helm", *words], capture_output=True, text=True, timeout=HELM_TIMEOUT_SECONDS, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def argo(*words: str) -> tuple[int, str]:
    return run("template", str(CHART), *ARGO, *words)


def test_rendering_that_would_make_new_keys_is_refused() -> None:
    own = ["credentials.existingSecret", "redis.auth.existingSecret", "rabbitmq.auth.existingSecret", "postgresql.auth.existingSecret"]
    for words in ([], ["--set", "credentials.existingSecret=mine"]):
        status, text = argo(*words)
        wanted = own[1:] if words else own
        assert (status, f"name your own Secrets: {', '.join(wanted)}. To see" in text) == (1, True), text
    assert "--dry-run=server" in text
    assert "generatedSecrets.withoutCluster=true" in text


def test_rendering_with_own_secrets_is_the_same_every_time() -> None:
    (status, first), second = argo(*GITOPS), argo(*GITOPS)
    assert status == 0, first
    assert second == (0, first)
    objects = documents(first)
    assert [document for document in objects if document["kind"] == "Secret"] == []
    assert "helm.sh/hook" not in first
    (job,) = [document for document in objects if document["kind"] == "Job"]
    assert "ttlSecondsAfterFinished" not in job["spec"]


def test_page_names_the_keys_of_every_secret() -> None:
    """Without a cluster helm refuses no Secret, and a RabbitMQ without the key of a user that it needs does not start again."""
    every = "redis.replicas=3,notifier.enabled=true,console.enabled=true,console.existingSecret=console"
    status, text = argo(*SECRETS, "--set", every)
    assert status == 0, text
    wanted: dict[str, set[str]] = {}
    for document in documents(text):
        if document["kind"] == "Secret":
            # Your own Secret for a server holds what the chart writes into several.
            server = re.sub(
                "-(roles|ledger-api|storefront|notifier|console)$", "", document["metadata"]["name"].removeprefix("shop-flashsale-")
            )
            server = "credentials" if server == "identity" else server
            wanted[server] = wanted.get(server, set()) | set(document["data"])
    rows = re.findall(r"(?m)^\| `(\w+)\.(?:auth\.)?existingSecret` \| (.*) \|$", (ROOT / "docs" / "gitops.md").read_text())
    assert {name: set(re.findall("`([^`]+)`", keys)) for name, keys in rows} == wanted


def test_page_has_the_values_that_are_tested() -> None:
    (page,) = re.findall(r"## Values\n\n```yaml\n(.*?)```", (ROOT / "docs" / "gitops.md").read_text(), re.DOTALL)
    assert yaml.safe_load(page) == yaml.safe_load((CHART / "ci" / "gitops.yaml").read_text())


def test_new_keys_at_each_rendering_must_be_asked_for() -> None:
    (status, first), (_, second) = argo(*SECRETS), argo(*SECRETS)
    assert status == 0
    assert re.findall("order-id-key: (?!order)\\S+", first) != re.findall("order-id-key: (?!order)\\S+", second)


def test_chart_passes_lint_without_a_cluster() -> None:
    status, text = run("lint", str(CHART))
    assert (status, "0 chart(s) failed" in text) == (0, True), text


def test_dry_run_that_cannot_look_up_names_the_one_that_can() -> None:
    status, text = run("install", "shop", str(CHART), "--dry-run=client")
    assert (status, "use --dry-run=server" in text) == (1, True), text
    assert run("install", "shop", str(CHART), "--dry-run=client", *GITOPS)[0] == 0


@pytest.fixture
def apiserver() -> Iterator[Apiserver]:
    with serving() as apiserver:
        yield apiserver


def on(apiserver: Apiserver, *words: str) -> tuple[int, str]:
    reaching = ("--dry-run=server", "--kube-apiserver", apiserver.url, "--disable-openapi-validation")
    return run("template", "shop", str(CHART), "--namespace", "shop", *reaching, *words)


@pytest.mark.parametrize("present", [["/api/v1/namespaces/shop/serviceaccounts/default"], ["/api/v1/namespaces/kube-system"]])
def test_first_install_into_a_cluster_generates_secrets(apiserver: Apiserver, present: Sequence[str]) -> None:
    """Also with --create-namespace, when the release's own namespace is not there yet."""
    apiserver.objects.update({path: {"metadata": {"name": Path(path).name}} for path in present})
    status, text = on(apiserver)
    assert status == 0, text
    assert len([document for document in documents(text) if document["kind"] == "Secret"]) == 8


def test_upgrade_keeps_the_secrets_and_reads_nothing_else(apiserver: Apiserver) -> None:
    keys = {document["metadata"]["name"]: document["data"] for document in documents(argo(*SECRETS)[1]) if document["kind"] == "Secret"}
    for name in ("credentials", "redis", "rabbitmq", "postgresql"):
        path = f"/api/v1/namespaces/shop/secrets/shop-flashsale-{name}"
        owned = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop"}
        metadata = {"name": name, "labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": owned}
        apiserver.objects[path] = {"metadata": metadata, "data": keys[f"shop-flashsale-{name}"]}
    status, text = on(apiserver)
    assert status == 0, text
    # The only ones that an earlier release does not have; hooks and revisions leave the others alone.
    secrets = [document["metadata"]["name"] for document in documents(text) if document["kind"] == "Secret"]
    new = ("identity", "redis-storefront", "postgresql-roles", "postgresql-ledger-api")
    assert secrets == [f"shop-flashsale-{name}" for name in new]
    # A user with rights in one namespace can upgrade.
    assert not any(path.startswith("/api/v1/namespaces/kube-system") for path in apiserver.asked)


def test_secret_without_a_key_that_is_needed_is_refused_with_the_command(apiserver: Apiserver) -> None:
    metadata = {"name": "shop-flashsale-redis"}
    apiserver.objects["/api/v1/namespaces/shop/secrets/shop-flashsale-redis"] = {"metadata": metadata, "data": {"gateway": "a2VwdA=="}}
    status, text = on(apiserver)
    assert (status, "the Secret shop-flashsale-redis has no key audit, which this release needs. Add one: kubectl -n shop" in text) == (
        1,
        True,
    )


def test_own_secret_of_an_earlier_release_is_refused_with_the_command(apiserver: Apiserver) -> None:
    path = "/api/v1/namespaces/shop/secrets/mine"
    apiserver.objects.update({"/api/v1/namespaces/kube-system": {}, path: {"metadata": {"name": "mine"}, "data": {"gateway": "a2VwdA=="}}})
    status, text = on(apiserver, "--set", "redis.auth.existingSecret=mine")
    assert (status, "the Secret mine has no key storefront" in text, "patch secret mine" in text) == (1, True, True), text
    apiserver.objects[path]["data"] |= dict.fromkeys(("timeout-worker", "operator", "audit", "keeper", "probe", "storefront"), "a2VwdA==")
    assert on(apiserver, "--set", "redis.auth.existingSecret=mine")[0] == 0


def test_values_of_an_earlier_release_still_render(apiserver: Apiserver) -> None:
    """`helm upgrade --reuse-values` brings no defaults of keys that are new."""
    apiserver.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"name": "kube-system"}}
    new = (
        "hooks",
        "generatedSecrets",
        "terminationGracePeriodSeconds",
        "migrations.ttlSecondsAfterFinished",
        "metrics.prometheusRule.services",
        "admissionPolicy",
        "operator.engine",
        "operator.watchNamespaces",
        "storefront",
        "console",
        "notifier",
    )
    status, text = on(apiserver, "--set", ",".join(f"{name}=null" for name in new))
    assert (status, "helm.sh/hook: test" in text) == (0, True), text
    status, text = argo(*SECRETS, "--set", "metrics.prometheusRule.enabled=true,metrics.prometheusRule.services=null")
    assert (status, "FlashsaleGatewayGone" in text) == (0, True), text


def test_cluster_that_answers_nothing_is_no_reason_to_make_new_keys(apiserver: Apiserver) -> None:
    status, text = on(apiserver)
    assert (status, "helm cannot look up Secrets here" in text) == (1, True), text
