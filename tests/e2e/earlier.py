"""The release that an upgrade begins with: chart and images of an earlier commit, packaged as a release is."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.e2e.kube import CHART, ROOT, VALUES, image_tag, report, run

COMMIT = Path(__file__).with_name("earlier-release").read_text().strip()
"""The last commit before the Kubernetes hard stops were removed. scripts/earlier.sh builds its images."""
VERSION = "0.0.9"
IMAGE_TAG = "earlier"
ARCHIVE_TIMEOUT_SECONDS = 60


class EarlierRelease(NamedTuple):
    chart: Path
    values: Path
    image_tag: str
    packaged: bool
    """Whether chart and images are those of `COMMIT`. Otherwise only the version differs from this checkout's."""


def earlier_release(folder: Path) -> EarlierRelease:
    """The packaged release if the cluster's nodes have its images, otherwise this chart under an earlier version, which is reported."""
    nodes = run("kubectl", "get", "nodes", "-l", f"flashsale.dev/earlier-release={COMMIT}", "-o", "name").split()
    if nodes and subprocess.run(["git", "cat-file", "-e", f"{COMMIT}^{{commit}}"], cwd=ROOT, check=False).returncode == 0:
        return _packaged(folder)
    report(
        "SKIPPED: the upgrade from a packaged earlier release", cure="make kind-load-earlier, in a clone with its history", commit=COMMIT
    )
    return _renamed(folder)


def _packaged(folder: Path) -> EarlierRelease:
    archive = folder / "earlier.tar"
    run("git", "-C", ROOT, "archive", "--output", archive, COMMIT, "deploy", timeout_seconds=ARCHIVE_TIMEOUT_SECONDS)
    run("tar", "-xf", archive, "-C", folder, timeout_seconds=ARCHIVE_TIMEOUT_SECONDS)
    chart = folder / "deploy" / "helm" / "flashsale"
    run("helm", "package", chart, "--version", VERSION, "--app-version", IMAGE_TAG, "--destination", folder)
    return EarlierRelease(folder / f"flashsale-{VERSION}.tgz", folder / "deploy" / "kind" / "values.yaml", IMAGE_TAG, packaged=True)


def _renamed(folder: Path) -> EarlierRelease:
    """The version labels differ in every object."""
    chart = folder / "flashsale"
    shutil.copytree(CHART, chart)
    file = chart / "Chart.yaml"
    file.write_text(re.sub(r"(?m)^(version|appVersion): .*", rf"\1: {VERSION}", file.read_text()))
    return EarlierRelease(chart, VALUES, image_tag(), packaged=False)
