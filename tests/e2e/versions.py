"""A second version of the FlashSale resource, added and given up as decision 0040 describes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.e2e.kube import Namespace, run, until

CRD = "flashsales.flashsale.dev"
OLD, NEW = "v1alpha1", "v1beta1"
SERVED_TIMEOUT_SECONDS = 60
"""After a change, the apiserver makes the storage of the resource again and publishes its versions a while later."""


@contextmanager
def second_version(shop: Namespace) -> Iterator[None]:
    """Inside, both versions are served and the new one is stored. At the end, only the old one exists again."""
    (old,) = _crd()["spec"]["versions"]
    _serve({**old, "storage": False}, {**old, "name": NEW})
    try:
        yield
    finally:
        _serve(old, {**old, "name": NEW, "storage": False})
        migrate(shop, OLD)
        _serve(old)


def migrate(shop: Namespace, version: str) -> None:
    """Store every FlashSale in the version that is stored now, and record that there is no other."""
    names = shop.kubectl("get", f"flashsales.{version}.flashsale.dev", "-o", "name").split()
    # A patch without a change is written only if the stored version differs.
    shop.kubectl("patch", *names, "--type=merge", "-p", "{}")
    run("kubectl", "patch", "crd", CRD, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"storedVersions": [version]}}))


def stored_versions() -> list[str]:
    return list(_crd()["status"]["storedVersions"])


def _crd() -> dict[str, Any]:
    return dict(json.loads(run("kubectl", "get", "crd", CRD, "-o", "json")))


def _serve(*versions: Mapping[str, Any]) -> None:
    run("kubectl", "patch", "crd", CRD, "--type=merge", "-p", json.dumps({"spec": {"versions": versions}}))
    names = {f"flashsale.dev/{version['name']}" for version in versions}
    until(lambda: _served() == names, SERVED_TIMEOUT_SECONDS, f"the apiserver serves {sorted(names)}")


def _served() -> set[str]:
    # Without a cache: kubectl would keep a version that is gone for ten minutes.
    run("kubectl", "api-resources", "--cached=false", "--api-group=flashsale.dev")
    return {name for name in run("kubectl", "api-versions").split() if name.startswith("flashsale.dev/")}
