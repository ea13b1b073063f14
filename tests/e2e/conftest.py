"""The e2e suite: `make e2e`. It runs on any cluster in KUBECONFIG whose nodes have the images, and does not depend on kind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.kube import Namespace, report, run
from tools.dashboards.prometheus import binary

NAMESPACE = "flashsale-e2e"
UNPACK_TIMEOUT_SECONDS = 900
ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests run file by file, and the one that uninstalls comes last. A test may take longer here than elsewhere."""
    for item in items:
        item.add_marker(pytest.mark.timeout(1800))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Collect diagnostics in .e2e at the first failure, before any fixture removes what failed."""
    report = yield
    if report.failed and not item.session.stash.get(DIAGNOSED, False):
        item.session.stash[DIAGNOSED] = True
        _diagnose()
    return report


def _diagnose() -> None:
    try:
        subprocess.run([ROOT / "scripts" / "diagnostics.sh", ROOT / ".e2e"], check=False, timeout=DIAGNOSE_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as expired:
        # An exception here would end the session, and hide the failure.
        print(f"e2e: the diagnostics are not complete: {expired}", file=sys.stderr)


DIAGNOSED = pytest.StashKey[bool]()
DIAGNOSE_TIMEOUT_SECONDS = 300


@pytest.fixture(scope="session", autouse=True)
def _cluster() -> None:
    for tool in ("kubectl", "helm"):
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is not on PATH; the e2e suite needs it and a cluster in KUBECONFIG")
    context = run("kubectl", "config", "current-context").strip()
    allowed = os.environ.get("FLASHSALE_E2E_CONTEXT", "kind-flashsale")
    if context != allowed:
        pytest.fail(f"the current context is {context!r}, not {allowed!r}; set FLASHSALE_E2E_CONTEXT to it if this cluster is for tests")


@pytest.fixture(scope="session", autouse=True)
def _prometheus() -> None:
    """Install Prometheus as `make test` does. At the start of the session, so that a failure is reported before the first tests."""
    try:
        binary("prometheus")
    except RuntimeError:
        run(ROOT / "scripts" / "servers.sh", "test", timeout_seconds=UNPACK_TIMEOUT_SECONDS)


@pytest.fixture(scope="session")
def shop() -> Iterator[Namespace]:
    """The release that most tests share, newly installed."""
    shop = Namespace(NAMESPACE)
    shop.delete()
    shop.create()
    seconds = shop.install()
    report("helm install --wait into an empty namespace, until all is Ready", seconds=f"{seconds:.1f}", bar="90")
    yield shop
    shop.abandon()
