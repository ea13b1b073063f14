"""Secrets of your own: the chart refuses those that lack a key, and the commands of docs/production.md create them all."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.chart.apiserver import serving
from tests.chart.rendering import HELM_TIMEOUT_SECONDS, PRODUCTION, containers, helm, pods, rendered
from tools.repository import CHART, ROOT

Keys = set[tuple[str, str]]
"""(name of a Secret, key)"""

FOLDERS = {
    "tls-ca": {"ca.crt"},
    "tls-client": {"tls.crt", "tls.key"},
    "secrets": {"gateway", "timeout-worker", "order-worker", "operator", "audit", "keeper", "storefront", "notifier", "probe", "replica",
                "sentinel", "erlang-cookie"},
}  # fmt: skip
"""Volumes that are mounted whole, and the keys of which their scripts read some."""


def missing(values: str, present: Keys, *words: str) -> Keys:
    """The keys that an install misses, if the cluster has these Secrets, and those named in `present` without a key as empty ones."""
    file = CHART / values if values == PRODUCTION else CHART / "ci" / values
    with serving() as apiserver:
        for name in {name for name, _ in present}:
            data = {key: "a2VwdA==" for secret, key in present if secret == name and key}
            apiserver.objects[f"/api/v1/namespaces/shop/secrets/{name}"] = {"metadata": {"name": name}, "data": data}
        reaching = ("--dry-run=server", "--kube-apiserver", apiserver.url, "--disable-openapi-validation")
        status, text = helm("--values", file, *reaching, *words)
    refused = set(re.findall(r"the Secret (\S+) has no key ([a-zA-Z.-]+[a-zA-Z])", text)) if status else set()
    assert status == int(bool(refused)), text
    return refused


def demanded(documents: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What no container starts without; of a volume that is mounted whole, nothing."""
    for _, pod in pods(documents):
        for variable in (variable for container in containers(pod) for variable in container.get("env", [])):
            reference = variable.get("valueFrom", {}).get("secretKeyRef", {"optional": True})
            if not reference.get("optional"):
                yield reference["name"], reference["key"]
        for volume in pod["volumes"]:
            sources = [source.get("secret", {}) for source in volume.get("projected", {}).get("sources", [])]
            for secret in [volume.get("secret", {}), *sources]:
                name = secret.get("secretName") or secret.get("name")
                yield from ((name, item["key"]) for item in secret.get("items", []))


def whole(documents: list[dict[str, Any]]) -> Keys:
    secrets = ((volume["name"], volume.get("secret", {})) for _, pod in pods(documents) for volume in pod["volumes"])
    return {(secret["secretName"], key) for name, secret in secrets if secret and "items" not in secret for key in FOLDERS[name]}


NOTIFIER = "notifier.enabled=true,notifier.endpoints[0].name=eu,notifier.endpoints[0].url=https://shop.example/,"
NOTIFIER += "notifier.endpoints[0].secret.name=hook,notifier.endpoints[0].secret.key=word"
MORE = (
    "--set", NOTIFIER, "--set", "console.enabled=true,console.existingSecret=console,retention.enabled=true",
    "--set", "identity.modes={service,token,jwt},identity.jwt.issuer=i,identity.jwt.audience=a,identity.jwt.sharedSecret=true",
)  # fmt: skip
LESS = ("--set", "operator.enabled=false,ledgerApi.enabled=false,storefront.enabled=false,identity.modes={body}")


@pytest.mark.parametrize(
    ("values", "words"), [(PRODUCTION, ()), (PRODUCTION, MORE), (PRODUCTION, LESS), ("gitops.yaml", MORE), ("all-external.yaml", MORE)]
)
def test_own_secret_without_a_key_that_a_container_needs_is_refused(values: str, words: tuple[str, ...]) -> None:
    documents = rendered(values, *words)
    needed, folders = set(demanded(documents)), whole(documents)
    refused = missing(values, {(name, "") for name, _ in needed | folders}, *words)
    assert needed <= refused <= needed | folders
    assert missing(values, refused, *words) == set()


def created(page: Iterable[str], folder: Path) -> Keys:
    """What the commands create, with a kubectl that only notes its words."""
    shell = 'kubectl() { printf "%s\\n" "$*" >>words; }; openssl() { echo word; }; cat() { :; }\n'
    subprocess.run(["bash", "-euc", shell + "\n".join(page)], cwd=folder, check=True, timeout=HELM_TIMEOUT_SECONDS)
    secrets = re.findall(r"create secret generic (\S+) (.*)", (folder / "words").read_text())
    return {(name, key) for name, words in secrets for key in re.findall(r"--from-(?:literal|file)=([^=\s]+)=", words)}


def test_commands_of_the_production_page_create_every_key_that_its_values_need(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "production.md").read_text()
    blocks = [dedent(block) for block in re.findall(r"(?ms)^ +```\n(.*?)^ +```$", page)]
    present = created((block for block in blocks if "create secret" in block), tmp_path)
    assert missing(PRODUCTION, {(name, "") for name, _ in present}) == present
    # A Secret that the cluster does not have yet is not refused.
    assert missing(PRODUCTION, {("another", "")}) == set()
    assert {name for name, _ in present} == {name for name, _ in {*demanded(rendered(PRODUCTION)), *whole(rendered(PRODUCTION))}}


def variables(documents: list[dict[str, Any]], kind: str) -> dict[str, Keys]:
    """Component -> the Secrets and keys in the environment of its pods."""
    references: dict[str, Keys] = {}
    for document in (document for document in documents if document["kind"] == kind):
        component = document["metadata"]["labels"]["app.kubernetes.io/component"]
        environment = [variable for container in containers(document["spec"]["template"]["spec"]) for variable in container.get("env", [])]
        secrets = [variable["valueFrom"]["secretKeyRef"] for variable in environment if "secretKeyRef" in variable.get("valueFrom", {})]
        references[component] = {(secret["name"], secret["key"]) for secret in secrets}
    return references


def test_rotation_page_names_every_service_that_a_changed_value_must_restart() -> None:
    """A service that is left out goes on with the old value, and accepts the old keys."""
    page = (ROOT / "docs" / "rotation.md").read_text()
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| (.*) \|$", page.partition("| `rollout restart` of |")[2].partition("## Redis")[0])
    named = {service: set(re.findall(r"`([a-z-]+)`", keys)) for service, keys in rows}
    # The endpoints of a notifier have Secrets of any name.
    used = {
        service: {key for name, key in keys if name != "hook"}
        for service, keys in variables(rendered("gitops.yaml", *MORE), "Deployment").items()
    }
    assert named == used
